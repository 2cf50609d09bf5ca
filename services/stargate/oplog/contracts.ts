/**
 * The oplog's words. A vDisk's oplog is an ordered list of records with dense LSNs; a *replica* is
 * one CVM's durable copy of it. The owner has one, every peer has one; they share one journal (files)
 * a CVM, so that one sync covers the writes of all vDisks (group commit).
 *
 * Log matching: two replicas that hold a record with the same lsn and epoch hold the same records up
 * to it. It is kept by `append`, which refuses gaps, and by `truncateAfter`.
 */

import type { Epoch, Lsn, VdiskId } from "../../base/ids.ts";

/** What a record does to its vDisk. */
export type RecordKind =
  /** Bytes at an offset. */
  | "write"
  /** The range reads as zeros from here. */
  | "zero"
  /** Aligned chunks that are in the extent store already: the data are their fingerprints, 32 bytes each (32 zero bytes: all-zero chunk). */
  | "chunks"
  /** A cut of a consistency group: offset and length are 0, the data are the 16 bytes of the cut's id. */
  | "marker";

export interface OplogRecord {
  readonly lsn: Lsn;
  /** Epoch of the owner that appended it. */
  readonly epoch: Epoch;
  readonly kind: RecordKind;
  /** Bytes of vDisk address space that the record covers. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** write: `lengthBytes` bytes; chunks: 32 bytes a chunk; zero: empty; marker: 16 bytes. */
  readonly data: Uint8Array;
}

/** Where a replica stands. */
export interface ReplicaState {
  /** Highest epoch this CVM has promised: records below it are refused. Durable. */
  readonly promisedEpoch: Epoch;
  /** Everything up to here is in the block map and may be gone from the log. */
  readonly drainedLsn: Lsn;
  /** Last record, or `drainedLsn` when there is none after it. */
  readonly lastLsn: Lsn;
  /** Epoch of the record at `lastLsn`; 0 when unknown because it was drained away. */
  readonly lastEpoch: Epoch;
  /** Bytes of records after `drainedLsn`, data and headers. */
  readonly undrainedBytes: number;
  /**
   * Present when damage was found: records from this LSN on are not to be trusted. By recovery: they may
   * have existed here and are lost, and this is `lastLsn + 1`. By a `read`: the record fails its check.
   * Such a replica can be read before this LSN and may promise, but refuses `append` and
   * `truncateAfter` with `OPLOG_CORRUPT` until it is `reset`.
   */
  readonly unknownFrom?: Lsn;
}

export type AppendOutcome =
  | { readonly kind: "appended" }
  /** Somebody with a higher epoch has fenced this replica. */
  | { readonly kind: "staleEpoch"; readonly promisedEpoch: Epoch }
  /** The first record does not follow the last one held. */
  | { readonly kind: "gap"; readonly lastLsn: Lsn };

/** One vDisk's oplog on this CVM. Calls may overlap; they take effect in the order in which they were made. */
export interface OplogReplica {
  readonly vdiskId: VdiskId;
  state(): ReplicaState;
  /**
   * Is there room for records of so many bytes? `undefined`: an `append` of them in this turn is taken.
   * Else resolves when it is worth asking again. Owners ask before they append; peers need not, because
   * the window of the link that feeds them bounds what they are given.
   */
  room(bytes: number): Promise<void> | undefined;
  /**
   * Appends records with dense LSNs from `lastLsn + 1`; resolves `appended` when they are synced.
   * The records are in `read` at once; `epoch` must be at least the promised one and is promised by this.
   * @throws AntipodeError `DISK_FULL`, `DISK_FAILED`: nothing was acknowledged; the replica is failed for good after DISK_FAILED
   */
  append(epoch: Epoch, records: readonly OplogRecord[]): Promise<AppendOutcome>;
  /**
   * Promises to refuse everything below `epoch`. Resolves when that is synced; false when a higher
   * epoch is promised already (promising the same again is fine).
   */
  promise(epoch: Epoch): Promise<boolean>;
  /** Drops records after `lsn` (a new owner's log is shorter); promises `epoch`. Synced when it resolves. */
  truncateAfter(epoch: Epoch, lsn: Lsn): Promise<AppendOutcome>;
  /** Forgets everything and begins after `baseLsn`: for a CVM that joins or rejoins the peers. Synced. */
  reset(epoch: Epoch, baseLsn: Lsn): Promise<AppendOutcome>;
  /** Epoch of a record that is held, 0 when it is not (drained or beyond the end). */
  epochAt(lsn: Lsn): Epoch;
  /**
   * Records `from`..`to` inclusive, data verified against its checksum, from memory where it is still
   * there, else from the journal.
   * @throws AntipodeError `OPLOG_CORRUPT` when a record fails its check twice; the replica is damaged from then on
   */
  read(from: Lsn, to: Lsn): Promise<readonly OplogRecord[]>;
  /**
   * Records that could not be read back so often in a row that it is no accident (UNREADABLE_LOOKS_MAX) count
   * as rotten from now on. For owners that have another copy: without one, only trying again can help.
   */
  distrustUnreadable(): void;
  /** The log up to `lsn` is in the block map: its space may be used again. Not synced: it may be forgotten in a crash. */
  trim(lsn: Lsn): void;
}

/** All replicas of this CVM. */
export interface OplogReplicas {
  /** The replica of a vDisk; empty (epoch 0, LSN 0) when this CVM never had one. */
  of(vdiskId: VdiskId): OplogReplica;
  /** vDisks that have a replica here. */
  list(): readonly VdiskId[];
  /** The vDisk was deleted: its log may go. */
  forget(vdiskId: VdiskId): Promise<void>;
  /** Bytes of journal files, and of all records not yet trimmed. */
  usage(): { readonly fileBytes: number; readonly liveBytes: number };
  close(): Promise<void>;
}
