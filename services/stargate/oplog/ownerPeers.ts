/**
 * The peers of an owner's log: brings each one up to the log's end, feeds it every batch, and knows how
 * far it has followed and until when it lets the owner serve reads.
 *
 * A peer is catching (is being sent the tail), streaming (gets every new batch) or lost (gets nothing).
 * One that counts holds commits up until it has acknowledged (ownerLog.ts, O1).
 */

import { AntipodeError, codeOf } from "../../base/errors.ts";
import {
  epoch as asEpoch,
  lsn as asLsn,
  type Epoch,
  type Lsn,
  type VdiskId,
} from "../../base/ids.ts";
import { LEVEL_BATCH_BYTES, LEVEL_BATCH_RECORDS, READ_LEASE_MS } from "../vdisk/limits.ts";
import type { OplogRecord, OplogReplica } from "./contracts.ts";
import type { PeerLink } from "./peerLink.ts";

/** What the peers tell; none of these may throw. */
export interface OwnerPeerEvents {
  /** A counted peer stopped answering or does not follow; nothing is committed until it is levelled or removed. */
  readonly onPeerLost: (cvm: number, reason: unknown) => void;
  /** Somebody holds a higher epoch. */
  readonly onDeposed: (promisedEpoch: number) => void;
}

/** The log that they follow. */
export interface FollowedLog {
  readonly vdiskId: VdiskId;
  readonly replica: OplogReplica;
  readonly events: OwnerPeerEvents;
  readonly epoch: () => Epoch;
  /** First LSN that no batch has taken yet. */
  readonly flushLsn: () => number;
  readonly stopped: () => AntipodeError | undefined;
  /** A peer has acknowledged more, or counts no longer. */
  readonly onProgress: () => void;
}

/** How a peer is attached. */
export interface Attachment {
  readonly cvm: number;
  readonly link: PeerLink;
  /** Up to here its log equals ours. */
  readonly lastLsn: Lsn;
  /** Do commits wait for it at once, or from when it has caught up? */
  readonly counted: boolean;
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

/** See the file's header. */
export class OwnerPeers {
  readonly #log: FollowedLog;
  readonly #peers = new Map<number, Peer>();

  constructor(log: FollowedLog) {
    this.#log = log;
  }

  /** From now on exactly these peers count. */
  configure(peers: readonly number[]): void {
    for (const peer of this.#peers.values()) peer.counted = peers.includes(peer.cvm);
    for (const [cvm, peer] of this.#peers) if (!peer.counted) this.#peers.delete(cvm);
    this.#log.onProgress();
  }

  /** Sends a batch to all that stream. */
  feed(records: readonly OplogRecord[]): void {
    for (const peer of this.#peers.values())
      if (peer.state === "streaming") void this.#send(peer, records);
  }

  /** What the own journal has synced up to here is synced at every peer that counts up to the result. */
  committed(localLsn: number): number {
    let commit = localLsn;
    for (const peer of this.#peers.values())
      if (peer.counted) commit = Math.min(commit, peer.ackedLsn);
    return commit;
  }

  /**
   * Feeds a peer whose log is known to equal ours up to `lastLsn`: sends it the rest, then every new
   * batch. Resolves when it has caught up.
   * @throws AntipodeError when it stops answering meanwhile
   */
  async attach(options: Attachment): Promise<void> {
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
    while (peer.ackedLsn + 1 < this.#log.flushLsn()) {
      const from = asLsn(peer.ackedLsn + 1);
      const to = asLsn(Math.min(this.#log.flushLsn() - 1, peer.ackedLsn + LEVEL_BATCH_RECORDS));
      // Records whose write failed are taken back before the log is told so.
      if (this.#log.replica.state().lastLsn < to)
        throw new AntipodeError("CANCELLED", "the own copy lost records that were not committed");
      const records = upToBytes(await this.#log.replica.read(from, to), LEVEL_BATCH_BYTES);
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
    const stopped = this.#log.stopped();
    if (stopped !== undefined) throw stopped;
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
    this.#log.onProgress();
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

  /** Never throws: what goes wrong is told through the events. */
  async #send(peer: Peer, records: readonly OplogRecord[]): Promise<void> {
    const acknowledged = peer.ackedLsn;
    try {
      const { outcome, sentAtMs } = await peer.link.append({
        vdiskId: this.#log.vdiskId,
        epoch: this.#log.epoch(),
        drainedLsn: this.#log.replica.state().drainedLsn,
        records,
      });
      if (this.#log.stopped() !== undefined || this.#peers.get(peer.cvm) !== peer) return;
      if (outcome.kind === "appended" && outcome.lastLsn < acknowledged) {
        const details = { cvm: peer.cvm, lastLsn: outcome.lastLsn, acknowledgedLsn: acknowledged };
        this.#lose(
          peer,
          new AntipodeError("OPLOG_CORRUPT", "a peer has lost records of the oplog", details),
        );
      } else if (outcome.kind === "appended") {
        peer.ackedLsn = Math.max(peer.ackedLsn, records.at(-1)?.lsn ?? 0);
        peer.leaseUntilMs = Math.max(peer.leaseUntilMs, sentAtMs + READ_LEASE_MS);
        this.#log.onProgress();
      } else if (outcome.kind === "staleEpoch" && outcome.promisedEpoch > this.#log.epoch()) {
        this.#log.events.onDeposed(asEpoch(outcome.promisedEpoch));
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
      if (this.#log.stopped() === undefined && this.#peers.get(peer.cvm) === peer)
        this.#lose(peer, error);
    }
  }

  #lose(peer: Peer, reason: unknown): void {
    if (peer.state === "lost") return;
    const wasCatching = peer.state === "catching";
    peer.state = "lost";
    peer.reason = reason;
    // While it catches up, `attach` reports the loss to whoever called it.
    if (!wasCatching) this.#log.events.onPeerLost(peer.cvm, reason);
  }
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
