/**
 * The faults of a run as data: all of them are drawn from the seed before the run begins, so that a
 * list can be given in place of the drawn one: shortened by shrink.ts, or kept in a regression.
 *
 * A fault that is left out changes nothing of the others: each has its own time and its own seed.
 */

import { createPrng } from "../../../services/base/prng.ts";
import { type FaultKind, pick, type SimConfig } from "../config.ts";
import { seedOf } from "../world/site.ts";

/** A fault that will be injected. */
export interface PlannedFault {
  /** When, in virtual ms since the time with faults began. */
  readonly atMs: number;
  readonly kind: FaultKind;
  /** It ends after this long, and at the latest when everything is healed. */
  readonly lastsMs: number;
  /** From it the fault draws where it strikes and how. */
  readonly seed: number;
}

/** The faults of a configuration in the order of their times; equal ones give equal lists. */
export function drawSchedule(config: SimConfig): readonly PlannedFault[] {
  const { faults, faultEveryMs, faultLastsMs, untilMs, seed } = config;
  if (faults.length === 0) return [];
  const prng = createPrng(seedOf(seed, "faults"));
  const schedule: PlannedFault[] = [];
  for (let atMs = 0; ; ) {
    atMs += prng.unit() * 2 * faultEveryMs;
    if (atMs >= untilMs) return schedule;
    const kind = pick(prng, faults);
    const lastsMs = prng.unit() * 2 * faultLastsMs;
    schedule.push({ atMs, kind, lastsMs, seed: prng.uint32() });
  }
}
