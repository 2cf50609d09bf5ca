/**
 * Keeps the copies of an owned vDisk's oplog at full strength: reaches a lost peer again, else removes
 * it from the owner record (epoch + 1) before anything more is acknowledged, and puts a live CVM in its
 * place. One loop a vDisk, one change at a time.
 *
 * Invariants:
 * K1 a peer is listed only after it has caught up and commits wait for it: so every listed peer has
 *    every acknowledged record, at every instant (P1); one that lost records is taken out before it is
 *    filled again;
 * K2 while a copy is missing and a CVM could take it, acknowledgements wait, REPLACE_HOLD_MS at most;
 *    with no CVM left they go on with the copies there are (FAULT_MODEL.md);
 * K3 a peer that was not heard for HEARTBEAT_EVERY_MS is asked, so that a lost copy is noticed and made
 *    anew although nobody reads or writes.
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import { lsn as asLsn, type Lsn } from "../../base/ids.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import { levelPeer } from "../oplog/levelling.ts";
import type { PeerLink } from "../oplog/peerLink.ts";
import { isDamaged } from "./damagedCopy.ts";
import {
  HEARTBEAT_EVERY_MS,
  PEER_BUSY_MS_MAX,
  PEER_RESUME_MS,
  READ_LEASE_MS,
  RECONFIGURE_EVERY_MS,
} from "./limits.ts";
import type { OwnedVdisk } from "./ownedVdisk.ts";

/** Longest time that acknowledgements wait for a replacement to catch up. */
const REPLACE_HOLD_MS = 8000;
const RETRY_PAUSE_MS = 100;

/** How an owner reaches the other CVMs. */
export interface PeerWorld {
  readonly selfCvm: number;
  readonly clock: Clock;
  readonly logger: Log;
  /** Ends the process. */
  readonly onBug: (error: unknown) => void;
  clientOf(cvm: number): RpcClient;
  linkTo(cvm: number): PeerLink;
  /** Live CVMs in order of preference for this vDisk, this one included. */
  candidates(vdiskId: string): readonly number[];
}

/** How a peer is brought to follow. */
export interface PeerRole {
  readonly cvm: number;
  /** Do commits wait for it at once, or from when it has caught up? */
  readonly counted: boolean;
  /** Is it listed as one that has every acknowledged record? */
  readonly reliedOn: boolean;
  /** What it has acknowledged for certain; 0 when this owner does not know. */
  readonly acknowledgedLsn: Lsn;
}

/**
 * Levels one peer and feeds it from then on.
 * @throws AntipodeError `STALE_EPOCH`; `OPLOG_CORRUPT` when it is relied on and lacks records: take it out of the record
 */
export async function levelAndAttach(
  owned: Pick<OwnedVdisk, "id" | "log" | "replica">,
  world: PeerWorld,
  { cvm, counted, reliedOn, acknowledgedLsn }: PeerRole,
): Promise<void> {
  const unpin = owned.log.pinTrim();
  try {
    const outcome = await levelPeer({
      client: world.clientOf(cvm),
      vdiskId: owned.id,
      epoch: owned.log.epoch,
      replica: owned.replica,
      reliedOn,
      acknowledgedLsn,
    });
    if (outcome.kind === "copyLost")
      throw new AntipodeError("OPLOG_CORRUPT", "a peer has lost records of the oplog", { cvm });
    if (outcome.kind === "deposed")
      throw new AntipodeError("STALE_EPOCH", "a peer has promised a higher epoch", {
        cvm,
        promisedEpoch: outcome.promisedEpoch,
      });
    await owned.log.attach({ cvm, link: world.linkTo(cvm), lastLsn: outcome.lastLsn, counted });
  } finally {
    unpin();
  }
}

/** How long a peer is asked again after this error: one that says that its disk is behind lives and gets on. */
export function patienceMs(error: unknown, otherwiseMs: number): number {
  return codeOf(error) === "OVERLOADED" ? PEER_BUSY_MS_MAX : otherwiseMs;
}

export class PeerKeeper {
  readonly #owned: OwnedVdisk;
  readonly #world: PeerWorld;
  #running = false;
  /** Peers are being asked whether they still follow. */
  #asking = false;
  #timer: Timer | undefined;
  /** Acknowledgements wait for a replacement. */
  #holding = false;
  #holdTimer: Timer | undefined;

  constructor(owned: OwnedVdisk, world: PeerWorld) {
    this.#owned = owned;
    this.#world = world;
    this.#schedule();
  }

  /** The log's `onPeerLost`. */
  onPeerLost(cvm: number, reason: unknown): void {
    this.#world.logger.warn(
      { event: "oplog.peerLost", vdisk: this.#owned.id, peer: cvm, reason: messageOf(reason) },
      "oplog peer lost",
    );
    void this.#run();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#unhold();
  }

  #schedule(): void {
    if (this.#owned.deposed) return;
    this.#timer?.cancel();
    const delayMs = this.#lost().length > 0 ? 1 : RECONFIGURE_EVERY_MS;
    this.#timer = this.#world.clock.after(delayMs, () => {
      this.#askPeers();
      void this.#run();
    });
  }

  /** A peer of an idle vDisk is asked too: it may have lost its files, which only it can tell. */
  #askPeers(): void {
    const { log, deposed } = this.#owned;
    const askedAtMs = log.readLeaseUntilMs() - READ_LEASE_MS;
    if (this.#asking || deposed || this.#world.clock.now() < askedAtMs + HEARTBEAT_EVERY_MS) return;
    this.#asking = true;
    void log.renewReadLease().finally(() => {
      this.#asking = false;
    });
  }

  async #run(): Promise<void> {
    if (this.#running || this.#isOver()) return;
    this.#running = true;
    try {
      for (const cvm of this.#lost()) await this.#settleLost(cvm);
      await this.#fillUp();
    } catch (error) {
      if (!(error instanceof AntipodeError)) this.#world.onBug(error);
      else if (error.code === "STALE_EPOCH") this.#depose(error);
      else if (isDamaged(this.#owned.replica)) this.#owned.giveUp(error);
      else if (!this.#isOver())
        this.#world.logger.warn(
          { event: "oplog.reconfigureFailed", vdisk: this.#owned.id, err: error },
          "peers could not be changed yet",
        );
    } finally {
      this.#running = false;
      if (this.#isOver()) this.stop();
      else this.#schedule();
    }
  }

  #isOver(): boolean {
    return this.#owned.deposed;
  }

  /** The fault is this owner's, or a bug, and not the peer's. */
  #isHopeless(error: unknown): boolean {
    const { deposed, replica } = this.#owned;
    const code = codeOf(error);
    return code === undefined || code === "STALE_EPOCH" || deposed || isDamaged(replica);
  }

  /** Listed peers that do not follow. */
  #lost(): readonly number[] {
    const following = this.#owned.log.followers();
    return this.#owned.seat.record.peers.filter(
      (cvm) => cvm !== this.#world.selfCvm && !following.includes(cvm),
    );
  }

  /** Reaches the peer again, or takes it out of the record. */
  async #settleLost(cvm: number): Promise<void> {
    const { seat } = this.#owned;
    const startedAtMs = this.#world.clock.now();
    for (;;) {
      try {
        const acknowledgedLsn = this.#owned.log.commitLsn;
        const role = { cvm, counted: true, reliedOn: true, acknowledgedLsn };
        await levelAndAttach(this.#owned, this.#world, role);
        return;
      } catch (error) {
        if (this.#isHopeless(error)) throw error;
        if (codeOf(error) === "OPLOG_CORRUPT") break;
        await this.#world.clock.sleep(RETRY_PAUSE_MS);
        if (this.#world.clock.now() >= startedAtMs + patienceMs(error, PEER_RESUME_MS)) break;
      }
    }
    if (this.#spare() !== undefined) this.#hold();
    await this.#changePeers(seat.record.peers.filter((peer) => peer !== cvm));
    this.#world.logger.warn(
      { event: "oplog.peerRemoved", vdisk: this.#owned.id, peer: cvm, epoch: seat.epoch },
      "oplog peer removed",
    );
  }

  /** Adds a live CVM while copies are missing. */
  async #fillUp(): Promise<void> {
    const { seat, record, log } = this.#owned;
    while (seat.record.peers.length < record.replicationFactor && this.#lost().length === 0) {
      const cvm = this.#spare();
      if (cvm === undefined) break;
      try {
        const role = { cvm, counted: false, reliedOn: false, acknowledgedLsn: asLsn(0) };
        await levelAndAttach(this.#owned, this.#world, role);
      } catch (error) {
        log.detach(cvm);
        if (this.#isHopeless(error)) throw error;
        this.#world.logger.warn(
          { event: "oplog.peerNotAdded", vdisk: this.#owned.id, peer: cvm, err: error },
          "oplog peer could not be added",
        );
        break;
      }
      await this.#changePeers([...seat.record.peers, cvm]);
      this.#world.logger.info(
        { event: "oplog.peerAdded", vdisk: this.#owned.id, peer: cvm, epoch: seat.epoch },
        "oplog peer added",
      );
    }
    this.#unhold();
  }

  /** A live CVM that is not a peer yet. */
  #spare(): number | undefined {
    const { peers } = this.#owned.seat.record;
    return this.#world.candidates(this.#owned.id).find((cvm) => !peers.includes(cvm));
  }

  /** Tries until etcd answers: without an answer nobody knows who the peers are. */
  async #changePeers(peers: readonly number[]): Promise<void> {
    const { seat, log } = this.#owned;
    for (;;) {
      try {
        const outcome = await seat.advance(this.#world.selfCvm, peers);
        if (outcome.kind === "deposed")
          throw new AntipodeError("STALE_EPOCH", "another CVM owns the vDisk now", {
            vdiskId: this.#owned.id,
          });
        log.configure(seat.epoch, peers);
        return;
      } catch (error) {
        if (codeOf(error) !== "COORDINATOR_UNAVAILABLE" || this.#owned.deposed) throw error;
        await this.#world.clock.sleep(RETRY_PAUSE_MS);
      }
    }
  }

  #hold(): void {
    if (this.#holding) return;
    this.#holding = true;
    this.#owned.log.hold();
    this.#holdTimer = this.#world.clock.after(REPLACE_HOLD_MS, () => {
      this.#unhold();
    });
  }

  #unhold(): void {
    this.#holdTimer?.cancel();
    if (!this.#holding) return;
    this.#holding = false;
    this.#owned.log.release();
  }

  #depose(error: AntipodeError): void {
    this.#owned.depose(error);
  }
}
