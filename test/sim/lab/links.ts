/**
 * The links of the `wan` process as lines of the simulated network: what processes of two sites send to
 * each other passes wan's own core (services/wan/link.ts), with its latency, jitter, bandwidth that
 * connections share, and cuts. The process itself carries bytes of TCP; here the same links carry calls
 * and streams, each pipe in a lane of its own.
 *
 * While the process is frozen nothing passes. When it is dead everything between sites breaks at once, and
 * so does whatever is begun: nobody listens at the passages.
 */

import { assert } from "../../../services/base/assert.ts";
import type { Link } from "../../../services/wan/link.ts";
import type { Lane } from "../../../services/wan/linkShaper.ts";
import type { Pipe } from "../../support/fakeFabric.ts";
import type { Life } from "../world/life.ts";

/** Bytes that are sent for nothing but their length. */
const FILLING = new Uint8Array(64 * 1024);

type LinkLane = Lane<Parameters<Link["send"]>[1]>;

/** Something under way: bytes, then a mark at which it has arrived. */
type Item = () => void;

/** A wan process that carries. */
export interface Carrier {
  readonly life: Life;
  readonly linkOf: (name: { readonly from: string; readonly to: string }) => Link;
}

export interface LinkedHosts {
  /** "" for a host that no link leads to. */
  readonly siteOf: (host: string) => string;
  /** Breaks everything that is open between two hosts. */
  readonly tear: (from: string, to: string) => void;
}

export class SiteLinks {
  readonly #hosts: LinkedHosts;
  #carrier: Carrier | undefined;

  constructor(hosts: LinkedHosts) {
    this.#hosts = hosts;
  }

  /** A wan process has started; `undefined`: it is gone. */
  carriedBy(carrier: Carrier | undefined): void {
    this.#carrier = carrier;
  }

  /** A pipe over a link, or `undefined` when the hosts are not of two sites. */
  pipe(from: string, to: string): Pipe | undefined {
    const name = { from: this.#hosts.siteOf(from), to: this.#hosts.siteOf(to) };
    if (name.from === "" || name.to === "" || name.from === name.to) return undefined;
    let over: LinkPipe | undefined;
    return {
      send: (arrive, sizeBytes = 0) => {
        const carrier = this.#carrier;
        if (carrier === undefined || carrier.life.isDead) {
          // Later, as everything of a network: the caller has not finished its turn.
          queueMicrotask(() => {
            this.#hosts.tear(from, to);
          });
          return;
        }
        if (over?.carrier !== carrier) over = new LinkPipe(carrier, carrier.linkOf(name));
        over.send(arrive, sizeBytes);
      },
    };
  }
}

/** One pipe: a lane while something is under way. */
class LinkPipe {
  readonly carrier: Carrier;
  readonly #link: Link;
  readonly #items: Item[] = [];
  #lane: LinkLane | undefined;

  constructor(carrier: Carrier, link: Link) {
    this.carrier = carrier;
    this.#link = link;
  }

  send(arrive: Item, sizeBytes: number): void {
    // Held while the process is frozen, in order.
    this.carrier.life.enter("link.send", () => {
      this.#items.push(arrive);
      const lane = this.#laneOpen();
      for (let left = sizeBytes; left > 0; left -= FILLING.length) {
        const bytes = left < FILLING.length ? FILLING.subarray(0, left) : FILLING;
        this.#link.send(lane, { kind: "data", bytes });
      }
      this.#link.send(lane, { kind: "end" });
    });
  }

  #laneOpen(): LinkLane {
    this.#lane ??= this.#link.openLane({
      deliver: (parcel) => {
        if (parcel.kind === "end") this.#arrived();
        return "taken";
      },
      onRoom: () => undefined,
    });
    return this.#lane;
  }

  #arrived(): void {
    const arrive = this.#items.shift();
    assert(arrive !== undefined, "what arrives was sent");
    if (this.#items.length === 0 && this.#lane !== undefined) {
      this.#link.closeLane(this.#lane);
      this.#lane = undefined;
    }
    arrive();
  }
}
