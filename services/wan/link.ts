/**
 * A link at work: its model (linkShaper.ts) driven by the clock, with one timer. Whoever sends over
 * it opens a lane; what arrives is handed to the lane's receiver.
 */

import type { Prng } from "../base/prng.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import { Lane, type LinkSettings, LinkShaper } from "./linkShaper.ts";

/** What crosses a link for one connection. */
export type Parcel =
  | { readonly kind: "open" }
  | { readonly kind: "opened" }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "reset" };

/** The far end of a lane. */
export interface Receiver {
  /** Takes a parcel; "full" when it will call `unblock` before it wants another. */
  deliver(parcel: Parcel): "taken" | "full";
  /** The lane has room again after `send` answered "full". */
  onRoom(): void;
}

export interface LinkCounters {
  connectionsOpen: number;
  connectionsTotal: number;
  connectionsRefused: number;
}

export class Link {
  readonly from: string;
  readonly to: string;
  readonly counters: LinkCounters = {
    connectionsOpen: 0,
    connectionsTotal: 0,
    connectionsRefused: 0,
  };
  readonly #clock: Clock;
  readonly #shaper: LinkShaper<Parcel>;
  readonly #receivers = new Map<Lane<Parcel>, Receiver>();
  /** Lanes whose sender waits for room. */
  readonly #held = new Set<Lane<Parcel>>();
  #timer: Timer | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #pumping = false;
  #pumpAgain = false;

  constructor(
    name: { readonly from: string; readonly to: string },
    settings: LinkSettings,
    clock: Clock,
    prng: Prng,
  ) {
    this.from = name.from;
    this.to = name.to;
    this.#clock = clock;
    this.#shaper = new LinkShaper(settings, prng);
  }

  get settings(): LinkSettings {
    return this.#shaper.settings;
  }

  get shaper(): Pick<
    LinkShaper<Parcel>,
    "bufferedBytes" | "enteredBytes" | "deliveredBytes" | "capacityBytes"
  > {
    return this.#shaper;
  }

  change(settings: LinkSettings): void {
    this.#shaper.change(settings, this.#clock.now());
    this.#pump();
  }

  openLane(receiver: Receiver): Lane<Parcel> {
    const lane = new Lane<Parcel>();
    this.#receivers.set(lane, receiver);
    return lane;
  }

  /** Forgets a lane that has nothing more to carry. */
  closeLane(lane: Lane<Parcel>): void {
    this.#receivers.delete(lane);
    this.#held.delete(lane);
    this.#shaper.drop(lane);
  }

  /** Sends; "full" when the sender should wait for the receiver's `onRoom`. */
  send(lane: Lane<Parcel>, parcel: Parcel): "room" | "full" {
    const now = this.#clock.now();
    if (parcel.kind !== "data") this.#shaper.offer(lane, parcel, 0, now);
    else {
      const most = this.#shaper.parcelBytesMax;
      const { bytes } = parcel;
      if (bytes.length <= most) this.#shaper.offer(lane, parcel, bytes.length, now);
      else
        for (let at = 0; at < bytes.length; at += most) {
          const piece = bytes.subarray(at, at + most);
          this.#shaper.offer(lane, { kind: "data", bytes: piece }, piece.length, now);
        }
    }
    this.#pump();
    if (this.#shaper.hasRoom(lane)) return "room";
    this.#held.add(lane);
    return "full";
  }

  /** The receiver of this lane takes parcels again. */
  unblock(lane: Lane<Parcel>): void {
    if (!lane.blocked || !this.#receivers.has(lane)) return;
    lane.blocked = false;
    this.#pump();
  }

  #pump(): void {
    // A delivery can lead to another parcel on this link: it is not nested but comes after.
    this.#pumpAgain = true;
    if (this.#pumping) return;
    this.#pumping = true;
    let wakeAtMs: number | undefined;
    while (this.#pumpAgain) {
      this.#pumpAgain = false;
      wakeAtMs = this.#shaper.advance(
        this.#clock.now(),
        (lane, parcel) => this.#receivers.get(lane)?.deliver(parcel) ?? "taken",
      );
    }
    this.#pumping = false;
    for (const lane of [...this.#held])
      if (this.#shaper.hasRoom(lane)) {
        this.#held.delete(lane);
        this.#receivers.get(lane)?.onRoom();
      }
    this.#arm(wakeAtMs);
  }

  #arm(wakeAtMs: number | undefined): void {
    if (wakeAtMs === undefined) {
      this.#timer?.cancel();
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      return;
    }
    if (wakeAtMs === this.#wakeAtMs) return;
    this.#timer?.cancel();
    this.#wakeAtMs = wakeAtMs;
    this.#timer = this.#clock.after(Math.max(0, wakeAtMs - this.#clock.now()), () => {
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.#pump();
    });
  }
}
