/**
 * An owner's hold on its record in etcd. Every change is a transaction guarded by the revision that
 * this owner wrote or read last, so that of two CVMs that act at once exactly one wins (P4).
 * A transaction whose answer was lost is settled by reading the record back: an epoch is used by one
 * attempt only, so the record tells whether the attempt took place. While a step is under way, etcd may
 * know a revision that this owner does not know yet: everything else here waits for the step.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { epoch as asEpoch, type Epoch, type VdiskId } from "../../base/ids.ts";
import { type OwnerRecord, siteKeys } from "../../base/siteRecords.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Compare, Coordinator, Operation } from "../../platform/coordinator.ts";
import { decodeOwner, encodeRecord } from "./records.ts";

export type SeatOutcome =
  | { readonly kind: "won" }
  | { readonly kind: "deposed"; readonly record: OwnerRecord | undefined };

const RETRY_MS = 100;

export class OwnerSeat {
  readonly #coordinator: Coordinator;
  readonly #clock: Clock;
  readonly #key: string;
  #record: OwnerRecord;
  #revision: number;
  /** The step under way; never rejects. */
  #step: Promise<unknown> = Promise.resolve();

  constructor(options: {
    readonly coordinator: Coordinator;
    readonly clock: Clock;
    readonly vdiskId: VdiskId;
    readonly record: OwnerRecord;
    readonly revision: number;
  }) {
    this.#coordinator = options.coordinator;
    this.#clock = options.clock;
    this.#key = siteKeys.owner(options.vdiskId);
    this.#record = options.record;
    this.#revision = options.revision;
  }

  get record(): OwnerRecord {
    return this.#record;
  }

  get epoch(): Epoch {
    return asEpoch(this.#record.epoch);
  }

  /**
   * Writes a new record with the next epoch, if the record is still the one known here.
   * @throws AntipodeError `COORDINATOR_UNAVAILABLE`: it is not known whether it took place; call again
   */
  advance(
    owner: number,
    peers: readonly number[],
    served: boolean = this.#record.served,
  ): Promise<SeatOutcome> {
    const step = this.#advance(owner, peers, served);
    this.#step = step.catch(() => undefined);
    return step;
  }

  async #advance(owner: number, peers: readonly number[], served: boolean): Promise<SeatOutcome> {
    assert(peers.includes(owner), "an owner is one of its peers");
    const wanted: OwnerRecord = { owner, epoch: this.#record.epoch + 1, peers: [...peers], served };
    const result = await this.#settled(() =>
      this.#coordinator.transact({
        when: [{ kind: "modRevision", key: this.#key, equals: this.#revision }],
        then: [{ kind: "put", key: this.#key, value: encodeRecord(wanted) }],
        otherwise: [{ kind: "get", key: this.#key }],
      }),
    );
    if (result.succeeded) {
      this.#record = wanted;
      this.#revision = result.revision;
      return { kind: "won" };
    }
    const found = result.found[0]?.[0];
    const now = found === undefined ? undefined : decodeOwner(found.value);
    if (
      found !== undefined &&
      now !== undefined &&
      JSON.stringify(now) === JSON.stringify(wanted)
    ) {
      this.#record = wanted;
      this.#revision = found.modRevision;
      return { kind: "won" };
    }
    return { kind: "deposed", record: now };
  }

  /** Puts records that only the owner may write; false when this CVM is not the owner any more. */
  async commit(
    operations: readonly Operation[],
    also: readonly Compare[] = [],
  ): Promise<"done" | "refused"> {
    await this.#step;
    const result = await this.#settled(() =>
      this.#coordinator.transact({
        when: [{ kind: "modRevision", key: this.#key, equals: this.#revision }, ...also],
        then: operations,
      }),
    );
    return result.succeeded ? "done" : "refused";
  }

  /** Is the record still the one known here? */
  async stillOwner(): Promise<boolean> {
    await this.#step;
    const entry = await this.#coordinator.get(this.#key);
    return entry?.modRevision === this.#revision;
  }

  /** An answer that was lost is asked for once more; the transactions here may be repeated. */
  async #settled<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_UNAVAILABLE") throw error;
      await this.#clock.sleep(RETRY_MS);
      return await attempt();
    }
  }
}

/** Guards every caller that needs a record to exist. */
export function missing(what: string, name: string): AntipodeError {
  return new AntipodeError("VDISK_NOT_FOUND", `${what} of vDisk ${name} is missing`, {
    vdisk: name,
  });
}
