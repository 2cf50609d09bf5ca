/** Named bounds of replication's data movers, each with the sum that justifies it. */

import { assert } from "../../base/assert.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES, KIB, MIB } from "../../base/units.ts";
import { NODE_SIZE_BYTES_MAX } from "../blockmap/node.ts";

/**
 * Stored bytes of one ship that are read but not yet durable at the target. 1 Gbit/s × 100 ms are
 * 12.5 MB on the way; 16 MiB leave the target 28 ms more to store and answer (16 MiB / 128 ms = 131 MB/s).
 */
export const WINDOW_BYTES = 16 * MIB;
/**
 * Stored bytes of a frame. A frame costs some ten promises, messages and a group commit on each of its
 * CVMs, whatever its size; but the slower the link, the longer one takes, and it is answered as a whole:
 * at 1 Mbit/s 4 s, less than half of WATCHDOG_MS.
 */
export const FRAME_BYTES = 512 * KIB;
/**
 * Chunks read from the source's extent store at once, four extents' worth: a third of them lies on other
 * CVMs of the source, and each of those is asked once.
 */
export const READ_BATCH_CHUNKS = 256;
/** Nodes of one level that are walked together. At level 1 these are 16 MiB of address space. */
export const SLICE_NODES = 16;
/**
 * Slices of level 1 under way at once. Each takes about three round trips (ask for nodes, ask for
 * chunks, store nodes); 8 × 16 MiB in 300 ms are 447 MB/s of deduplicated address space at 100 ms.
 */
export const SLICES_IN_FLIGHT = 8;
/** Slices of every level above: the next one begins while the last answers of this one come in. */
export const UPPER_SLICES_IN_FLIGHT = 2;
/** Chunks of one level-1 slice, and of one query for them: 32 KiB of fingerprints. */
export const SLICE_CHUNKS = SLICE_NODES * 64;
/**
 * Fingerprints remembered by one ship so that nothing is sent twice. They matter until the target's
 * answers say the same; 131 072 are 2 GiB of distinct chunks and about 16 MiB of memory.
 */
export const CLAIMS_MAX = 131_072;

/** No answer for so long, with requests open: the stream is taken for dead. Doubles three times at most. */
export const WATCHDOG_MS = 10_000;
export const WATCHDOG_DOUBLINGS_MAX = 3;
/** No answer from any target for so long: the task gives up; the job's leader starts it again later. */
export const GIVE_UP_MS = 120_000;
/** A target that failed is left alone for this long, doubled with each failure up to the maximum. */
export const REST_MS = 100;
export const REST_MS_MAX = 5_000;
/** Times that one request is tried again after a stream broke under it. */
export const ATTEMPTS_MAX = 64;
/** Times that one request is tried again after a target refused it. */
export const REFUSALS_MAX = 3;
/** How often the ledger is reported. */
export const LEDGER_PERIOD_MS = 250;

/** Requests of one stream that the receiver works on at once, in bytes, 64 KiB a request at least. */
export const RECEIVE_PENDING_BYTES = 32 * MIB;
export const RECEIVE_REQUEST_BYTES_MIN = 64 * KIB;
/** Most fingerprints of one query and most chunks of one frame that the receiver accepts. */
export const QUERY_FINGERPRINTS_MAX = 16_384;
export const FRAME_CHUNKS_MAX = 1024;
/** The product's largest replication factor. */
export const REPLICATION_FACTOR_MAX = 3;

/** Regions of one message of a difference: about 16 KiB. */
export const REGIONS_BATCH_MAX = 1024;

assert(READ_BATCH_CHUNKS * CHUNK_SIZE_BYTES * 4 <= WINDOW_BYTES, "several reads fit the window");
assert(SLICE_NODES * NODE_SIZE_BYTES_MAX <= FRAME_BYTES, "the nodes of a slice fit one frame");
assert(SLICE_CHUNKS <= QUERY_FINGERPRINTS_MAX, "the receiver accepts our queries");
assert(SLICE_CHUNKS * FINGERPRINT_SIZE_BYTES <= FRAME_BYTES, "a query is no larger than a frame");
assert(CLAIMS_MAX > 4 * SLICES_IN_FLIGHT * SLICE_CHUNKS, "what is in flight is never forgotten");
