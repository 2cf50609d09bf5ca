/**
 * The owner's end of a vDisk's oplog: gives LSNs, writes its own replica and feeds the peers in
 * batches, and knows what is durable everywhere.
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
import { AntipodeError, codeOf } from "../../base/errors.ts";
import {
  epoch as asEpoch,
  lsn as asLsn,
  type Epoch,
  type Lsn,
  type VdiskId,
} from "../../base/ids.ts";
import {
  APPEND_BATCH_BYTES_MAX,
  APPEND_BATCH_RECORDS_MAX,
  LEVEL_BATCH_BYTES,
  LEVEL_BATCH_RECORDS,
  READ_LEASE_MS,
} from "../vdisk/limits.ts";
import type { OplogRecord, OplogReplica, RecordKind } from "./contracts.ts";
import { entryBytes } from "./entry.ts";
import type { PeerLink } from "./peerLink.ts";

/** A record without its place in the log. */
export interface NewRecord {
  readonly kind: RecordKind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly data: Uint8Array;
}

/** What the owner log tells its vDisk; none of these may throw. */
export interface OwnerLogEvents {
  /** The record is committed and not held back: make it visible. Called in LSN order, before its promise resolves. */
  readonly onApply: (record: OplogRecord) => void;
  /** A counted peer stopped answering or does not follow; nothing is committed until it is levelled or removed. */
  readonly onPeerLost: (cvm: number, reason: unknown) => void;
  /** Somebody holds a higher epoch. */
  readonly onDeposed: (promisedEpoch: number) => void;
  /** The own disk failed: the vDisk cannot be served from here. */
  readonly onLocalFailure: (error: unknown) => void;
}

interface Peer {
  readonly cvm: number;
  readonly link: PeerLink;
  /** Does it count for commits? */
  counted: boolean;
  /** streaming: gets every new batch; catching: is being sent the tail; lost: gets nothing. */
  state: "streaming" | "catching" | "lost";
  /** Why it is lost. */
  reason: unknown;
  ackedLsn: number;
  leaseUntilMs: number;
}

interface Entry {
  readonly record: OplogRecord;
  readonly onCommitted: (() => void) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class OwnerLog {
  readonly #vdiskId: VdiskId;
  readonly #replica: OplogReplica;
  readonly #events: OwnerLogEvents;
  readonly #peers = new Map<number, Peer>();
  #epoch: Epoch;
  #nextLsn: number;
  /** First LSN that no batch has taken yet. */
  #flushLsn: number;
  #localLsn: number;
  #commitLsn: number;
  #appliedLsn: number;
  /** Records after `appliedLsn`, in order. */
  /** An applied entry is let go of at once: it holds its data. */
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
    this.#vdiskId = options.vdiskId;
    this.#replica = options.replica;
    this.#events = options.events;
    this.#epoch = options.epoch;
    const { lastLsn } = options.replica.state();
    this.#nextLsn = lastLsn + 1;
    this.#flushLsn = this.#nextLsn;
    this.#localLsn = lastLsn;
    this.#commitLsn = lastLsn;
    this.#appliedLsn = lastLsn;
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
    for (const peer of this.#peers.values()) peer.counted = peers.includes(peer.cvm);
    for (const [cvm, peer] of this.#peers) if (!peer.counted) this.#peers.delete(cvm);
    this.#advance();
  }

  /**
   * Feeds a peer whose log is known to equal ours up to `lastLsn`: sends it the rest, then every new
   * batch. Resolves when it has caught up.
   * @throws AntipodeError when it stops answering meanwhile
   */
  async attach(options: {
    readonly cvm: number;
    readonly link: PeerLink;
    readonly lastLsn: Lsn;
    /** Do commits wait for it at once, or from when it has caught up? */
    readonly counted: boolean;
  }): Promise<void> {
    const peer: Peer = {
      cvm: options.cvm,
      link: options.link,
      counted: options.counted,
      state: "catching",
      reason: undefined,
      ackedLsn: options.lastLsn,
      leaseUntilMs: 0,
    };
    this.#peers.set(options.cvm, peer);
    try {
      await this.#catchUp(peer);
    } catch (error) {
      peer.state = "lost";
      throw error;
    }
  }

  async #catchUp(peer: Peer): Promise<void> {
    // The switch to streaming happens in the same turn as the comparison: no record falls between.
    while (peer.ackedLsn + 1 < this.#flushLsn) {
      const from = asLsn(peer.ackedLsn + 1);
      const to = asLsn(Math.min(this.#flushLsn - 1, peer.ackedLsn + LEVEL_BATCH_RECORDS));
      const records = upToBytes(await this.#replica.read(from, to), LEVEL_BATCH_BYTES);
      this.#assertAttached(peer);
      await this.#send(peer, records);
      this.#assertAttached(peer);
    }
    // It has all that was ever committed, and has no record committed without it from now on.
    peer.state = "streaming";
    peer.counted = true;
    if (peer.leaseUntilMs === 0) await this.#send(peer, []);
    this.#assertAttached(peer);
  }

  #assertAttached(peer: Peer): void {
    if (this.#stopped !== undefined) throw this.#stopped;
    if (this.#peers.get(peer.cvm) !== peer)
      throw new AntipodeError("CANCELLED", "the peer was taken out while it caught up");
    if (peer.state === "lost")
      throw new AntipodeError(
        codeOf(peer.reason) === "OVERLOADED" ? "OVERLOADED" : "PEER_UNREACHABLE",
        "the peer was lost while it caught up",
        { cvm: peer.cvm },
        peer.reason,
      );
  }

  /** The peer gets nothing any more and does not count; only for peers that are not listed. */
  detach(cvm: number): void {
    this.#peers.delete(cvm);
    this.#advance();
  }

  /** Peers that count and follow. */
  followers(): readonly number[] {
    return [...this.#peers.values()]
      .filter((peer) => peer.counted && peer.state !== "lost")
      .map((peer) => peer.cvm);
  }

  /** Until when every counted peer lets us serve reads; infinite without peers. */
  readLeaseUntilMs(): number {
    let until = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers.values())
      if (peer.counted) until = Math.min(until, peer.state === "lost" ? 0 : peer.leaseUntilMs);
    return until;
  }

  /**
   * Asks every counted peer for a fresh read lease, and tells it what is drained. A peer that has lost
   * records that it acknowledged, or does not answer, is reported as lost.
   */
  async renewReadLease(): Promise<void> {
    await Promise.all(
      [...this.#peers.values()]
        .filter((peer) => peer.state === "streaming")
        .map((peer) => this.#send(peer, [])),
    );
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
    for (const peer of this.#peers.values())
      if (peer.state === "streaming") void this.#send(peer, records);
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

  /** Never throws: what goes wrong is told through the events. */
  async #send(peer: Peer, records: readonly OplogRecord[]): Promise<void> {
    const acknowledged = peer.ackedLsn;
    try {
      const { outcome, sentAtMs } = await peer.link.append({
        vdiskId: this.#vdiskId,
        epoch: this.#epoch,
        drainedLsn: this.#replica.state().drainedLsn,
        records,
      });
      if (this.#stopped !== undefined || this.#peers.get(peer.cvm) !== peer) return;
      if (outcome.kind === "appended" && outcome.lastLsn < acknowledged) {
        const details = { cvm: peer.cvm, lastLsn: outcome.lastLsn, acknowledgedLsn: acknowledged };
        this.#lose(
          peer,
          new AntipodeError("OPLOG_CORRUPT", "a peer has lost records of the oplog", details),
        );
      } else if (outcome.kind === "appended") {
        peer.ackedLsn = Math.max(peer.ackedLsn, records.at(-1)?.lsn ?? 0);
        peer.leaseUntilMs = Math.max(peer.leaseUntilMs, sentAtMs + READ_LEASE_MS);
        this.#advance();
      } else if (outcome.kind === "staleEpoch" && outcome.promisedEpoch > this.#epoch) {
        this.#events.onDeposed(asEpoch(outcome.promisedEpoch));
      } else {
        this.#lose(
          peer,
          new AntipodeError(
            outcome.errorCode === "OVERLOADED" ? "OVERLOADED" : "PEER_UNREACHABLE",
            `a peer's oplog does not follow: ${outcome.kind} ${outcome.errorMessage}`,
            { cvm: peer.cvm },
          ),
        );
      }
    } catch (error) {
      if (this.#stopped === undefined && this.#peers.get(peer.cvm) === peer)
        this.#lose(peer, error);
    }
  }

  #lose(peer: Peer, reason: unknown): void {
    if (peer.state === "lost") return;
    const wasCatching = peer.state === "catching";
    peer.state = "lost";
    peer.reason = reason;
    // While it catches up, `attach` reports the loss to whoever called it.
    if (!wasCatching) this.#events.onPeerLost(peer.cvm, reason);
  }

  // ---- commit and apply ----

  #advance(): void {
    if (this.#stopped !== undefined) return;
    let commit = this.#localLsn;
    for (const peer of this.#peers.values())
      if (peer.counted) commit = Math.min(commit, peer.ackedLsn);
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

function upToBytes(records: readonly OplogRecord[], bytesMax: number): readonly OplogRecord[] {
  let bytes = 0;
  let count = 0;
  for (const record of records) {
    if (count > 0 && bytes + record.data.length > bytesMax) break;
    bytes += record.data.length;
    count += 1;
  }
  return records.slice(0, count);
}
