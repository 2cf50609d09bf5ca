/**
 * Bounds of the vDisk room, with the sums that justify them.
 */

import { assert } from "../../base/assert.ts";
import { GIB, KIB, MIB } from "../../base/units.ts";

/** An owner stops taking writes when this much of one vDisk's oplog is not drained. The product's cap is 6 GiB a vDisk on servers; a laptop's disk and a takeover (which may have to copy all of it) bound it here. */
export const UNDRAINED_BYTES_MAX = 512 * MIB;
/** A drain takes at most this much of the log at once: it is held in memory together with the chunks it touches (4 KiB random writes touch four times their size). */
export const DRAIN_BATCH_BYTES_MAX = 16 * MIB;
/** Records of one drain batch: 4 KiB writes filling DRAIN_BATCH_BYTES_MAX. */
export const DRAIN_BATCH_RECORDS_MAX = 4096;
/** A drain begins when this much waits, or when something has waited for DRAIN_IDLE_MS. */
export const DRAIN_START_BYTES = 32 * MIB;
export const DRAIN_IDLE_MS = 1000;
/** After a failed drain (a CVM or etcd away) the next try waits this long. */
export const DRAIN_RETRY_MS = 250;

/** Records that go to the journal and to the peers in one batch. */
export const APPEND_BATCH_RECORDS_MAX = 256;
export const APPEND_BATCH_BYTES_MAX = 2 * MIB;
/** Batches that one peer may owe answers for; further records gather in the next one, so that a busy stream carries few large messages. */
export const PEER_BATCHES_IN_FLIGHT_MAX = 4;
/** Bytes that one peer may owe answers for. */
export const PEER_BYTES_IN_FLIGHT_MAX = 32 * MIB;

/** A peer that owes an answer for this long is taken for lost. Long enough for a busy laptop's disk; a killed process is noticed at once by its connection. */
export const PEER_ANSWER_MS_MAX: number = 4000;
/** How long an owner tries to reach a lost peer again before it removes it. */
export const PEER_RESUME_MS = 500;
/** A peer that answers that its disk is behind keeps its place for so long; a disk that takes nothing for a minute has failed. */
export const PEER_BUSY_MS_MAX = 60_000;
/** How long a new owner waits for a listed peer that does not answer (it may be restarting) before it removes it. */
export const TAKEOVER_PATIENCE_MS = 1500;
/** An owner asks a peer that it has not heard for so long: a copy that was lost is made anew within seconds, and a thousand idle vDisks cost 500 small items a second. */
export const HEARTBEAT_EVERY_MS = 2000;
/** How often an owner looks whether copies are missing and can be replaced. */
export const RECONFIGURE_EVERY_MS = 500;
/** Deadline of fence, level and other control calls between Stargates. */
export const CONTROL_CALL_MS = 2000;
/** Bytes of log that one levelling message carries. */
export const LEVEL_BATCH_BYTES = 2 * MIB;
/** Records of one levelling message. */
export const LEVEL_BATCH_RECORDS = 512;

/** A peer's answer lets the owner serve reads for this long, counted from when the owner asked. */
export const READ_LEASE_MS: number = 1500;
/** A new owner waits this long after its own last grant: longer, because clocks may run at slightly different rates. */
export const READ_LEASE_WAIT_MS = 1650;
/** An owner renews the lease of a vDisk that is being read when less than this is left. */
export const READ_LEASE_RENEW_MS: number = 700;

/** Writes are held this long at most for a cut (design: 500 ms), then they go on and the cut is void. */
export const HOLD_MS_MAX = 500;

/** Longest single request below the front-end; larger ones are split. */
export const IO_BYTES_MAX = 4 * MIB;
/** One zero record covers at most this much, so that its drain touches a bounded number of chunks. */
export const ZERO_RECORD_BYTES_MAX = 64 * MIB;
/** Aligned writes of at least this size go past the oplog, straight to the extent store. */
export const BYPASS_BYTES_MIN = 256 * KIB;
/** Chunks of one bypassing write are stored in groups of this many, so that hashing and sending overlap. */
export const BYPASS_GROUP_CHUNKS = 64;

/** Longest range of a forwarded request without data: a block client's length has 32 bits. */
export const FORWARDED_RANGE_BYTES_MAX: number = 4 * GIB;
/** Requests of front-ends on other CVMs that an owner carries out at once, a stream. */
export const FORWARDED_IN_FLIGHT_MAX = 256;
/** A request is tried again (the owner changed, a peer took over), or waits for room in a full log, for this long before the client sees an error. */
export const IO_RETRY_MS = 60_000;
/** First and longest pause between those tries. */
export const IO_RETRY_PAUSE_MS_MIN = 20;
export const IO_RETRY_PAUSE_MS_MAX = 500;
/** A forwarded request without an answer for this long is tried again elsewhere. */
export const FORWARD_ANSWER_MS_MAX: number = 15_000;

assert(
  READ_LEASE_WAIT_MS > READ_LEASE_MS * 1.05,
  "a new owner waits out clocks that differ by 5 %",
);
assert(READ_LEASE_RENEW_MS < READ_LEASE_MS, "a lease is renewed before it ends");
assert(
  PEER_ANSWER_MS_MAX < FORWARD_ANSWER_MS_MAX,
  "a lost peer is removed before its clients give up",
);
assert(DRAIN_BATCH_BYTES_MAX < UNDRAINED_BYTES_MAX, "a full log can be drained in several batches");
assert(IO_BYTES_MAX <= DRAIN_BATCH_BYTES_MAX, "one record fits a drain batch");
