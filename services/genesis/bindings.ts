/** GenesisService over the supervisor: what the API orders, in the wire's words. */

import { faultBindings, leaseOf } from "../platform/faultService.ts";
import type { Processes, ProcessHandle } from "../platform/processes.ts";
import { type Binding, serveUnary } from "../platform/rpc.ts";
import { GenesisService } from "../platform/wire/genesis.ts";
import type { ServiceFaults } from "./serviceFaults.ts";
import type { Supervisor } from "./supervisor.ts";

export interface GenesisBindings {
  readonly supervisor: Supervisor;
  readonly faults: ServiceFaults;
  readonly processes: Processes;
  /** Genesis' own process. */
  readonly self: ProcessHandle;
  /** All services have ended and the answer is on its way: end the process. */
  readonly onShutdown: () => void;
}

/** What genesis serves. */
export function genesisBindings(world: GenesisBindings): readonly Binding[] {
  const { supervisor, faults, processes, self } = world;
  return [
    serveUnary(GenesisService.list, async () => ({
      services: await supervisor.list(),
      genesisPid: self.pid,
      genesisResidentBytes: await processes.residentBytes(self),
      genesisCpuMs: await processes.cpuMs(self),
    })),
    serveUnary(GenesisService.kill, async ({ ids, signal, stayDead }) => ({
      services: await supervisor.kill(ids, signal, stayDead ? "stayDead" : "restart"),
    })),
    serveUnary(GenesisService.stop, async ({ ids }) => ({ services: await supervisor.stop(ids) })),
    serveUnary(GenesisService.start, async ({ ids }) => ({
      services: await supervisor.start(ids),
    })),
    serveUnary(GenesisService.restart, async ({ ids }) => ({
      services: await supervisor.restart(ids),
    })),
    serveUnary(GenesisService.setAutoRestart, async ({ ids, autoRestart }) => ({
      services: await supervisor.setAutoRestart(ids, autoRestart),
    })),
    serveUnary(GenesisService.injectFault, async ({ lease, ids, signal }) => ({
      services: await faults.signal(leaseOf(lease), ids, signal),
    })),
    serveUnary(GenesisService.injectDiskFault, async ({ lease, ids, fault, delayMs }) => {
      await faults.breakDisks(leaseOf(lease), ids, { kind: fault, delayMs });
      return {};
    }),
    ...faultBindings(faults.leases),
    serveUnary(GenesisService.shutdown, async () => {
      faults.close();
      const killed = await supervisor.shutdown();
      world.onShutdown();
      return { killed };
    }),
  ];
}
