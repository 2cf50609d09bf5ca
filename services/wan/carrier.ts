/**
 * Carries one TCP connection from one site to a process of another over two links, one a direction.
 *
 * What a real network would do is kept: opening takes a round trip; a side that only ends its
 * direction can go on reading; the end, or a reset, arrives after the bytes sent before it; over a
 * cut link nothing is answered, refused or closed. (The system accepts the caller's connection
 * before we can hold it, so over a cut link a caller waits for its first answer instead of for the
 * connection.)
 */

import { AntipodeError } from "../base/errors.ts";
import type { Log } from "../platform/log.ts";
import type { Address, Connection, Net } from "../platform/net.ts";
import type { Link, Parcel } from "./link.ts";
import type { Lane } from "./linkShaper.ts";

/** A process of this machine answers at once or not at all. */
const DIAL_TIMEOUT_MS = 5000;

export interface CarrierWorld {
  readonly net: Net;
  readonly log: Log;
  /** For failures that nobody awaits. */
  readonly onFailure: (error: unknown) => void;
}

/** One end's half: reads its connection into a lane, writes what its other lane brings. */
interface Side {
  connection: Connection | undefined;
  closed: boolean;
  /** It has ended its direction well. */
  ended: boolean;
}

/** Starts carrying; the connection is not read before the far end has accepted. */
export function carry(
  world: CarrierWorld,
  caller: Connection,
  target: Address,
  links: { readonly there: Link; readonly back: Link },
  onClosed: () => void,
): void {
  new Carrier(world, caller, target, links, onClosed).open();
}

class Carrier {
  readonly #world: CarrierWorld;
  readonly #target: Address;
  readonly #there: Link;
  readonly #back: Link;
  readonly #near: Side;
  readonly #far: Side = { connection: undefined, closed: false, ended: false };
  readonly #thereLane: Lane<Parcel>;
  readonly #backLane: Lane<Parcel>;
  readonly #onClosed: () => void;
  #done = false;
  /** The caller was gone before the target answered. */
  #abandoned = false;

  constructor(
    world: CarrierWorld,
    caller: Connection,
    target: Address,
    links: { readonly there: Link; readonly back: Link },
    onClosed: () => void,
  ) {
    this.#world = world;
    this.#target = target;
    this.#there = links.there;
    this.#back = links.back;
    this.#near = { connection: caller, closed: false, ended: false };
    this.#onClosed = onClosed;
    this.#thereLane = this.#there.openLane({
      deliver: (parcel) => this.#onFar(parcel),
      onRoom: () => this.#near.connection?.resume(),
    });
    this.#backLane = this.#back.openLane({
      deliver: (parcel) => this.#onNear(parcel),
      onRoom: () => this.#far.connection?.resume(),
    });
  }

  open(): void {
    this.#near.connection?.pause();
    for (const link of [this.#there, this.#back]) {
      link.counters.connectionsOpen += 1;
      link.counters.connectionsTotal += 1;
    }
    this.#near.connection?.onClose((error) => {
      this.#onSideClosed(this.#near, error);
    });
    this.#there.send(this.#thereLane, { kind: "open" });
  }

  /** A parcel has arrived at the target's site. */
  #onFar(parcel: Parcel): "taken" | "full" {
    if (parcel.kind !== "open") return this.#hand(this.#far, parcel);
    this.#dial().catch(this.#world.onFailure);
    return "taken";
  }

  /** A parcel has arrived at the caller's site. */
  #onNear(parcel: Parcel): "taken" | "full" {
    if (parcel.kind !== "opened") return this.#hand(this.#near, parcel);
    const caller = this.#near.connection;
    if (caller !== undefined && !this.#near.closed)
      this.#read(this.#near, caller, this.#there, this.#thereLane, this.#backLane, this.#back);
    return "taken";
  }

  async #dial(): Promise<void> {
    try {
      const callee = await this.#world.net.connect(this.#target, DIAL_TIMEOUT_MS);
      this.#far.connection = callee;
      callee.onClose((error) => {
        this.#onSideClosed(this.#far, error);
      });
      if (this.#abandoned) {
        callee.destroy("reset");
        return;
      }
      this.#read(this.#far, callee, this.#back, this.#backLane, this.#thereLane, this.#there);
      this.#back.send(this.#backLane, { kind: "opened" });
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      this.#there.counters.connectionsRefused += 1;
      this.#world.log.debug({ event: "wan.refused", err: error }, "the far end refused");
      this.#far.closed = true;
      this.#back.send(this.#backLane, { kind: "reset" });
    }
  }

  /** Reads a side into its link, and lets its receiver say when it takes more. */
  #read(
    side: Side,
    connection: Connection,
    link: Link,
    lane: Lane<Parcel>,
    inbound: Lane<Parcel>,
    inboundLink: Link,
  ): void {
    connection.onDrain(() => {
      inboundLink.unblock(inbound);
    });
    connection.onEnd(() => {
      side.ended = true;
      link.send(lane, { kind: "end" });
    });
    connection.onData((bytes) => {
      if (link.send(lane, { kind: "data", bytes }) === "full") connection.pause();
    });
    if (!side.closed) connection.resume();
  }

  /** Hands a parcel to a side; one that is gone takes everything and drops it. */
  #hand(side: Side, parcel: Parcel): "taken" | "full" {
    const { connection } = side;
    if (connection === undefined || side.closed) {
      this.#abandoned ||= parcel.kind === "reset";
      return "taken";
    }
    switch (parcel.kind) {
      case "data":
        return connection.write([parcel.bytes]) ? "taken" : "full";
      case "end":
        connection.end();
        return "taken";
      case "reset":
        connection.destroy("reset");
        return "taken";
      case "open":
      case "opened":
        return "taken";
    }
  }

  /**
   * A side is gone. When it broke, the other one hears of it behind the bytes that are under way;
   * when it closed well, its end was sent before.
   */
  #onSideClosed(side: Side, error: Error | undefined): void {
    if (side.closed) return;
    side.closed = true;
    const broke = error !== undefined || !side.ended;
    const isNear = side === this.#near;
    const [out, outLane, into, intoLane] = isNear
      ? ([this.#there, this.#thereLane, this.#back, this.#backLane] as const)
      : ([this.#back, this.#backLane, this.#there, this.#thereLane] as const);
    if (broke) out.send(outLane, { kind: "reset" });
    into.unblock(intoLane);
    this.#settle();
  }

  /** When both sides are gone nobody waits for what is under way any more. */
  #settle(): void {
    if (this.#done || !this.#near.closed || !this.#far.closed) return;
    this.#done = true;
    this.#there.closeLane(this.#thereLane);
    this.#back.closeLane(this.#backLane);
    this.#there.counters.connectionsOpen -= 1;
    this.#back.counters.connectionsOpen -= 1;
    this.#onClosed();
  }
}
