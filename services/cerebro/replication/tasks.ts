/**
 * Decisions on the tasks of a job, as pure functions over the board's view: which one a worker may
 * take, what the leader does next, when an error ends a job.
 */

import type { ErrorCode } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX } from "../limits.ts";
import type { ClaimRecord, JobDisk, JobRecord, TaskRecord } from "../state/records.ts";
import { backoffMs } from "../state/wakeup.ts";

/** Errors that no repetition cures: the order itself is wrong. Everything else is tried again (P9). */
const REFUSALS: readonly ErrorCode[] = [
  "INVALID_ARGUMENT",
  "MESSAGE_INVALID",
  "UNIMPLEMENTED",
  "FORMAT_UNSUPPORTED",
  "SIGNATURE_INVALID",
  "REMOTE_IDENTITY_CHANGED",
  "PD_ALREADY_ACTIVE",
  "RECOVERY_POINT_NOT_FOUND",
  "REMOTE_NOT_FOUND",
];

/** Does this error end the job? */
export function isRefusal(code: string): boolean {
  return REFUSALS.some((refusal) => refusal === code);
}

/** Does this vDisk need a task for its top of its own? One with a single bundle ships it along. */
export function hasTopTask(disk: JobDisk): boolean {
  return disk.ships && disk.bundleCount !== 1;
}

/** Index of the task for the top of a vDisk: tops come after all subtree tasks. */
export function topIndexOf(disks: readonly JobDisk[], disk: number): number {
  const bundles = disks.reduce((sum, entry) => sum + entry.bundleCount, 0);
  return bundles + disks.slice(0, disk).filter(hasTopTask).length;
}

/** Pause before a task that failed is tried again. */
function retryDelayMs(task: TaskRecord): number {
  return task.failures === 0 ? 0 : backoffMs(task.failures, RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX);
}

/** A task with what decides whether a worker may take it. */
export interface Candidate {
  readonly job: JobRecord;
  readonly task: TaskRecord;
  readonly claimed: boolean;
  /** Since this process saw the task change. */
  readonly idleMs: number;
}

/**
 * Ms until a worker may take the task: 0 now, `undefined` not at all as things are.
 */
export function claimableIn(candidate: Candidate): number | undefined {
  const { job, task, claimed, idleMs } = candidate;
  if (job.state !== "RUNNING" || task.state !== "open" || claimed) return undefined;
  return Math.max(0, retryDelayMs(task) - idleMs);
}

/** What the leader does for a job that is RUNNING. */
export type RunStep =
  | { readonly kind: "wait" }
  | { readonly kind: "addTops"; readonly disks: readonly number[] }
  | { readonly kind: "shipped" }
  /** The target lacks what the base promised. */
  | { readonly kind: "incomplete"; readonly message: string }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

/**
 * After so many failures in a row a target that misses children does not only look so because one of
 * its CVMs is about to be taken for dead: the pauses between them sum to more than a lease.
 */
const INCOMPLETE_FAILURES = 5;

/** Tops follow when all subtrees of their vDisk are done; the job has shipped when all tops are. */
export function nextRunStep(job: JobRecord, tasks: readonly TaskRecord[]): RunStep {
  const refused = tasks.find((task) => task.state === "refused");
  if (refused !== undefined)
    return { kind: "refused", code: refused.errorCode, message: refused.errorMessage };
  const lacking = tasks.find(
    (task) =>
      task.state === "open" &&
      task.errorCode === "RECOVERY_POINT_INCOMPLETE" &&
      task.failures >= INCOMPLETE_FAILURES,
  );
  if (lacking !== undefined) return { kind: "incomplete", message: lacking.errorMessage };
  const doneOf = (disk: number, kind: TaskRecord["kind"]): number =>
    tasks.filter((task) => task.disk === disk && task.kind === kind && task.state === "done")
      .length;
  const disks = job.disks.map((disk, index) => ({ disk, index }));
  const missing = disks
    .filter(({ disk }) => hasTopTask(disk))
    .filter(({ disk, index }) => doneOf(index, "subtrees") === disk.bundleCount)
    .filter(({ index }) => !tasks.some((task) => task.disk === index && task.kind === "top"))
    .map(({ index }) => index);
  if (missing.length > 0) return { kind: "addTops", disks: missing };
  const shipped = disks
    .filter(({ disk }) => disk.ships)
    .every(({ disk, index }) => doneOf(index, hasTopTask(disk) ? "top" : "whole") === 1);
  return shipped ? { kind: "shipped" } : { kind: "wait" };
}

/** A failure as a job's record says it. */
export function waitingFor(code: string, message: string): string {
  return code === "REMOTE_UNAVAILABLE" ? "remote unreachable" : `${code}: ${message}`;
}

/** What people read while nothing moves, or "": no task is under way that did not fail last time. */
export function waitingText(
  job: JobRecord,
  tasks: readonly TaskRecord[],
  claims: readonly ClaimRecord[],
): string {
  if (isEnded(job.state)) return "";
  const failed = tasks.find((task) => task.state === "open" && task.failures > 0);
  const moves = claims.some((claim) =>
    tasks.some((task) => task.index === claim.index && task.failures === 0),
  );
  if (job.waiting !== "" || failed === undefined || moves) return job.waiting;
  return waitingFor(failed.errorCode, failed.errorMessage);
}
