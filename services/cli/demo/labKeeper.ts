/**
 * Looks at the lab while a drill runs: how much memory it has at most, and whether genesis is there;
 * one that was killed is started again, so that it starts again what died with it.
 */

import { messageOf } from "../../base/errors.ts";
import { listProcesses, type OpenLab, openRunningLab } from "../../lab/index.ts";
import type { Context } from "../command.ts";

const LOOK_EVERY_MS = 500;
const PROPORTIONAL_EVERY = 4;

export interface LabKeeper {
  readonly rssBytesPeak: number;
  readonly pssBytesPeak: number;
  readonly processes: number;
  /** Ends the looking; resolves when the last look is over. */
  stop(): Promise<void>;
}

export function startLabKeeper(context: Context, open: OpenLab): LabKeeper {
  let rssBytesPeak = 0;
  let pssBytesPeak = 0;
  let looks = 0;
  let processes = 0;
  const ended = new AbortController();
  const look = async (): Promise<void> => {
    const { services, genesisResidentBytes } = await listProcesses(context.world, open.plan);
    const running = services.filter((service) => service.pid > 0);
    const bytes = running.reduce(
      (sum, service) => sum + service.residentBytes,
      genesisResidentBytes,
    );
    rssBytesPeak = Math.max(rssBytesPeak, bytes);
    // A walk of page tables for each process: not at every look.
    if (looks++ % PROPORTIONAL_EVERY === 0) {
      const { processes: system } = context.world;
      const shares = await Promise.all(running.map((service) => system.proportionalBytes(service)));
      pssBytesPeak = Math.max(
        pssBytesPeak,
        shares.reduce((sum, share) => sum + share, 0),
      );
    }
    processes = Math.max(processes, running.length + 1);
  };
  const run = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      try {
        await look();
      } catch (error) {
        context.tell(`genesis does not answer (${messageOf(error)}); making the lab whole`);
        await openRunningLab(context.world, open.directory).catch((failure: unknown) => {
          context.tell(`that did not succeed yet: ${messageOf(failure)}`);
        });
      }
      await context.world.clock.sleep(LOOK_EVERY_MS, ended.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    get rssBytesPeak() {
      return rssBytesPeak;
    },
    get pssBytesPeak() {
      return pssBytesPeak;
    },
    get processes() {
      return processes;
    },
    async stop() {
      ended.abort();
      await running;
    },
  };
}
