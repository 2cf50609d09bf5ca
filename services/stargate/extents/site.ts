/**
 * What the reading and the writing half of the chunk space share: the holders, who of them lives, and
 * what a failure of one means.
 */

import { present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import type { Fingerprint } from "../chunks.ts";
import type { Holder } from "./holders.ts";
import type { LocalStore } from "./localStore.ts";
import { Placement, type PlacementMember } from "./placement.ts";
import type { Suspects } from "./suspects.ts";

export interface SiteOptions {
  readonly cvm: number;
  readonly members: readonly PlacementMember[];
  readonly holders: ReadonlyMap<number, Holder>;
  readonly local: LocalStore;
  readonly live: () => readonly number[];
  readonly suspects: Suspects;
  readonly codec: Codec;
  readonly log: Log;
}

/** See the file's header. */
export class Site {
  readonly cvm: number;
  readonly suspects: Suspects;
  readonly codec: Codec;
  readonly log: Log;
  readonly #options: SiteOptions;
  readonly #placement: Placement;

  constructor(options: SiteOptions) {
    this.#options = options;
    this.#placement = new Placement(options.members);
    this.cvm = options.cvm;
    this.suspects = options.suspects;
    this.codec = options.codec;
    this.log = options.log;
  }

  holder(cvm: number): Holder {
    return present(this.#options.holders.get(cvm), "every member has a holder");
  }

  /** What this CVM's own store has; costs a look-up. */
  ownHas(fingerprints: readonly Fingerprint[]): readonly boolean[] {
    return this.#options.local.has(fingerprints);
  }

  get memberCount(): number {
    return this.#options.members.length;
  }

  /** All CVMs in the order in which they should hold the chunk: one array for equal orders, mostly. */
  order(fingerprint: Fingerprint): readonly number[] {
    return this.#placement.order(fingerprint);
  }

  /** By the coordinator's view; this CVM always counts itself. */
  live(): ReadonlySet<number> {
    return new Set([this.cvm, ...this.#options.live()]);
  }

  /**
   * Calls a holder and keeps the suspicion up to date.
   * @throws what the call throws
   */
  async ask<T>(cvm: number, call: (holder: Holder) => Promise<T>): Promise<T> {
    try {
      const answer = await call(this.holder(cvm));
      this.suspects.clear(cvm);
      return answer;
    } catch (error) {
      if (isSilence(error) && cvm !== this.cvm) {
        this.suspects.add(cvm);
        this.log.debug({ event: "extents.peer-suspect", cvm, err: error }, "cvm is suspected");
      }
      throw error;
    }
  }
}

/** The other side may be dead, hung or cut off. */
function isSilence(error: unknown): boolean {
  return (
    error instanceof AntipodeError &&
    (error.code === "PEER_UNREACHABLE" ||
      error.code === "DEADLINE_EXCEEDED" ||
      error.code === "CANCELLED")
  );
}
