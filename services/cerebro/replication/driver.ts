/**
 * The leader's side of a job: one loop a job that looks at the records and takes the next step.
 * Every step is a transaction on what was read, so the loop may be broken off anywhere and begun
 * again by another leader. Failures of the remote site never end a job: it waits and tries again,
 * and its record says what it waits for (P9).
 */

import { InvariantViolation } from "../../base/assert.ts";
import { AntipodeError, codeOf, isErrorCode, messageOf } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { emptyLedger } from "../../base/ledger.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { RemoteCerebroService } from "../../platform/wire/remoteCerebro.ts";
import {
  POLL_MS,
  REMOTE_RECORD_DEADLINE_MS,
  RETRY_BACKOFF_MS,
  RETRY_BACKOFF_MS_MAX,
} from "../limits.ts";
import { readPd } from "../protection/pds.ts";
import { heed } from "../protection/standings.ts";
import { findPoint } from "../recoveryPoints/points.ts";
import { callRemote, meet, senderOf } from "../remote/client.ts";
import type { SiteKey } from "../remote/identity.ts";
import { readRemote } from "../remote/remotes.ts";
import type { Site } from "../site.ts";
import type { KeyedQueue } from "../state/keyedQueue.ts";
import { cerebroKeys, type JobRecord, type TaskRecord } from "../state/records.ts";
import {
  absent,
  commit,
  deletePrefix,
  listRecords,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";
import { backoffMs, Wakeup } from "../state/wakeup.ts";
import type { Board } from "./board.ts";
import { nextJobState } from "./jobMachine.ts";
import { endJob, pruneJobs, totalLedger } from "./jobs.ts";
import { spentOf } from "./ledger.ts";
import { openTask, planJob } from "./planning.ts";
import { isRefusal, nextRunStep, topIndexOf, waitingFor } from "./tasks.ts";

export interface DriverInput {
  readonly site: Site;
  readonly term: Term;
  readonly key: SiteKey;
  readonly board: Board;
  readonly points: KeyedQueue;
}

/** Drives a job until it has ended or the term has. */
export async function driveJob(input: DriverInput, jobId: string): Promise<void> {
  const { site, term, board } = input;
  const wakeup = new Wakeup();
  const stop = board.onChange(() => {
    wakeup.notify();
  });
  let failures = 0;
  try {
    while (!term.signal.aborted) {
      let job: Stored<JobRecord> | undefined;
      try {
        if (nothingToDo(input, jobId)) {
          await wakeup.wait(site.clock, POLL_MS, term.signal);
          continue;
        }
        job = await readRecord<JobRecord>(site.coordinator, cerebroKeys.job(jobId));
        if (job === undefined || isEnded(job.value.state)) return;
        const moved = await takeStep(input, job);
        failures = 0;
        if (!moved) await wakeup.wait(site.clock, POLL_MS, term.signal);
      } catch (error) {
        if (error instanceof InvariantViolation) throw error;
        if (!term.isLeader()) return;
        failures += 1;
        await noteFailure(input, job, error);
        await pause(site, term, backoffMs(failures, RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX));
      }
    }
  } finally {
    stop();
  }
}

async function pause(site: Site, term: Term, ms: number): Promise<void> {
  const never = new Wakeup();
  await never.wait(site.clock, ms, term.signal);
}

/** The usual case while tasks run, seen on the board without asking etcd. */
function nothingToDo({ board, term }: DriverInput, jobId: string): boolean {
  const seen = board.job(jobId);
  if (seen === undefined) return false;
  const job = seen.record.value;
  if (job.state !== "RUNNING" || job.leaderEpoch !== term.epoch) return false;
  const tasks = [...seen.tasks.values()].map((task) => task.record.value);
  return nextRunStep(job, tasks).kind === "wait";
}

/** @returns true when something changed, so that the next step can follow at once */
async function takeStep(input: DriverInput, job: Stored<JobRecord>): Promise<boolean> {
  const { site, term } = input;
  if (job.value.leaderEpoch !== term.epoch) {
    await adopt(input, job);
    return true;
  }
  switch (job.value.state) {
    case "PLANNING": {
      const remote = await meet(site, term, input.key, job.value.remote);
      if (remote === undefined) await readRemote(site.coordinator, job.value.remote);
      else await planJob({ ...input, job, remote });
      return true;
    }
    case "RUNNING":
      return await run(input, job);
    case "RECORDING":
      await record(input, job);
      return true;
    case "DONE":
    case "FAILED":
    case "CANCELLED":
      return false;
  }
}

/** A new leader makes the job its own: from now on orders carry its epoch. */
async function adopt({ site, term }: DriverInput, job: Stored<JobRecord>): Promise<void> {
  const adopted: JobRecord = {
    ...job.value,
    leaderEpoch: term.epoch,
    leaderIncarnation: term.incarnation,
    leaderChanges: job.value.leaderChanges + 1,
  };
  await commit(site.coordinator, term, [unchanged(job)], [putRecord(job.key, adopted)]);
  site.log.info({ event: "job.adopted", job: job.value.id, state: job.value.state }, "job adopted");
}

async function run(input: DriverInput, job: Stored<JobRecord>): Promise<boolean> {
  const { site, term } = input;
  const { value } = job;
  const stored = await listRecords<TaskRecord>(site.coordinator, cerebroKeys.tasks(value.id));
  const step = nextRunStep(
    value,
    stored.map((task) => task.value),
  );
  switch (step.kind) {
    case "wait":
      return false;
    case "refused":
      throw refusalOf(step.code, step.message);
    case "incomplete":
      await planAgain(input, job, step.message);
      return true;
    case "addTops": {
      const tops = step.disks.map((disk) =>
        openTask({
          jobId: value.id,
          index: topIndexOf(value.disks, disk),
          disk,
          kind: "top",
          subtrees: [],
        }),
      );
      await commit(
        site.coordinator,
        term,
        [unchanged(job), ...tops.map((top) => absent(cerebroKeys.task(value.id, top.index)))],
        tops.map((top) => putRecord(cerebroKeys.task(value.id, top.index), top)),
      );
      return true;
    }
    case "shipped": {
      const recording: JobRecord = {
        ...value,
        state: nextJobState(value.state, "shipped"),
        waiting: "",
      };
      await commit(site.coordinator, term, [unchanged(job)], [putRecord(job.key, recording)]);
      return true;
    }
  }
}

const refusalOf = (code: string, message: string): AntipodeError =>
  new AntipodeError(isErrorCode(code) ? code : "INTERNAL", message);

/** Offers the recovery point to the target, which writes it only if it holds every root. */
async function record(input: DriverInput, job: Stored<JobRecord>): Promise<void> {
  const { site, term, key } = input;
  const remote = (await readRemote(site.coordinator, job.value.remote)).value;
  const point = (await findPoint(site.coordinator, job.value.pd, job.value.recoveryPointId)).value;
  const pd = await readPd(site.coordinator, job.value.pd);
  try {
    const answer = await callRemote(
      site,
      remote,
      RemoteCerebroService.recordRecoveryPoint,
      {
        sender: senderOf(site, term, key),
        recoveryPoint: point,
        placements: job.value.placements,
        generation: pd.value.generation,
      },
      { deadlineMs: REMOTE_RECORD_DEADLINE_MS, signal: term.signal },
    );
    if (answer.standing !== undefined) await heed(site, term, answer.standing);
  } catch (error) {
    if (codeOf(error) !== "RECOVERY_POINT_INCOMPLETE") throw error;
    await planAgain(input, job, messageOf(error));
    return;
  }
  await endJob(site, term, job, { event: "recorded", errorCode: "", errorMessage: "" });
  await pruneJobs(site, term);
}

/**
 * The target has lost something that the plan relied on: walk again, without that base. Without one it relied on
 * the target's word that it has the point, at most: that is not taken any more.
 */
async function planAgain(
  { site, term }: DriverInput,
  job: Stored<JobRecord>,
  why: string,
): Promise<void> {
  const { value } = job;
  const reliedOn = value.baseId === "" ? value.recoveryPointId : value.baseId;
  const tasks = await listRecords<TaskRecord>(site.coordinator, cerebroKeys.tasks(value.id));
  const total = totalLedger(
    value,
    tasks.map((task) => task.value),
  );
  const again: JobRecord = {
    ...value,
    state: nextJobState(value.state, "incomplete"),
    waiting: why,
    baseId: "",
    baseName: "",
    baseExcluded: [...new Set([...value.baseExcluded, reliedOn])],
    ledger: emptyLedger,
    spent: spentOf(total),
  };
  await commit(
    site.coordinator,
    term,
    [unchanged(job)],
    [
      putRecord(job.key, again),
      deletePrefix(cerebroKeys.tasks(value.id)),
      deletePrefix(cerebroKeys.claims(value.id)),
    ],
  );
}

/** Ends the job when it can never succeed; else says in its record what it waits for. */
async function noteFailure(
  { site, term }: DriverInput,
  job: Stored<JobRecord> | undefined,
  error: unknown,
): Promise<void> {
  const code = codeOf(error);
  site.log.warn({ event: "job.failed", job: job?.value.id, code, err: error }, "job step failed");
  if (job === undefined || code === undefined || code.startsWith("COORDINATOR_")) return;
  const refused = isRefusal(code);
  const waiting = waitingFor(code, messageOf(error));
  try {
    if (refused)
      await endJob(site, term, job, {
        event: "refused",
        errorCode: code,
        errorMessage: messageOf(error),
      });
    else if (job.value.waiting !== waiting)
      await commit(
        site.coordinator,
        term,
        [unchanged(job)],
        [putRecord(job.key, { ...job.value, waiting })],
      );
  } catch (failure) {
    if (failure instanceof InvariantViolation) throw failure;
    // The next round reads the record again and finds out.
    site.log.debug({ event: "job.note", err: failure }, "failure could not be noted");
  }
}
