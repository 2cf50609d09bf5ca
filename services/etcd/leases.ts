/**
 * Leases: each has keys that die with it and a deadline by the monotonic clock that it is given.
 * Deadlines are not stored: after a restart every lease has its full time again, as in etcd, so that
 * an outage of the server alone never takes a living client's lease.
 */

import { assert, present } from "../base/assert.ts";
import type { MonotonicMs } from "../base/ids.ts";
import type { Version } from "./keyspace.ts";

const NO_LEASE = "0";
const SECOND_MS = 1000;

export interface Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  readonly expiresMs: number;
  /** Keys that hang on it. */
  readonly keys: ReadonlySet<string>;
}

interface HeldLease extends Lease {
  expiresMs: number;
  readonly keys: Set<string>;
}

/** All leases of a server. */
export class Leases {
  readonly #leases = new Map<string, HeldLease>();
  /** Key → the lease that it hangs on. */
  readonly #holders = new Map<string, string>();

  get(id: string): Lease | undefined {
    return this.#leases.get(id);
  }

  all(): Lease[] {
    return [...this.#leases.values()];
  }

  grant(id: string, ttlSeconds: number, now: MonotonicMs): void {
    assert(!this.#leases.has(id), "a lease is granted once");
    const expiresMs = now + ttlSeconds * SECOND_MS;
    this.#leases.set(id, { id, ttlSeconds, expiresMs, keys: new Set() });
  }

  /** @returns the TTL in seconds, 0 when there is no such lease */
  renew(id: string, now: MonotonicMs): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    lease.expiresMs = now + lease.ttlSeconds * SECOND_MS;
    return lease.ttlSeconds;
  }

  /** Forgets a lease whose keys are gone. */
  revoke(id: string): void {
    const lease = present(this.#leases.get(id), "only a granted lease is revoked");
    assert(lease.keys.size === 0, "a lease's keys are deleted before it");
    this.#leases.delete(id);
  }

  /** Follows a change of a key: from its old lease to its new one. */
  attach(version: Version): void {
    const holder = this.#holders.get(version.key);
    if (holder === version.lease) return;
    if (holder !== undefined) {
      this.#leases.get(holder)?.keys.delete(version.key);
      this.#holders.delete(version.key);
    }
    if (version.lease === NO_LEASE) return;
    const lease = present(this.#leases.get(version.lease), "a key hangs on a granted lease");
    lease.keys.add(version.key);
    this.#holders.set(version.key, version.lease);
  }

  /** Leases whose time is over, the longest over first. */
  expired(now: MonotonicMs): Lease[] {
    const over = [...this.#leases.values()].filter((lease) => lease.expiresMs <= now);
    return over.sort((a, b) => a.expiresMs - b.expiresMs || (a.id < b.id ? -1 : 1));
  }

  /** When the next lease ends if nobody renews it. */
  nextExpiryMs(): number | undefined {
    let next: number | undefined;
    for (const lease of this.#leases.values())
      if (next === undefined || lease.expiresMs < next) next = lease.expiresMs;
    return next;
  }

  /** Gives every lease its full time again: nobody could renew while the server slept. */
  renewAll(now: MonotonicMs): void {
    for (const id of this.#leases.keys()) this.renew(id, now);
  }
}
