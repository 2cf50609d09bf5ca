/**
 * The drill: two sites, one real disk, a leader killed in the middle of a replication, a site lost,
 * and an exact account of what survived. Every step goes through the services' own APIs and a real NBD
 * client; nothing is known here that a user could not know.
 */

import { editDisk, writeImage } from "./drillDisk.ts";
import { failOver } from "./drillFailover.ts";
import { protectAndReplicate, type Replicated } from "./drillReplication.ts";
import type { DrillReport } from "./drillReport.ts";
import { DISK, DrillRun, type DrillWorld, LEDGERS, PD } from "./drillWorld.ts";
import { startWriter, WRITER_RUNS_MS } from "./drillWriter.ts";

/** Runs the drill; `ok` of the report is false when a check did not hold. */
export async function runDrill(world: DrillWorld): Promise<DrillReport> {
  const run = new DrillRun(world);
  const { up, image, keeper } = world;
  run.note(`lab is up: ${up.processes.services.length + 1} processes at sites A and B`);
  await writeImage(run);
  await run.actions.createPd("A", PD, [DISK, ...LEDGERS]);
  const writer = await startWriter(run);
  const replicated: Replicated[] = [];
  try {
    replicated.push(await protectAndReplicate(run, "full"));
    await run.pass(WRITER_RUNS_MS);
    replicated.push(await protectAndReplicate(run, "incremental"));
    await editDisk(run);
    // Whatever is acknowledged now was acknowledged before the recovery point is asked for.
    const askedMs = run.clock.now();
    const last = await protectAndReplicate(run, "incremental, leader killed");
    replicated.push(last);
    const failover = await failOver(run, last.point, writer, askedMs);
    return {
      ok: run.checks.every((check) => check.held),
      input: image.description,
      lab: {
        upMs: Math.round(up.upMs),
        rssBytesPeak: keeper.rssBytesPeak,
        pssBytesPeak: keeper.pssBytesPeak,
        processes: keeper.processes,
      },
      replications: replicated.map(({ report }) => report),
      failover: { leaderElectedMs: last.leaderElectedMs, ...failover },
      checks: run.checks,
      timeline: run.timeline,
      elapsedMs: run.elapsedMs,
    };
  } finally {
    writer.abort.abort();
    await writer.done.catch(() => undefined);
  }
}
