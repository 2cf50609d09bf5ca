/**
 * The life of a replication job as one total table; SPEC.md explains it. Pure: the leader writes the
 * new state in a transaction that is guarded by its seat and by the job's revision.
 */

import { assert } from "../../base/assert.ts";
import type { JobState } from "../state/records.ts";

export type JobEvent =
  /** Base chosen and every subtree task written. */
  | "planned"
  /** Every task is done, the tops included. */
  | "shipped"
  /** The target has written the recovery point. */
  | "recorded"
  /** The target does not hold what was relied on after all: plan again, without that base. */
  | "incomplete"
  /** It can never succeed. */
  | "refused"
  | "cancel";

/** `impossible`: the leader never raises the event in this state. */
export type JobCell = JobState | "impossible";

export const jobTable: Readonly<Record<JobState, Readonly<Record<JobEvent, JobCell>>>> = {
  PLANNING: {
    planned: "RUNNING",
    shipped: "impossible",
    recorded: "impossible",
    incomplete: "impossible",
    refused: "FAILED",
    cancel: "CANCELLED",
  },
  RUNNING: {
    planned: "impossible",
    shipped: "RECORDING",
    recorded: "impossible",
    incomplete: "PLANNING",
    refused: "FAILED",
    cancel: "CANCELLED",
  },
  RECORDING: {
    planned: "impossible",
    shipped: "impossible",
    recorded: "DONE",
    incomplete: "PLANNING",
    refused: "FAILED",
    cancel: "CANCELLED",
  },
  DONE: ended("DONE"),
  FAILED: ended("FAILED"),
  CANCELLED: ended("CANCELLED"),
};

/** An ended job only hears a cancel, which changes nothing. */
function ended(state: JobState): Readonly<Record<JobEvent, JobCell>> {
  return {
    planned: "impossible",
    shipped: "impossible",
    recorded: "impossible",
    incomplete: "impossible",
    refused: "impossible",
    cancel: state,
  };
}

/**
 * @throws InvariantViolation when the event is impossible in the state
 */
export function nextJobState(state: JobState, event: JobEvent): JobState {
  const cell = jobTable[state][event];
  assert(cell !== "impossible", `a job that is ${state} can hear "${event}"`);
  return cell;
}
