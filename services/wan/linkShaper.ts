/**
 * One direction between two sites as a pure model: what comes in, when it comes out. Time is a
 * parameter; nothing here waits.
 *
 * A parcel passes two stages. The transmitter is shared by all lanes (connections) of the link: it
 * takes parcels in turn from the lanes that have any, so that bandwidth is shared evenly, and is busy
 * with each for size / bandwidth. Then the parcel flies for latency + jitter; it never overtakes an
 * earlier one of its lane.
 *
 * Invariants: L1 order within a lane is kept; L2 over any span at most bandwidth x span + one burst
 * leaves the transmitter; L3 while cut nothing is transmitted or delivered, and nothing is lost;
 * L4 a lane whose receiver is slow holds up no other lane; L5 what is buffered is bounded, because a
 * lane without room is not read.
 */

import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import { KIB, MIB } from "../base/units.ts";

export interface LinkSettings {
  readonly latencyMs: number;
  /** Added to the latency, uniform from 0. */
  readonly jitterMs: number;
  /** 0 is no limit. */
  readonly bitsPerSecond: number;
  readonly cut: boolean;
}

/** The transmitter may run this far ahead of or behind the clock: timers are no finer. */
const BURST_MS = 1;
/** Credit of a transmitter that was woken late although it had work. */
const CREDIT_MS_MAX = 20;
/** Timers fire up to 1 ms late; delivering what is due within half of that makes the error even. */
const EARLY_MS = 0.5;
/** Waiting room before the transmitter, beside what flies. */
const QUEUE_MS = 20;
const CAPACITY_BYTES_MIN = 256 * KIB;
const CAPACITY_BYTES_MAX = 64 * MIB;
const LANE_BYTES_MIN = 64 * KIB;
/** What flies on a link without a limit is bounded as if it had this: more than a core can copy. */
const UNLIMITED_BYTES_PER_MS = 1_000_000;
/** Parcels are cut so that none occupies the transmitter for longer, but not below a packet. */
const PARCEL_MS_MAX = 5;
const PARCEL_BYTES_MIN = 1500;

interface Parcel<T> {
  readonly item: T;
  readonly sizeBytes: number;
}

interface Flying<T> extends Parcel<T> {
  readonly dueMs: number;
}

/** A queue whose head is taken without moving the rest. */
class Fifo<T> {
  #items: T[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  get head(): T | undefined {
    return this.#items[this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  take(): T | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#first += 1;
    if (this.#first === this.#items.length || this.#first > 1024) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}

/** One connection's share of a link. */
export class Lane<T> {
  readonly waiting = new Fifo<Parcel<T>>();
  readonly flying = new Fifo<Flying<T>>();
  bufferedBytes = 0;
  /** The receiver takes nothing now. */
  blocked = false;

  get isEmpty(): boolean {
    return this.waiting.length === 0 && this.flying.length === 0;
  }
}

/** Takes a parcel at the far end; "full" when the lane must wait before the next one. */
export type Deliver<T> = (lane: Lane<T>, item: T) => "taken" | "full";

export class LinkShaper<T> {
  readonly #prng: Prng;
  #settings: LinkSettings;
  /** Lanes with waiting parcels, in turn. */
  readonly #turns = new Fifo<Lane<T>>();
  readonly #airborne = new Set<Lane<T>>();
  #freeAtMs = 0;
  #occupiedLanes = 0;
  #bufferedBytes = 0;
  #deliveredBytes = 0;
  #enteredBytes = 0;

  constructor(settings: LinkSettings, prng: Prng) {
    this.#settings = settings;
    this.#prng = prng;
  }

  get settings(): LinkSettings {
    return this.#settings;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  get enteredBytes(): number {
    return this.#enteredBytes;
  }

  get deliveredBytes(): number {
    return this.#deliveredBytes;
  }

  /** Changes the link; parcels that fly keep the delay they started with. */
  change(settings: LinkSettings, nowMs: number): void {
    // Time in which nothing could be sent gives no credit.
    if (this.#settings.cut || settings.bitsPerSecond !== this.#settings.bitsPerSecond)
      this.#freeAtMs = Math.max(this.#freeAtMs, nowMs);
    if (settings.bitsPerSecond === 0) this.#freeAtMs = 0;
    this.#settings = settings;
  }

  /** Bytes are offered in pieces of at most this. */
  get parcelBytesMax(): number {
    const { bitsPerSecond } = this.#settings;
    if (bitsPerSecond === 0) return Number.MAX_SAFE_INTEGER;
    return Math.max(PARCEL_BYTES_MIN, Math.floor((bitsPerSecond / 8000) * PARCEL_MS_MAX));
  }

  /** Bytes that the whole link should buffer at most: what flies, and a short queue. */
  get capacityBytes(): number {
    const { bitsPerSecond, latencyMs, jitterMs } = this.#settings;
    const bytesPerMs = bitsPerSecond === 0 ? UNLIMITED_BYTES_PER_MS : bitsPerSecond / 8000;
    const queueMs = bitsPerSecond === 0 ? 1 : QUEUE_MS;
    const wanted = bytesPerMs * (latencyMs + jitterMs + queueMs);
    return Math.min(CAPACITY_BYTES_MAX, Math.max(CAPACITY_BYTES_MIN, Math.ceil(wanted)));
  }

  /** May more be read for this lane? Every lane in use has an equal share of the capacity. */
  hasRoom(lane: Lane<T>): boolean {
    const share = this.capacityBytes / Math.max(1, this.#occupiedLanes);
    return lane.bufferedBytes < Math.max(LANE_BYTES_MIN, share);
  }

  /** Something enters the near end. */
  offer(lane: Lane<T>, item: T, sizeBytes: number, nowMs: number): void {
    assert(sizeBytes >= 0, "a parcel has a size");
    if (this.#turns.length === 0) this.#freeAtMs = Math.max(this.#freeAtMs, nowMs);
    if (lane.waiting.length === 0) this.#turns.push(lane);
    lane.waiting.push({ item, sizeBytes });
    if (lane.bufferedBytes === 0 && sizeBytes > 0) this.#occupiedLanes += 1;
    lane.bufferedBytes += sizeBytes;
    this.#bufferedBytes += sizeBytes;
    this.#enteredBytes += sizeBytes;
  }

  /**
   * Transmits and delivers what is due.
   * @returns when to call again, or `undefined` when only a new event can bring work
   */
  advance(nowMs: number, deliver: Deliver<T>): number | undefined {
    if (this.#settings.cut) return undefined;
    this.#transmit(nowMs);
    let next = this.#turns.length > 0 ? this.#freeAtMs - BURST_MS : Number.POSITIVE_INFINITY;
    for (const lane of [...this.#airborne]) next = Math.min(next, this.#land(lane, nowMs, deliver));
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, nowMs);
  }

  /** Forgets what a lane still holds: both of its ends are gone. */
  drop(lane: Lane<T>): void {
    for (const queue of [lane.waiting, lane.flying])
      while (queue.length > 0) this.#account(lane, queue.take()?.sizeBytes ?? 0);
    this.#airborne.delete(lane);
  }

  #transmit(nowMs: number): void {
    const { bitsPerSecond, latencyMs, jitterMs } = this.#settings;
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - CREDIT_MS_MAX);
    while (bitsPerSecond === 0 || this.#freeAtMs <= nowMs + BURST_MS) {
      const lane = this.#turns.take();
      if (lane === undefined) return;
      const parcel = lane.waiting.take();
      if (parcel === undefined) continue; // Dropped meanwhile.
      if (lane.waiting.length > 0) this.#turns.push(lane);
      if (bitsPerSecond > 0) this.#freeAtMs += (parcel.sizeBytes * 8000) / bitsPerSecond;
      const sentMs = bitsPerSecond > 0 ? Math.max(this.#freeAtMs, nowMs) : nowMs;
      const flightMs = latencyMs + (jitterMs > 0 ? jitterMs * this.#prng.unit() : 0);
      // One with less jitter than the one before it waits behind it: the lane is a queue (L1).
      lane.flying.push({ ...parcel, dueMs: sentMs + flightMs });
      this.#airborne.add(lane);
    }
  }

  /** Delivers what has arrived in a lane; says when its next parcel does. */
  #land(lane: Lane<T>, nowMs: number, deliver: Deliver<T>): number {
    for (;;) {
      const parcel = lane.flying.head;
      if (parcel === undefined) {
        this.#airborne.delete(lane);
        return Number.POSITIVE_INFINITY;
      }
      if (lane.blocked) return Number.POSITIVE_INFINITY;
      if (parcel.dueMs > nowMs + EARLY_MS) return parcel.dueMs - EARLY_MS;
      lane.flying.take();
      this.#account(lane, parcel.sizeBytes);
      this.#deliveredBytes += parcel.sizeBytes;
      if (deliver(lane, parcel.item) === "full") lane.blocked = true;
    }
  }

  #account(lane: Lane<T>, sizeBytes: number): void {
    lane.bufferedBytes -= sizeBytes;
    this.#bufferedBytes -= sizeBytes;
    if (lane.bufferedBytes === 0 && sizeBytes > 0) this.#occupiedLanes -= 1;
  }
}
