/**
 * Who sends what: within one ship every fingerprint is asked for and sent by the part of the walk that
 * claims it first. Others count it as deduplicated, and wait until it is durable before they send a node
 * above it.
 *
 * Claims are made for a batch at a time: all fingerprints of a batch share one flight. A flight is
 * settled by its owner as soon as the owner's own chunks are durable, before the owner waits for
 * anybody else; so waits only go from a node to what lies below it, and there is no cycle.
 *
 * Settled claims are forgotten oldest first beyond CLAIMS_MAX: the target then says itself that it has
 * them. Unsettled ones are never forgotten.
 */

import { assert } from "../../base/assert.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import type { Fingerprint } from "../chunks.ts";
import { CLAIMS_MAX } from "./limits.ts";

/** A batch on its way to the target. */
export interface Flight {
  readonly isSettled: boolean;
  /** Resolves when everything of the batch is durable; rejects when the ship failed. */
  readonly arrival: Promise<void>;
  settle(): void;
  fail(reason: Error): void;
}

/** A flight that has just begun. */
export function createFlight(): Flight {
  let isSettled = false;
  let resolve: () => void = () => undefined;
  let reject: (reason: Error) => void = () => undefined;
  const arrival = new Promise<void>((onArrival, onFailure) => {
    resolve = onArrival;
    reject = onFailure;
  });
  // Nobody may be waiting for it; the owner throws the same reason itself.
  arrival.catch(() => undefined);
  return {
    get isSettled() {
      return isSettled;
    },
    arrival,
    settle() {
      isSettled = true;
      resolve();
    },
    fail(reason) {
      reject(reason);
    },
  };
}

/** The claims of one ship. */
export interface Claims {
  /** @returns the flight that has claimed it before, or `undefined`: it is `flight`'s now */
  claim(fingerprint: Fingerprint, flight: Flight): Flight | undefined;
}

/** No claims yet. */
export function createClaims(): Claims {
  /** Oldest first. */
  const flights = new Map<FingerprintKey, Flight>();
  const forgetOldest = (): void => {
    for (const [key, flight] of flights) {
      if (!flight.isSettled) continue;
      flights.delete(key);
      return;
    }
    assert(false, "what is in flight is less than what can be remembered");
  };
  return {
    claim(fingerprint, flight) {
      const key = keyOf(fingerprint);
      const before = flights.get(key);
      if (before !== undefined) return before;
      if (flights.size >= CLAIMS_MAX) forgetOldest();
      flights.set(key, flight);
      return undefined;
    },
  };
}
