/**
 * The owner's end of a vDisk's oplog: gives LSNs, writes its own replica and feeds the peers
 * (ownerPeers.ts) in batches, and knows what is durable everywhere.
 *
 * Three positions, each at most the one before it:
 * - `lastLsn`: given to a record;
 * - `commitLsn`: synced on this CVM and on every peer that counts;
 * - `appliedLsn`: visible to reads and acknowledged. It follows `commitLsn`, except while a cut holds
 *   it back (vdisk/ackGate.ts) or while copies that were lost are being replaced.
 *
 * Invariants:
 * O1 a record is acknowledged only when it is durable on every CVM listed in the owner record (P1);
 * O2 records become visible in LSN order, and only when committed: what a client read is never undone;
 * O3 after `stop`, nothing is acknowledged any more.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { lsn as asLsn, type Epoch, type Lsn, type VdiskId } from "../../base/ids.ts";
import { APPEND_BATCH_BYTES_MAX, APPEND_BATCH_RECORDS_MAX } from "../vdisk/limits.ts";
import type { OplogRecord, OplogReplica, RecordKind } from "./contracts.ts";
import { entryBytes } from "./entry.ts";
import { type Attachment, type OwnerPeerEvents, OwnerPeers } from "./ownerPeers.ts";

/** A record without its place in the log. */
export interface NewRecord {
  readonly kind: RecordKind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly data: Uint8Array;
}

/** What the owner log tells its vDisk; none of these may throw. */
export interface OwnerLogEvents extends OwnerPeerEvents {
  /** The record is committed and not held back: make it visible. Called in LSN order, before its promise resolves. */
  readonly onApply: (record: OplogRecord) => void;
  /** The own disk failed: the vDisk cannot be served from here. */
  readonly onLocalFailure: (error: unknown) => void;
}

interface Entry {
  readonly record: OplogRecord;
  readonly onCommitted: (() => void) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class OwnerLog {
  readonly #replica: OplogReplica;
  readonly #events: OwnerLogEvents;
  readonly #peers: OwnerPeers;
  #epoch: Epoch;
  #nextLsn: number;
  /** First LSN that no batch has taken yet. */
  #flushLsn: number;
  #localLsn: number;
  #commitLsn: number;
  #appliedLsn: number;
  /** Records after `appliedLsn`, in order. An applied entry is let go of at once: it holds its data. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #flushScheduled = false;
  /** The own journal is behind: records wait here, in order, and are in no batch. */
  #waitsForRoom = false;
  #holds = 0;
  #trimPins = 0;
  #trimTarget = 0;
  #stopped: AntipodeError | undefined;

  /** The replica's records up to its end count as committed and visible: the caller has levelled the peers and applied them. */
  constructor(options: {
    readonly vdiskId: VdiskId;
    readonly replica: OplogReplica;
    readonly epoch: Epoch;
    readonly events: OwnerLogEvents;
  }) {
    this.#replica = options.replica;
    this.#events = options.events;
    this.#epoch = options.epoch;
    const { lastLsn } = options.replica.state();
    this.#nextLsn = lastLsn + 1;
    this.#flushLsn = this.#nextLsn;
    this.#localLsn = lastLsn;
    this.#commitLsn = lastLsn;
    this.#appliedLsn = lastLsn;
    this.#peers = new OwnerPeers({
      ...options,
      epoch: () => this.#epoch,
      flushLsn: () => this.#flushLsn,
      stopped: () => this.#stopped,
      onProgress: () => {
        this.#advance();
      },
    });
  }

  get epoch(): Epoch {
    return this.#epoch;
  }
  get lastLsn(): Lsn {
    return asLsn(this.#nextLsn - 1);
  }
  get commitLsn(): Lsn {
    return asLsn(this.#commitLsn);
  }
  get appliedLsn(): Lsn {
    return asLsn(this.#appliedLsn);
  }
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /**
   * Appends one record.
   * @param onCommitted called when it is durable everywhere, even while acknowledgements are held
   * @returns resolves when it is acknowledged
   * @throws AntipodeError when the log was stopped first: the record may or may not survive
   */
  append(fresh: NewRecord, onCommitted?: () => void): Promise<Lsn> {
    const stopped = this.#stopped;
    if (stopped !== undefined) return Promise.reject(stopped);
    const lsn = asLsn(this.#nextLsn++);
    const record: OplogRecord = {
      lsn,
      epoch: this.#epoch,
      kind: fresh.kind,
      offsetBytes: fresh.offsetBytes,
      lengthBytes: fresh.lengthBytes,
      data: fresh.data,
    };
    return new Promise((resolve, reject) => {
      this.#entries.push({
        record,
        onCommitted,
        resolve: () => {
          resolve(lsn);
        },
        reject,
      });
      this.#scheduleFlush();
    });
  }

  /** Holds back visibility and acknowledgements until as many releases. */
  hold(): void {
    this.#holds += 1;
  }

  release(): void {
    assert(this.#holds > 0, "a release follows a hold");
    this.#holds -= 1;
    this.#applyCommitted();
  }

  /** The log up to `lsn` is in the block map. Its space is given back when no peer is catching up. */
  trim(lsn: Lsn): void {
    this.#trimTarget = Math.max(this.#trimTarget, lsn);
    if (this.#trimPins === 0) this.#replica.trim(asLsn(this.#trimTarget));
  }

  /** Keeps the log from being trimmed while a peer is levelled with it; call the result to end that. */
  pinTrim(): () => void {
    this.#trimPins += 1;
    let pinned = true;
    return () => {
      if (!pinned) return;
      pinned = false;
      this.#trimPins -= 1;
      if (this.#trimPins === 0) this.#replica.trim(asLsn(this.#trimTarget));
    };
  }

  /** Ends the log: everything that waits is rejected, nothing is acknowledged any more (O3). */
  stop(error: AntipodeError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = error;
    const waiting = this.#entries.slice(this.#head);
    this.#entries = [];
    this.#head = 0;
    for (const entry of waiting) entry?.reject(error);
  }

  // ---- peers ----

  /** From now on records carry this epoch, and exactly these peers count. */
  configure(epoch: Epoch, peers: readonly number[]): void {
    assert(epoch > this.#epoch, "the epoch grows with every change of the peers");
    this.#epoch = epoch;
    this.#peers.configure(peers);
  }

  /**
   * Feeds a peer whose log is known to equal ours up to `lastLsn`: sends it the rest, then every new
   * batch. Resolves when it has caught up.
   * @throws AntipodeError when it stops answering meanwhile
   */
  attach(attachment: Attachment): Promise<void> {
    return this.#peers.attach(attachment);
  }

  /** The peer gets nothing any more and does not count; only for peers that are not listed. */
  detach(cvm: number): void {
    this.#peers.detach(cvm);
  }

  /** Peers that count and follow. */
  followers(): readonly number[] {
    return this.#peers.followers();
  }

  /** Until when every counted peer lets us serve reads; infinite without peers. */
  readLeaseUntilMs(): number {
    return this.#peers.readLeaseUntilMs();
  }

  /**
   * Asks every counted peer for a fresh read lease, and tells it what is drained. A peer that has lost
   * records that it acknowledged, or does not answer, is reported as lost.
   */
  renewReadLease(): Promise<void> {
    return this.#peers.renewReadLease();
  }

  // ---- batches ----

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    void Promise.resolve().then(() => {
      this.#flushScheduled = false;
      while (this.#stopped === undefined && !this.#waitsForRoom && this.#flushLsn < this.#nextLsn)
        this.#flush();
    });
  }

  /** Sends the next batch everywhere; or nowhere yet, when the own journal has no room for it. */
  #flush(): void {
    const records = this.#takeBatch();
    const last = records.at(-1);
    assert(last !== undefined, "a batch has records");
    const room = this.#replica.room(journalBytes(records));
    if (room !== undefined) {
      this.#waitsForRoom = true;
      void room.then(() => {
        this.#waitsForRoom = false;
        this.#scheduleFlush();
      });
      return;
    }
    this.#flushLsn = last.lsn + 1;
    void this.#appendLocally(records, last.lsn);
    this.#peers.feed(records);
  }

  #takeBatch(): readonly OplogRecord[] {
    const records: OplogRecord[] = [];
    let bytes = 0;
    const start = this.#head + (this.#flushLsn - this.#appliedLsn - 1);
    for (
      let i = start;
      i < this.#entries.length && records.length < APPEND_BATCH_RECORDS_MAX;
      i++
    ) {
      const entry = this.#entries[i];
      assert(entry !== undefined, "entries are dense");
      if (records.length > 0 && bytes + entry.record.data.length > APPEND_BATCH_BYTES_MAX) break;
      bytes += entry.record.data.length;
      records.push(entry.record);
    }
    return records;
  }

  async #appendLocally(records: readonly OplogRecord[], last: number): Promise<void> {
    try {
      const outcome = await this.#replica.append(this.#epoch, records);
      if (this.#stopped !== undefined) return;
      if (outcome.kind === "staleEpoch") this.#events.onDeposed(outcome.promisedEpoch);
      else if (outcome.kind === "gap")
        this.#events.onLocalFailure(new AntipodeError("DISK_FAILED", "the own oplog has a gap"));
      else {
        this.#localLsn = Math.max(this.#localLsn, last);
        this.#advance();
      }
    } catch (error) {
      if (this.#stopped === undefined) this.#events.onLocalFailure(error);
    }
  }

  // ---- commit and apply ----

  #advance(): void {
    if (this.#stopped !== undefined) return;
    const commit = this.#peers.committed(this.#localLsn);
    if (commit <= this.#commitLsn) return;
    const before = this.#commitLsn;
    this.#commitLsn = commit;
    for (let lsn = before + 1; lsn <= commit; lsn++)
      this.#entries[this.#head + (lsn - this.#appliedLsn - 1)]?.onCommitted?.();
    this.#applyCommitted();
  }

  #applyCommitted(): void {
    // A hold can end after the log has (O3).
    if (this.#holds > 0 || this.#stopped !== undefined) return;
    while (this.#appliedLsn < this.#commitLsn) {
      const entry = this.#entries[this.#head];
      assert(
        entry !== undefined && entry.record.lsn === this.#appliedLsn + 1,
        "records are applied in order",
      );
      this.#entries[this.#head] = undefined;
      this.#head += 1;
      this.#appliedLsn += 1;
      this.#events.onApply(entry.record);
      entry.resolve();
    }
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}

function journalBytes(records: readonly OplogRecord[]): number {
  let bytes = 0;
  for (const record of records) bytes += entryBytes(record.data.length);
  return bytes;
}
