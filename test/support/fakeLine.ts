/**
 * One direction between two hosts: what passes it is delayed, shaped, held up, swallowed or cut short.
 *
 * L1 Within one pipe (a stream, a connection, a call) nothing overtakes, is repeated or is left out
 * before something that arrives. L2 Pipes overtake each other when the jitter says so.
 * Delays of several shapes add up, the smallest bandwidth counts.
 */

import type { Prng } from "../../services/base/prng.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Pipe } from "./fakeFabric.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";

const SECOND_MS = 1000;
/** A sender waits for so long before it sends again what was lost, and up to so many times as long. */
const RESEND_MS = 200;
const RESEND_FACTOR_MAX = 4;

/** What a line does to each message. */
export interface LineShape {
  readonly delayMs?: number;
  /** Up to so much more, drawn for each message. */
  readonly jitterMs?: number;
  /** A token bucket for all pipes of the line together. */
  readonly bytesPerSecond?: number;
  /** Part of the messages that are lost and sent again: they come late, and what follows in their pipe too. */
  readonly lossShare?: number;
  /** Bytes that may pass at once after a pause; none by default. */
  readonly burstBytes?: number;
}

/** After so many more messages, or bytes, the next one does not arrive and `act` is called instead. */
export interface CutShort {
  readonly messages?: number;
  readonly bytes?: number;
  readonly act: () => void;
}

/** One microtask. */
const pause = (): void => undefined;

/** Something under way in a pipe. */
interface Item {
  readonly arrive: () => void;
  readonly sizeBytes: number;
  isDue: boolean;
}

export class FakeLine {
  /** One-way delay of the line itself. */
  delayMs = 0;
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #shapes = new FaultSet<LineShape>();
  readonly #holds = new FaultSet<"hold">();
  readonly #holes = new FaultSet<"hole">();
  readonly #cutsShort = new FaultSet<{
    messages: number;
    bytes: number;
    readonly act: () => void;
  }>();
  /** Pipes with something that is due and held up, in the order in which they came to wait. */
  readonly #held = new Set<() => void>();
  #isCut = false;
  #pipes = 0;
  /** Pipes made before this one are silent for ever. */
  #silentBefore = 0;
  /** When the bucket has let everything pass that was sent. */
  #drainedMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, prng: Prng) {
    this.#clock = clock;
    this.#prng = prng;
  }

  get isCut(): boolean {
    return this.#isCut || !this.#holds.isEmpty;
  }

  setCut(isCut: boolean): void {
    this.#isCut = isCut;
    this.#release();
  }

  /** Holds everything; when the last hold ends, all of it arrives at once and in order. */
  hold(): Undo {
    return this.#holds.add("hold", () => {
      this.#release();
    });
  }

  shape(shape: LineShape): Undo {
    return this.#shapes.add(shape);
  }

  /** Pipes that exist now, or come while it lasts, never carry anything again, and nobody is told. */
  blackHole(): Undo {
    this.silence();
    return this.#holes.add("hole", () => {
      this.silence();
    });
  }

  /** Pipes that exist now never carry anything again; later ones do. */
  silence(): void {
    this.#silentBefore = this.#pipes;
  }

  cutShort({ messages, bytes, act }: CutShort): Undo {
    return this.#cutsShort.add({
      messages: messages ?? Number.POSITIVE_INFINITY,
      bytes: bytes ?? Number.POSITIVE_INFINITY,
      act,
    });
  }

  undoAll(): void {
    this.#shapes.undoAll();
    this.#cutsShort.undoAll();
    this.#holes.undoAll();
    this.#isCut = false;
    this.#holds.undoAll();
    this.#release();
  }

  /** Items leave in order: each waits for its own delay, for the one before, and while the line is held. */
  pipe(): Pipe {
    const index = this.#pipes++;
    const items: Item[] = [];
    let before = Promise.resolve();
    const flush = (): void => {
      for (let next = items[0]; next?.isDue === true; next = items[0]) {
        if (this.isCut) {
          this.#held.add(flush);
          return;
        }
        items.shift();
        if (index >= this.#silentBefore && this.#holes.isEmpty && !this.#ends(next.sizeBytes))
          next.arrive();
      }
    };
    return {
      send: (arrive, sizeBytes = 0) => {
        const item: Item = { arrive, sizeBytes, isDue: false };
        items.push(item);
        const fallDue = (): void => {
          item.isDue = true;
          flush();
        };
        const delayMs = this.#delayOf(sizeBytes);
        if (delayMs > 0) this.#clock.after(delayMs, fallDue);
        // Readers take one item before the next one arrives, as they do when each has its own timer.
        else before = before.then(pause).then(pause).then(pause).then(fallDue);
      },
    };
  }

  #delayOf(sizeBytes: number): number {
    if (this.#shapes.isEmpty) return this.delayMs;
    let delayMs = this.delayMs;
    let jitterMs = 0;
    let slowest: LineShape | undefined;
    for (const shape of this.#shapes.all()) {
      delayMs += shape.delayMs ?? 0;
      jitterMs += shape.jitterMs ?? 0;
      if (shape.lossShare !== undefined && this.#prng.unit() < shape.lossShare)
        delayMs += RESEND_MS * (1 + (RESEND_FACTOR_MAX - 1) * this.#prng.unit());
      const rate = shape.bytesPerSecond ?? Number.POSITIVE_INFINITY;
      if (rate < (slowest?.bytesPerSecond ?? Number.POSITIVE_INFINITY)) slowest = shape;
    }
    if (jitterMs > 0) delayMs += this.#prng.unit() * jitterMs;
    if (slowest === undefined) return delayMs;
    return delayMs + this.#queueMs(sizeBytes, slowest);
  }

  /** The token bucket as a virtual clock: a burst is credit that the line has from before now. */
  #queueMs(sizeBytes: number, shape: LineShape): number {
    const bytesPerMs = (shape.bytesPerSecond ?? Number.POSITIVE_INFINITY) / SECOND_MS;
    const now = this.#clock.now();
    const creditMs = (shape.burstBytes ?? 0) / bytesPerMs;
    this.#drainedMs = Math.max(this.#drainedMs, now - creditMs) + sizeBytes / bytesPerMs;
    return Math.max(0, this.#drainedMs - now);
  }

  #ends(sizeBytes: number): boolean {
    for (const plan of this.#cutsShort.all()) {
      plan.messages -= 1;
      plan.bytes -= sizeBytes;
      if (plan.messages >= 0 && plan.bytes >= 0) continue;
      plan.act();
      return true;
    }
    return false;
  }

  /** In a later microtask: whoever heals several lines heals them all before anything arrives. */
  #release(): void {
    if (this.isCut) return;
    for (const flush of this.#held) queueMicrotask(flush);
    this.#held.clear();
  }
}
