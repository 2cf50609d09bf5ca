/**
 * Limits of the oplog's journal, with the sums behind them. Tests pass smaller ones.
 */

import { assert } from "../../base/assert.ts";
import { KIB, MIB } from "../../base/units.ts";

export interface OplogLimits {
  /** A new segment begins when the next batch would end behind this. 64 MiB: a roll costs three syncs, once in some 15 000 records. */
  readonly segmentBytes: number;
  /** One write and one sync carry at most this, except for a single larger submission. */
  readonly batchBytesMax: number;
  /**
   * What waits for the disk; more is refused with OVERLOADED. Own owners take a quarter of it (OWNERS_SHARE)
   * and then wait; the links of 24 other CVMs with 8 MiB in flight each take the rest.
   */
  readonly pendingBytesMax: number;
  /** Record data kept in memory for reads, over all vDisks. */
  readonly recentBytesMax: number;
  /** Zeros written ahead of a small batch, so that the next syncs do not change the file's size. */
  readonly zeroAheadBytes: number;
  /** A batch at least this large amortises a change of size by itself: nothing is written ahead. */
  readonly zeroAheadBatchBytesMax: number;
  /** Trimmed segment files kept to be used again: their space is allocated already. */
  readonly spareSegmentsMax: number;
  /** More segments than this are reported, with the vDisks that pin the oldest. 64 of 64 MiB are 4 GiB, twice what a busy CVM's vDisks may leave undrained. */
  readonly segmentsReportMin: number;
  /** One disk read carries at most this. */
  readonly readBytesMax: number;
  /** Records further apart than this in a segment are read one by one. */
  readonly readGapBytesMax: number;
}

/** Failed reads of a record in a row after which the record counts as lost here. A drain tries about once a second. */
export const UNREADABLE_LOOKS_MAX = 8;

/** A CVM's own owners may have this part of `pendingBytesMax` on its way to the disk. */
export const OWNERS_SHARE = 4;

export const OPLOG_LIMITS: OplogLimits = {
  segmentBytes: 64 * MIB,
  batchBytesMax: 8 * MIB,
  pendingBytesMax: 256 * MIB,
  recentBytesMax: 24 * MIB,
  zeroAheadBytes: MIB,
  zeroAheadBatchBytesMax: 256 * KIB,
  spareSegmentsMax: 2,
  segmentsReportMin: 64,
  readBytesMax: 4 * MIB,
  readGapBytesMax: 64 * KIB,
};

assert(
  OPLOG_LIMITS.batchBytesMax < OPLOG_LIMITS.segmentBytes,
  "a full batch fits a segment several times",
);
assert(
  OPLOG_LIMITS.batchBytesMax < OPLOG_LIMITS.pendingBytesMax,
  "a full batch fits what may wait",
);
