/**
 * What a process does again and again for etcd (renewals, polls, signs of life) falls due together:
 * one wake-up sends it all, and its answers come together too. An idle process costs what its
 * wake-ups cost. Processes are not in step with each other: their clocks begin when they begin.
 */

import { assert } from "../../base/assert.ts";
import type { MonotonicMs } from "../../base/ids.ts";

/** A timer that fired this much of a period early or late fired for the beat nearby. */
const TOLERANCE = 0.01;

/** Ms until the next multiple of the period: above 0 and at most 1.01 periods. */
export function untilBeatMs(now: MonotonicMs, periodMs: number): number {
  assert(now >= 0 && periodMs > 0, "time and period are positive");
  const leftMs = periodMs - (now % periodMs);
  return leftMs > periodMs * TOLERANCE ? leftMs : leftMs + periodMs;
}
