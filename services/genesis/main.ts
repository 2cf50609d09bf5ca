/**
 * The genesis process: `node services/genesis/main.js LAYOUT.json`. Serves GenesisService, adopts what
 * an earlier genesis left, starts the rest. SIGTERM and SIGINT end all services, then genesis; SIGKILL
 * and a failure leave the services running for the next genesis to adopt. How it ends otherwise is
 * told in platform/adapters/serviceMain.ts.
 */

import { createClock } from "../platform/adapters/clock.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createProcesses } from "../platform/adapters/processes.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import {
  type OwnProcess,
  type RunningService,
  runService,
} from "../platform/adapters/serviceMain.ts";
import { genesisBindings } from "./bindings.ts";
import { DiskOrders } from "./diskOrders.ts";
import { type Layout, parseLayout } from "./layout.ts";
import { answers } from "./probes.ts";
import { ServiceFaults } from "./serviceFaults.ts";
import { Supervisor } from "./supervisor.ts";

/** What the services inherit. */
function ownEnvironment(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as const],
    ),
  );
}

async function start(layout: Layout, { log, fail, end }: OwnProcess): Promise<RunningService> {
  const clock = createClock();
  const processes = createProcesses();
  const net = createNet();
  const rpc = createRpc({ log });
  const records = createDisk(layout.stateFolder);
  await records.makeFolder("");
  const supervisor = new Supervisor(layout, {
    clock,
    processes,
    records,
    log,
    environment: ownEnvironment(),
    answers: (kind, address) => answers({ net, rpc }, kind, address),
    onFailure: fail,
  });
  const self = (await processes.find(process.pid))?.handle ?? { pid: process.pid, startedAt: "" };
  const disks = new DiskOrders(layout.services, records);
  const faults = await ServiceFaults.open({ clock, disk: records, log }, { supervisor, disks });
  // Listening first: of two geneses with one layout the second ends here, before it starts anything.
  const server = await rpc.serve(
    layout.admin,
    genesisBindings({ supervisor, faults, processes, self, onShutdown: () => clock.after(0, end) }),
  );
  log.info({ event: "genesis.started", services: layout.services.length }, "genesis started");
  // Not awaited: it may be told to end while it boots.
  supervisor.boot().catch(fail);
  return {
    async close() {
      faults.close();
      await supervisor.shutdown();
      await server.close();
    },
  };
}

await runService({ service: "genesis", argument: "LAYOUT.json", configure: parseLayout, start });
