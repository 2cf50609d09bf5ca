/**
 * How long a lease may be relied on. Pure. The server counts a lease from when it handled the
 * request; we only know that this was not before the request was sent, so we count from there, and
 * give up a quarter early for clocks that run apart and for our own delays.
 */

import { type MonotonicMs, monotonicMs } from "../../base/ids.ts";

/** The part of a granted TTL that is relied on. */
const TRUSTED_SHARE = 0.75;
/** Renewals in a TTL: two in a row may be lost before the trust is, three before the lease is. */
const BEATS_PER_TTL = 4;
const BEAT_MS_MIN = 50;

/** A lease that the server granted, and the last instant at which we rely on it. */
export interface HeldLease {
  readonly id: string;
  readonly ttlMs: number;
  readonly validUntilMs: MonotonicMs;
}

/** A new lease: `sentMs` is when the grant was asked for, `ttlMs` what was granted. */
export function granted(id: string, ttlMs: number, sentMs: MonotonicMs): HeldLease {
  return { id, ttlMs, validUntilMs: until(ttlMs, sentMs) };
}

/** After an answer to a renewal. Answers may overtake each other: the end never goes back. */
export function renewed(lease: HeldLease, ttlMs: number, sentMs: MonotonicMs): HeldLease {
  const validUntilMs = monotonicMs(Math.max(lease.validUntilMs, until(ttlMs, sentMs)));
  return { ...lease, ttlMs, validUntilMs };
}

/** How often a lease is renewed. */
export function beatMs(ttlMs: number): number {
  return Math.max(BEAT_MS_MIN, ttlMs / BEATS_PER_TTL);
}

function until(ttlMs: number, sentMs: MonotonicMs): MonotonicMs {
  return monotonicMs(sentMs + ttlMs * TRUSTED_SHARE);
}
