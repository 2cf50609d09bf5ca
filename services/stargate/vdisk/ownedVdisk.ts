/**
 * A vDisk at its owner: one log, one overlay, one block-map state, one drain loop. Built by a takeover
 * (takeover.ts) that has already levelled the peers; kept at full strength by peerKeeper.ts; ended by
 * `depose`, after which nothing is acknowledged and another CVM (or this one again) takes over.
 *
 * Block I/O here is what the front-end and forwarding CVMs call; ranges are checked here.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Lsn, VdiskId } from "../../base/ids.ts";
import type { VdiskRecord } from "../../base/siteRecords.ts";
import { CHUNK_SIZE_BYTES } from "../../base/units.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import type { Log } from "../../platform/log.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import type { ChunkSpace } from "../chunks.ts";
import type { BlockRun } from "../nbd/blockDevice.ts";
import type { OplogRecord, OplogReplica } from "../oplog/contracts.ts";
import type { OwnerLog } from "../oplog/ownerLog.ts";
import { storeAligned } from "./bypass.ts";
import { damagedCopyError, isDamaged, logDamagedCopy } from "./damagedCopy.ts";
import type { MapState } from "./drainer.ts";
import { type DrainLoop, startDrainLoop } from "./drainLoop.ts";
import { HoldGate } from "./holdGate.ts";
import {
  BYPASS_BYTES_MIN,
  IO_RETRY_MS,
  READ_LEASE_RENEW_MS,
  UNDRAINED_BYTES_MAX,
  ZERO_RECORD_BYTES_MAX,
} from "./limits.ts";
import type { Overlay } from "./overlayContract.ts";
import type { OwnerSeat } from "./ownerSeat.ts";
import { type ReadWorld, readRange, runsOf } from "./reader.ts";

/** How often a writer looks for room in the log while there is nothing to drain. */
const ROOM_LOOK_MS = 50;

/** Whether somebody still waits for what was asked for; an AbortSignal is one. */
export interface Wish {
  readonly aborted: boolean;
}

/** What a CVM's vDisks share. */
export interface VdiskWorld {
  readonly clock: Clock;
  readonly codec: Codec;
  readonly coordinator: Coordinator;
  readonly space: ChunkSpace;
  readonly blockMap: BlockMap;
  readonly logger: Log;
  /** Ends the process. */
  readonly onBug: (error: unknown) => void;
}

export interface OwnedVdiskOptions {
  readonly world: VdiskWorld;
  readonly record: VdiskRecord;
  readonly seat: OwnerSeat;
  readonly replica: OplogReplica;
  readonly overlay: Overlay;
  readonly state: MapState;
  /** LSNs of markers that are not drained yet. */
  readonly markers: readonly Lsn[];
  /** Makes the log, given what it reports to. */
  readonly createLog: (onApply: (record: OplogRecord) => void) => OwnerLog;
  /** Called once, when this CVM serves the vDisk no longer. */
  readonly onDeposed: (reason: AntipodeError) => void;
}

export class OwnedVdisk {
  readonly record: VdiskRecord;
  readonly seat: OwnerSeat;
  readonly log: OwnerLog;
  readonly #world: VdiskWorld;
  readonly #replica: OplogReplica;
  readonly #overlay: Overlay;
  readonly #gate: HoldGate;
  readonly #drain: DrainLoop;
  readonly #reads: ReadWorld;
  readonly #onDeposed: (reason: AntipodeError) => void;
  #state: MapState;
  readonly #markers: Set<Lsn>;
  #requests = 0;
  #deposed: AntipodeError | undefined;
  #renewal: Promise<void> | undefined;

  constructor(options: OwnedVdiskOptions) {
    const { world, record } = options;
    this.record = record;
    this.seat = options.seat;
    this.#world = world;
    this.#replica = options.replica;
    this.#overlay = options.overlay;
    this.#state = options.state;
    this.#markers = new Set(options.markers);
    this.#onDeposed = options.onDeposed;
    this.log = options.createLog((applied) => {
      this.#onApply(applied);
    });
    this.#gate = new HoldGate(this.log, world.clock);
    this.#reads = {
      sizeBytes: record.sizeBytes,
      space: world.space,
      blockMap: world.blockMap,
      undrained: { overlay: this.#overlay, replica: this.#replica },
      state: () => this.#state,
    };
    this.#drain = this.#startDrain();
    this.#drain.wake();
  }

  get id(): VdiskId {
    return this.#replica.vdiskId;
  }
  get drainedLsn(): Lsn {
    return this.#state.drainedLsn;
  }
  get root(): MapState["root"] {
    return this.#state.root;
  }
  get deposed(): boolean {
    return this.#deposed !== undefined;
  }
  get replica(): OplogReplica {
    return this.#replica;
  }

  /** @throws AntipodeError `OUT_OF_RANGE`, `NOT_OWNER`, or what a copy's failure means */
  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    this.#check(offset, length);
    this.#requests += 1;
    await this.#ensureReadable();
    try {
      return await readRange(this.#reads, offset, length);
    } catch (error) {
      throw this.#isCopyLost() ? this.giveUp(error) : error;
    }
  }

  /**
   * Resolves when the bytes are durable on every copy.
   * @param wish aborted: nobody waits any more, and the write, if it is not in the log yet, must not
   *   come into it: the client may have repeated it elsewhere and written over it since (P1)
   */
  async write(offset: number, data: Uint8Array, wish?: Wish): Promise<void> {
    this.#check(offset, data.length);
    this.#requests += 1;
    if (this.#isFull()) await this.#awaitRoom();
    refuseAborted(wish);
    if (data.length < BYPASS_BYTES_MIN) await this.#append("write", offset, data);
    else await this.#writeAround(offset, data, wish);
  }

  /** Resolves when the range reads as zeros on every copy. @param wish as for `write` */
  async zero(offset: number, length: number, wish?: Wish): Promise<void> {
    this.#check(offset, length);
    this.#requests += 1;
    if (this.#isFull()) await this.#awaitRoom();
    refuseAborted(wish);
    const pieces: Promise<unknown>[] = [];
    for (let at = 0; at < length; at += ZERO_RECORD_BYTES_MAX) {
      const lengthBytes = Math.min(ZERO_RECORD_BYTES_MAX, length - at);
      pieces.push(
        this.log.append({
          kind: "zero",
          offsetBytes: offset + at,
          lengthBytes,
          data: new Uint8Array(0),
        }),
      );
    }
    await Promise.all(pieces);
  }

  async runs(offset: number, length: number): Promise<readonly BlockRun[]> {
    this.#check(offset, length);
    await this.#ensureReadable();
    return runsOf(this.#reads, offset, length);
  }

  // ---- cuts ----

  hold(cutId: string): void {
    this.#assertServing();
    this.#gate.hold(cutId);
  }

  mark(cutId: string): Promise<Lsn> {
    this.#assertServing();
    return this.#gate.mark(cutId);
  }

  release(cutId: string): { readonly held: boolean; readonly heldMs: number } {
    return this.#gate.release(cutId);
  }

  /** Resolves when everything acknowledged up to now is in the block map. */
  async drainAll(): Promise<void> {
    await this.#drain.drainAll();
    if (this.#deposed !== undefined) throw this.#deposed;
  }

  /** Ends serving: waiting requests are rejected with the reason; nothing is acknowledged any more. */
  depose(reason: AntipodeError): void {
    if (this.#deposed !== undefined) return;
    this.#deposed = reason;
    this.#drain.stop();
    this.log.stop(reason);
    this.#onDeposed(reason);
  }

  /**
   * Ends serving because the own copy of the log is damaged: the next takeover hands the vDisk over to
   * another copy. @returns what to tell whoever met the damage
   */
  giveUp(cause: unknown): AntipodeError {
    const otherCopies = this.seat.record.peers.length - 1;
    if (this.#deposed === undefined)
      logDamagedCopy(this.#world.logger, this.record, this.#replica, otherCopies);
    const error = damagedCopyError(this.record, this.#replica, otherCopies, cause);
    this.depose(error);
    return error;
  }

  // ---- inside ----

  /** Records that cannot be read count as lost only where another copy has them. */
  #isCopyLost(): boolean {
    if (this.seat.record.peers.length > 1) this.#replica.distrustUnreadable();
    return isDamaged(this.#replica);
  }

  #startDrain(): DrainLoop {
    const { world, record } = { world: this.#world, record: this.record };
    return startDrainLoop({
      world: {
        vdiskId: record.id,
        sizeBytes: record.sizeBytes,
        replicationFactor: record.replicationFactor,
        compression: record.compression,
        replica: this.#replica,
        log: this.log,
        seat: this.seat,
        space: world.space,
        blockMap: world.blockMap,
        codec: world.codec,
        clock: world.clock,
        coordinator: world.coordinator,
        logger: world.logger,
      },
      clock: world.clock,
      logger: world.logger,
      state: () => this.#state,
      onDrained: (state) => {
        this.#onDrained(state);
      },
      pressure: () => ({
        undrainedBytes: this.#replica.state().undrainedBytes,
        markerWaits: this.#markers.size > 0,
        requests: this.#requests,
      }),
      onDeposed: () => {
        this.depose(
          new AntipodeError("STALE_EPOCH", "another CVM owns the vDisk now", {
            vdisk: record.name,
          }),
        );
      },
      isCopyLost: () => this.#isCopyLost(),
      onBug: world.onBug,
      onFailure: (error) => {
        if (this.#isCopyLost()) {
          this.giveUp(error);
          return;
        }
        world.logger.error(
          { event: "drain.stopped", vdisk: record.id, err: error },
          "drain cannot go on",
        );
        this.depose(
          new AntipodeError("INTERNAL", "the vDisk's drain failed", { vdisk: record.name }, error),
        );
      },
    });
  }

  #onApply(record: OplogRecord): void {
    this.#overlay.apply(record);
    if (record.kind === "marker") this.#markers.add(record.lsn);
    this.#drain.wake();
  }

  /** Map, overlay and log move on in one turn (D3). */
  #onDrained(state: MapState): void {
    assert(state.drainedLsn > this.#state.drainedLsn, "a drain moves on");
    this.#state = state;
    this.#overlay.forget(state.drainedLsn);
    this.log.trim(state.drainedLsn);
    // A batch ends at its first marker.
    this.#markers.delete(state.drainedLsn);
  }

  #check(offset: number, length: number): void {
    this.#assertServing();
    if (offset < 0 || length < 0 || offset + length > this.record.sizeBytes)
      throw new AntipodeError("OUT_OF_RANGE", "the range lies outside the vDisk", {
        vdisk: this.record.name,
        offsetBytes: offset,
        lengthBytes: length,
        sizeBytes: this.record.sizeBytes,
      });
  }

  #assertServing(): void {
    if (this.#deposed !== undefined)
      throw new AntipodeError(
        "NOT_OWNER",
        "this CVM does not own the vDisk any more",
        { vdisk: this.record.name },
        this.#deposed,
      );
  }

  /** Reads are served only while every peer lets us (P4): a new owner may have taken over unseen. */
  async #ensureReadable(): Promise<void> {
    const leftMs = this.log.readLeaseUntilMs() - this.#world.clock.now();
    if (leftMs > READ_LEASE_RENEW_MS) return;
    this.#renewal ??= this.log.renewReadLease().finally(() => {
      this.#renewal = undefined;
    });
    if (leftMs > 0) return;
    await this.#renewal;
    this.#assertServing();
    if (this.log.readLeaseUntilMs() <= this.#world.clock.now())
      throw new AntipodeError("OWNER_UNAVAILABLE", "the peers do not confirm this owner", {
        vdisk: this.record.name,
      });
  }

  #append(
    kind: "write" | "chunks",
    offsetBytes: number,
    data: Uint8Array,
    lengthBytes = data.length,
  ): Promise<Lsn> {
    return this.log.append({ kind, offsetBytes, lengthBytes, data });
  }

  /** A large write: whole chunks go to the extent store, and only when they are there all of it into the log. */
  async #writeAround(offset: number, data: Uint8Array, wish: Wish | undefined): Promise<void> {
    const from = Math.ceil(offset / CHUNK_SIZE_BYTES) * CHUNK_SIZE_BYTES;
    const to = Math.floor((offset + data.length) / CHUNK_SIZE_BYTES) * CHUNK_SIZE_BYTES;
    const fingerprints = await storeAligned(
      this.#world,
      this.record,
      data.subarray(from - offset, to - offset),
    );
    refuseAborted(wish);
    const parts = [this.#append("chunks", from, fingerprints, to - from)];
    if (from > offset) parts.push(this.#append("write", offset, data.subarray(0, from - offset)));
    if (to < offset + data.length)
      parts.push(this.#append("write", to, data.subarray(to - offset)));
    await Promise.all(parts);
  }

  #isFull(): boolean {
    return this.#replica.state().undrainedBytes > UNDRAINED_BYTES_MAX;
  }

  /** Writers wait while too much of the log is not drained, and are told when that does not end. */
  async #awaitRoom(): Promise<void> {
    const { clock } = this.#world;
    const untilMs = clock.now() + IO_RETRY_MS;
    while (this.#deposed === undefined && this.#isFull()) {
      if (clock.now() >= untilMs)
        throw new AntipodeError("OPLOG_FULL", "the vDisk's log is full and does not drain", {
          vdisk: this.record.name,
          undrainedBytes: this.#replica.state().undrainedBytes,
        });
      // Drained but not trimmed: acknowledgements are held, or a peer is being levelled with the log.
      if (this.log.appliedLsn <= this.#state.drainedLsn) {
        await clock.sleep(ROOM_LOOK_MS);
        continue;
      }
      this.#drain.wake();
      await this.#drain.nextBatch();
    }
    this.#assertServing();
  }
}

function refuseAborted(wish: Wish | undefined): void {
  if (wish?.aborted === true)
    throw new AntipodeError("CANCELLED", "nobody waits for this write any more");
}
