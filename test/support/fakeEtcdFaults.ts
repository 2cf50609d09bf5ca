/**
 * What can be wrong with the server of the etcd in memory, for all of its connections at once, and its
 * states of the past: an empty one and an older backup. Faults of one connection: memoryCoordinator.ts.
 */

import { assert } from "../../services/base/assert.ts";
import { monotonicMs } from "../../services/base/ids.ts";
import type { Prng } from "../../services/base/prng.ts";
import { type CoreLimits, EtcdCore } from "../../services/etcd/index.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";

/** A frozen server's sockets hold this many requests; more would be a client without back-off. */
const FROZEN_REQUESTS_MAX = 100_000;
/** Ids of leases that a wiped or restored server grants never meet those of its earlier life. */
const LEASE_IDS_PER_LIFE = 1_000_000;
const FIRST_LEASE_ID = 1000;

/** Everything that a server held at some time. */
export type EtcdBackup = ReturnType<EtcdCore["contents"]>;

/** Transactions of which each with this chance fails for its caller; of those every other one happens. */
export interface Ambiguity {
  readonly prng: Prng;
  readonly share: number;
}

/** What becomes of a transaction. */
export type TransactionFate = "answered" | "answerLost" | "requestLost";

export class EtcdServerFaults {
  readonly #outages = new FaultSet<"outage">();
  readonly #freezes = new FaultSet<"freeze">();
  readonly #heldExpiry = new FaultSet<"hold">();
  readonly #ambiguities = new FaultSet<Ambiguity>();
  readonly #slow = new FaultSet<number>();
  #frozen: (() => void)[] = [];

  get isDown(): boolean {
    return !this.#outages.isEmpty;
  }

  get isFrozen(): boolean {
    return !this.#freezes.isEmpty;
  }

  get expires(): boolean {
    return !this.isDown && !this.isFrozen && this.#heldExpiry.isEmpty;
  }

  /** By how much watches are late. */
  get watchDelayMs(): number {
    return this.#slow.all().reduce((sum, delayMs) => sum + delayMs, 0);
  }

  fateOf(): TransactionFate {
    for (const { prng, share } of this.#ambiguities.all())
      if (prng.unit() < share) return prng.below(2) === 0 ? "answerLost" : "requestLost";
    return "answered";
  }

  /** A request that a frozen server will find when it is thawed. */
  keepForThaw(request: () => void): void {
    assert(
      this.#frozen.length < FROZEN_REQUESTS_MAX,
      "a frozen server is asked a bounded number of times",
    );
    this.#frozen.push(request);
  }

  outage(onEnd: () => void): Undo {
    return this.#outages.add("outage", () => {
      if (!this.isDown) onEnd();
    });
  }

  freeze(onThaw: (requests: readonly (() => void)[]) => void): Undo {
    return this.#freezes.add("freeze", () => {
      if (this.isFrozen) return;
      const requests = this.#frozen;
      this.#frozen = [];
      onThaw(requests);
    });
  }

  holdExpiry(): Undo {
    return this.#heldExpiry.add("hold");
  }

  makeAmbiguous(ambiguity: Ambiguity): Undo {
    return this.#ambiguities.add(ambiguity);
  }

  slowWatches(delayMs: number, onEnd: () => void): Undo {
    return this.#slow.add(delayMs, onEnd);
  }

  undoAll(): void {
    this.#ambiguities.undoAll();
    this.#slow.undoAll();
    this.#heldExpiry.undoAll();
    this.#freezes.undoAll();
    this.#outages.undoAll();
  }
}

/** A core without anything in it; `life` counts the servers before it, from 0. */
export function emptyCore(limits: CoreLimits | undefined, life: number): EtcdCore {
  const core = new EtcdCore(limits);
  core.begin({
    clusterId: String(1 + life),
    memberId: String(2 + life),
    leaseNext: FIRST_LEASE_ID + life * LEASE_IDS_PER_LIFE,
  });
  core.takeEffects();
  return core;
}

/** A core as it was when the backup was made; its leases have their full time. */
export function restoredCore(
  backup: EtcdBackup,
  options: {
    readonly limits: CoreLimits | undefined;
    readonly life: number;
    readonly nowMs: number;
  },
): EtcdCore {
  const core = new EtcdCore(options.limits);
  const leaseNext = FIRST_LEASE_ID + options.life * LEASE_IDS_PER_LIFE;
  for (const record of backup)
    core.replay(
      record.kind === "origin" ? { ...record, leaseNext } : record,
      monotonicMs(options.nowMs),
    );
  return core;
}
