/**
 * Jobs as records: starting, ending, cancelling, and what people see of them.
 */

import { AntipodeError, codeOf, type ErrorCode } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { addLedgers, type ByteLedger, emptyLedger } from "../../base/ledger.ts";
import { type RecoveryPointRecord, siteKeys } from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Job } from "../../platform/wire/cerebro.ts";
import { CONFLICTS_MAX, JOBS_ENDED_KEPT_MAX, JOBS_OPEN_MAX } from "../limits.ts";
import { nextPdState } from "../protection/pdMachine.ts";
import { readPd } from "../protection/pds.ts";
import { findPoint, listPoints } from "../recoveryPoints/points.ts";
import { readRemote } from "../remote/remotes.ts";
import { idOfRequest, type Site } from "../site.ts";
import {
  type ClaimRecord,
  cerebroKeys,
  type JobRecord,
  type TaskRecord,
} from "../state/records.ts";
import {
  absent,
  commit,
  deleteKey,
  deletePrefix,
  listRecords,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";
import { type JobEvent, nextJobState } from "./jobMachine.ts";
import { settle, topLedger } from "./ledger.ts";
import { waitingText } from "./tasks.ts";

/**
 * @throws AntipodeError `JOB_NOT_FOUND`
 */
export async function readJob(site: Site, id: string): Promise<Stored<JobRecord>> {
  const job = await readRecord<JobRecord>(site.coordinator, cerebroKeys.job(id));
  if (job === undefined)
    throw new AntipodeError("JOB_NOT_FOUND", `there is no job ${id.slice(0, 80)} here`, {
      job: id.slice(0, 80),
    });
  return job;
}

export interface ReplicateOrder {
  readonly pd: string;
  /** Id or name; "" for the newest. */
  readonly recoveryPoint: string;
  readonly remote: string;
  readonly requestId: string;
}

/**
 * Writes a job in PLANNING together with its hold on the recovery point. The job of the same
 * request, or an open job for the same recovery point and remote site, is answered instead.
 * @throws AntipodeError `PD_NOT_FOUND`, `RECOVERY_POINT_NOT_FOUND`, `REMOTE_NOT_FOUND`, `OVERLOADED`
 */
export async function startJob(site: Site, term: Term, order: ReplicateOrder): Promise<JobRecord> {
  const id = idOfRequest(site, "job", order.requestId);
  const key = cerebroKeys.job(id);
  const pd = await readPd(site.coordinator, order.pd);
  nextPdState(pd.value, "replicate");
  const remote = await readRemote(site.coordinator, order.remote);
  const jobs = await listRecords<JobRecord>(site.coordinator, cerebroKeys.jobs);
  const again = jobs.find((job) => job.key === key);
  if (again !== undefined) return again.value;
  const point = await pointToReplicate(site, order, pd.value.newestPointId);
  const open = jobs.filter((job) => !isEnded(job.value.state));
  const same = open.find(
    ({ value }) => value.recoveryPointId === point.value.id && value.remote === order.remote,
  );
  if (same !== undefined) return same.value;
  if (open.length >= JOBS_OPEN_MAX)
    throw new AntipodeError("OVERLOADED", `${open.length} jobs are open already`);
  const job = newJob(site, term, id, order, point.value);
  await commit(
    site.coordinator,
    term,
    [absent(key), unchanged(point), unchanged(remote)],
    [
      putRecord(key, job),
      putRecord(cerebroKeys.hold(point.value.id, id), { pointId: point.value.id, jobId: id }),
    ],
  );
  return job;
}

async function pointToReplicate(
  site: Site,
  order: ReplicateOrder,
  newestId: string,
): Promise<Stored<RecoveryPointRecord>> {
  if (order.recoveryPoint !== "")
    return await findPoint(site.coordinator, order.pd, order.recoveryPoint);
  const newest =
    (await readRecord<RecoveryPointRecord>(site.coordinator, siteKeys.recoveryPoint(newestId))) ??
    (await listPoints(site.coordinator, order.pd)).at(-1);
  if (newest !== undefined) return newest;
  throw new AntipodeError(
    "RECOVERY_POINT_NOT_FOUND",
    `the protection domain ${order.pd} has no recovery point yet`,
    { pd: order.pd },
  );
}

function newJob(
  site: Site,
  term: Term,
  id: string,
  order: ReplicateOrder,
  point: RecoveryPointRecord,
): JobRecord {
  return {
    id,
    pd: order.pd,
    recoveryPointId: point.id,
    recoveryPointName: point.name,
    remote: order.remote,
    state: "PLANNING",
    waiting: "",
    baseId: "",
    baseName: "",
    baseExcluded: [],
    disks: point.disks.map((disk) => ({
      ...disk,
      baseRoot: "",
      bundleCount: 0,
      ships: false,
      replicationFactor: 1,
    })),
    placements: [],
    taskCount: 0,
    ledger: emptyLedger,
    spent: emptyLedger,
    leaderEpoch: term.epoch,
    leaderIncarnation: term.incarnation,
    leaderChanges: 0,
    createdAtMs: site.clock.wall(),
    endedAtMs: 0,
    errorCode: "",
    errorMessage: "",
  };
}

/** Everything that a job has moved so far. */
export function totalLedger(job: JobRecord, tasks: readonly TaskRecord[]): ByteLedger {
  if (isEnded(job.state)) return job.ledger;
  const shipped = tasks.reduce((sum, task) => {
    const all = settle(task.spent, task.ledger);
    return addLedgers(sum, task.kind === "top" ? topLedger(all) : all);
  }, job.ledger);
  return settle(job.spent, shipped);
}

export interface JobEnd {
  readonly event: Extract<JobEvent, "recorded" | "refused" | "cancel">;
  readonly errorCode: ErrorCode | "";
  readonly errorMessage: string;
}

/** Ends a job: its ledger is summed, its tasks, claims and holds go in the same transaction. */
export async function endJob(
  site: Site,
  term: Term,
  job: Stored<JobRecord>,
  end: JobEnd,
): Promise<JobRecord> {
  const { value } = job;
  const tasks = await listRecords<TaskRecord>(site.coordinator, cerebroKeys.tasks(value.id));
  const records = tasks.map((task) => task.value);
  const ended: JobRecord = {
    ...value,
    state: nextJobState(value.state, end.event),
    waiting: "",
    ledger: totalLedger(value, records),
    spent: emptyLedger,
    endedAtMs: site.clock.wall(),
    errorCode: end.errorCode,
    errorMessage: end.errorMessage,
  };
  const held = [value.recoveryPointId, value.baseId, ...value.baseExcluded].filter(
    (id, index, all) => id !== "" && all.indexOf(id) === index,
  );
  await commit(
    site.coordinator,
    term,
    [unchanged(job)],
    [
      putRecord(job.key, ended),
      deletePrefix(cerebroKeys.tasks(value.id)),
      deletePrefix(cerebroKeys.claims(value.id)),
      ...held.map((pointId) => deleteKey(cerebroKeys.hold(pointId, value.id))),
    ],
  );
  site.log.info(
    {
      event: "job.ended",
      job: value.id,
      state: ended.state,
      code: end.errorCode,
      why: end.errorMessage,
      ...ended.ledger,
    },
    "replication has ended",
  );
  return ended;
}

/** Cancels an open job; an ended one stays as it is. */
export async function cancelJob(site: Site, term: Term, id: string): Promise<JobRecord> {
  for (let conflict = 0; conflict < CONFLICTS_MAX; conflict++) {
    const job = await readJob(site, id);
    if (nextJobState(job.value.state, "cancel") === job.value.state) return job.value;
    try {
      return await endJob(site, term, job, { event: "cancel", errorCode: "", errorMessage: "" });
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_CONFLICT") throw error;
    }
  }
  throw new AntipodeError("COORDINATOR_CONFLICT", `the job ${id} changes too often`, { job: id });
}

/** Removes the oldest ended jobs beyond the number that is kept. */
export async function pruneJobs(site: Site, term: Term): Promise<void> {
  const jobs = await listRecords<JobRecord>(site.coordinator, cerebroKeys.jobs);
  const ended = jobs
    .filter((job) => isEnded(job.value.state))
    .toSorted((a, b) => a.createRevision - b.createRevision);
  for (const job of ended.slice(0, Math.max(0, ended.length - JOBS_ENDED_KEPT_MAX)))
    await commit(site.coordinator, term, [unchanged(job)], [deleteKey(job.key)]);
}

export interface JobProgress {
  readonly tasks: readonly TaskRecord[];
  readonly claims: readonly ClaimRecord[];
  /** Address space walked per second lately; `undefined` for the average. */
  readonly bytesPerSecond: number | undefined;
  readonly wallMs: number;
}

/** A job as people see it. */
export function jobView(job: JobRecord, progress: JobProgress): Job {
  const ended = isEnded(job.state);
  const running = progress.claims.length;
  const ledger = totalLedger(job, progress.tasks);
  const durationMs = Math.max(0, (ended ? job.endedAtMs : progress.wallMs) - job.createdAtMs);
  const average = durationMs === 0 ? 0 : (ledger.logicalBytes * 1000) / durationMs;
  return {
    id: job.id,
    pd: job.pd,
    recoveryPointId: job.recoveryPointId,
    recoveryPointName: job.recoveryPointName,
    remote: job.remote,
    state: job.state,
    waiting: waitingText(job, progress.tasks, progress.claims),
    baseRecoveryPointId: job.baseId,
    baseRecoveryPointName: job.baseName,
    tasksTotal: job.taskCount,
    tasksDone:
      job.state === "DONE"
        ? job.taskCount
        : progress.tasks.filter((task) => task.state === "done").length,
    tasksRunning: ended ? 0 : running,
    totalBytes: job.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0),
    ledger,
    leaderChanges: job.leaderChanges,
    createdAtMs: job.createdAtMs,
    durationMs,
    bytesPerSecond: progress.bytesPerSecond ?? average,
    errorCode: job.errorCode,
    errorMessage: job.errorMessage,
    disks: job.disks,
  };
}
