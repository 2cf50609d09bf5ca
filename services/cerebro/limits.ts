/**
 * Every bound of Cerebro in one place, each with its reason. Times that a user waits for are short;
 * times that only bound a fault are long.
 */

import { assert } from "../base/assert.ts";
import { KIB, MIB } from "../base/units.ts";

/** vDisks of a consistency group: the product's limit for a consistency rule is 32. */
export const GROUP_MEMBERS_MAX = 32;
/** Consistency groups of a protection domain. */
export const GROUPS_MAX = 20;
/** vDisks of a protection domain: all of them are held in one cut, one call each. */
export const PD_MEMBERS_MAX = 64;
/** Recovery points of a protection domain; retention prunes long before. */
export const POINTS_PER_PD_MAX = 1000;
/** Remote sites of a site. */
export const REMOTES_MAX = 16;
/** Addresses of one kind of a remote site: one a CVM. */
export const REMOTE_ADDRESSES_MAX = 32;

/** Attempts of a cut before CUT_VOID. An owner that is being replaced needs about a lease (2 to 5 s). */
export const CUT_ATTEMPTS_MAX = 8;
/** Pause after a void cut, doubled each time up to the maximum: 8 attempts last about 6 s. */
export const CUT_BACKOFF_MS = 50;
export const CUT_BACKOFF_MS_MAX = 2000;
/** Owners release by themselves after 500 ms; an order that takes longer has failed. */
export const CUT_ORDER_DEADLINE_MS = 1000;
/** The drains pass the markers within this, or the cut is given up. */
export const CUT_ROOTS_WAIT_MS_MAX = 600_000;
/** A watch may be late: whoever waits on one also looks this often. */
export const POLL_MS = 1000;

/** Open jobs of a site. */
export const JOBS_OPEN_MAX = 64;
/** Ended jobs that are kept to be looked at. */
export const JOBS_ENDED_KEPT_MAX = 50;
/** Tasks of a job, the ones for the tops of the vDisks included. */
export const TASKS_PER_JOB_MAX = 256;
/** Subtrees asked of one plan; bounds a job's records to about 1024 × 180 B. */
export const SUBTREES_PER_JOB_MAX = 1024;
/** Address space, or expected change, of a task at least: smaller ones cost more in claims than in transfer. */
export const TASK_ADDRESS_BYTES_MIN = 16 * MIB;
/**
 * Part of a changed subtree's chunks that is taken to have changed since the base when tasks are cut: eight
 * of the 64 chunks of a lowest node.
 */
export const CHANGED_SHARE_EXPECTED = 1 / 8;
/** etcd accepts 128 operations and 1.5 MiB in a transaction. */
export const TASKS_PER_WRITE_MAX = 64;
export const WRITE_BYTES_MAX = 512 * KIB;
/** Tasks that one worker ships at a time. */
export const WORKER_TASKS_MAX = 2;
/** A task's progress is written at most this often. */
export const PROGRESS_WRITE_MS = 1000;
/** Stargate reports about four times a second; silence of this length means that it hangs. */
export const SHIP_SILENCE_MS_MAX = 15_000;
/** Pause before a failed task or remote call is tried again, doubled up to the maximum. */
export const RETRY_BACKOFF_MS = 200;
export const RETRY_BACKOFF_MS_MAX = 5000;
/** A plan reads a few block-map nodes. */
export const PLAN_DEADLINE_MS = 30_000;
/** One call to another site, over a slow link. */
export const REMOTE_DEADLINE_MS = 5000;
/** Recording asks for every root at all CVMs of the target. */
export const REMOTE_RECORD_DEADLINE_MS = 20_000;
/** How often an idle leader compares standings with its remote sites. */
export const STANDING_CHECK_MS = 5000;
/** Making a vDisk on a root is a few transactions. */
export const VDISK_DEADLINE_MS = 10_000;
/** Transactions of one request that lost a race are tried again this often. */
export const CONFLICTS_MAX = 16;
/** A call waits this long for a leader to be elected before NO_LEADER: twice a lease of 5 s. */
export const LEADER_WAIT_MS_MAX = 12_000;
/** The longest a forwarded call may take; a cut that waits for its roots is the longest. */
export const FORWARD_DEADLINE_MS = CUT_ROOTS_WAIT_MS_MAX + 60_000;
/** Calls that wait for their turn at one protection domain. */
export const QUEUE_PER_PD_MAX = 32;
/** A watched job is reported this often. */
export const WATCH_JOB_MS = 250;
/** A board that saw no event for this long reads its keys again. */
export const BOARD_RELIST_MS = 2000;

assert(TASKS_PER_WRITE_MAX + 8 < 128, "a batch of tasks and its guards fit a transaction of etcd");
assert(TASKS_PER_JOB_MAX > 2 * PD_MEMBERS_MAX, "every vDisk has room for a subtree task and a top");
assert(
  2 * PROGRESS_WRITE_MS < SHIP_SILENCE_MS_MAX,
  "a task writes progress before it counts as hanging",
);
