/**
 * Recovery points of a drill and their replication from A to B, once with the leader killed in the middle.
 */

import { AntipodeError } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { Job, RecoveryPoint } from "../../platform/wire/cerebro.ts";
import type { ReplicationReport } from "./drillReport.ts";
import { type DrillRun, PD, POLL_MS } from "./drillWorld.ts";

/** The leader is killed when tasks have been running for this long: ledgers are told once a second only. */
const KILL_AFTER_MS = 350;
const JOB_LIMIT_MS = 10 * 60_000;

/** A recovery point that B holds, and how it came there. */
export interface Replicated {
  readonly point: RecoveryPoint;
  readonly report: ReplicationReport;
  /** From the kill until another leader was known; 0 without a kill. */
  readonly leaderElectedMs: number;
}

/** Takes a recovery point at A and follows its replication to B. */
export async function protectAndReplicate(
  run: DrillRun,
  kind: "full" | "incremental" | "incremental, leader killed",
): Promise<Replicated> {
  const point = await run.actions.snapshot("A", PD);
  run.note(
    `recovery point ${point.name} taken; writes were held for ${point.holdMs.toFixed(1)} ms`,
  );
  const started = await run.actions.startReplication("A", PD, point.id, "B");
  const kill = kind === "incremental, leader killed";
  const { job, leaderElectedMs } = await follow(run, started, point.name, kill);
  if (job.state !== "DONE")
    throw new AntipodeError(
      "CHECK_FAILED",
      `the replication of ${point.name} ended as ${job.state}: ${job.errorMessage}`,
    );
  return { point, report: await report(run, point, job, kill), leaderElectedMs };
}

async function follow(
  run: DrillRun,
  started: Job,
  name: string,
  kill: boolean,
): Promise<{ readonly job: Job; readonly leaderElectedMs: number }> {
  const bar = run.world.progress.bar(`replicating ${name}`, "bytes");
  const untilMs = run.clock.now() + JOB_LIMIT_MS;
  let runningSinceMs: number | undefined;
  let election: Promise<number> | undefined;
  try {
    for (;;) {
      const job = await run.actions.job("A", started.id);
      bar.update(
        job.ledger?.logicalBytes ?? 0,
        job.totalBytes,
        `sent ${formatBytes(job.ledger?.wireBytes ?? 0)}`,
      );
      if (isEnded(job.state)) {
        if (kill)
          run.check(
            `the leader was killed in the middle of the replication of ${name}`,
            election !== undefined,
            "the replication was over before",
          );
        return { job, leaderElectedMs: (await election) ?? 0 };
      }
      if (job.state === "RUNNING" && job.tasksRunning > 0) runningSinceMs ??= run.clock.now();
      const runsMs = run.clock.now() - (runningSinceMs ?? run.clock.now());
      if (kill && election === undefined && runsMs >= KILL_AFTER_MS)
        election = (await killLeader(run, job)).elected;
      if (run.clock.now() > untilMs)
        throw new AntipodeError("DEADLINE_EXCEEDED", `the replication of ${name} does not end`, {
          job: job.id,
        });
      await run.pass(POLL_MS);
    }
  } finally {
    bar.end();
  }
}

/** kill -9; `elected` resolves, with the time it took, when another leader is known. */
async function killLeader(run: DrillRun, job: Job): Promise<{ readonly elected: Promise<number> }> {
  const before = await run.actions.leader("A");
  await run.actions.kill([`cerebro@A/${before.cvm}`], false);
  const killedMs = run.clock.now();
  run.note(
    `kill -9 of the Cerebro leader (CVM ${before.cvm}): ${job.tasksDone} of ${job.tasksTotal} tasks done, ${job.tasksRunning} running`,
  );
  const elected = async (): Promise<number> => {
    for (;;) {
      const now = await run.actions.leader("A").catch(() => before);
      if (now.cvm !== 0 && now.epoch > before.epoch) {
        const electedMs = Math.round(run.clock.now() - killedMs);
        run.note(
          `CVM ${now.cvm} is leader with epoch ${now.epoch}, ${formatDuration(electedMs)} after the kill`,
        );
        return electedMs;
      }
      await run.pass(POLL_MS);
    }
  };
  return { elected: elected() };
}

async function report(
  run: DrillRun,
  point: RecoveryPoint,
  job: Job,
  leaderKilled: boolean,
): Promise<ReplicationReport> {
  const arrived = await run.actions.recoveryPoint("B", PD, point.id);
  const roots = (of: RecoveryPoint): Record<string, string> =>
    Object.fromEntries(of.disks.map((disk) => [disk.vdiskName, disk.root]));
  const ledger = job.ledger;
  const made: ReplicationReport = {
    recoveryPoint: point.name,
    kind: job.baseRecoveryPointId === "" ? "full" : "incremental",
    logicalBytes: job.totalBytes,
    zeroBytes: ledger?.zeroBytes ?? 0,
    unchangedBytes: ledger?.unchangedBytes ?? 0,
    dedupedBytes: ledger?.dedupedBytes ?? 0,
    uniqueBytes: ledger?.uniqueBytes ?? 0,
    compressedBytes: ledger?.compressedBytes ?? 0,
    wireBytes: ledger?.wireBytes ?? 0,
    durationMs: job.durationMs,
    rootSource: roots(point),
    rootTarget: roots(arrived),
    leaderKilled,
    resentBytes: ledger?.resentBytes ?? 0,
    holdMs: point.holdMs,
  };
  run.note(
    `${point.name} is at B: ${formatBytes(made.uniqueBytes)} new, ${formatBytes(made.wireBytes)} on the wire, ${formatDuration(job.durationMs)}`,
  );
  run.check(
    `${point.name}: roots at A and B are equal`,
    JSON.stringify(made.rootSource) === JSON.stringify(made.rootTarget),
    `A ${JSON.stringify(made.rootSource)}, B ${JSON.stringify(made.rootTarget)}`,
  );
  return made;
}
