/**
 * Faults of a machine's clocks (F12): its wall clock jumps by up to an hour, once or again and again, and
 * its monotonic clock has another speed. Clocks of two CVMs never differ by 5 % or more (FAULT_MODEL.md).
 */

import { assert } from "../../../services/base/assert.ts";
import { type KindOf, pick } from "../config.ts";
import type { SimCvm } from "../world/site.ts";
import { type Injector, local, spared } from "./injection.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const JUMPS_MS = [-HOUR_MS, -MINUTE_MS, -SECOND_MS, SECOND_MS, MINUTE_MS, HOUR_MS];
const STROBE_MS = 100;
/** Two clocks differ by twice as much at most. */
export const DRIFT_MAX = 0.024;

/** A second drift would add to the first one. */
const drifting = new WeakSet<SimCvm>();

export const clockInjectors: Readonly<Record<KindOf<"clock">, Injector>> = {
  jumpWall: (target) => {
    const byMs = pick(target.prng, JUMPS_MS);
    const end = target.cvm.clock.jumpWall(byMs);
    return local(target, `CVM ${target.cvm.cvm} by ${byMs} ms`, end);
  },
  strobeWall: (target) => {
    const { cvm, world, prng } = target;
    const byMs = pick(prng, JUMPS_MS);
    let undo: (() => void) | undefined;
    let isOver = false;
    const flip = (): void => {
      undo?.();
      undo = undo === undefined && !isOver ? cvm.clock.jumpWall(byMs) : undefined;
      if (!isOver) world.clock.after(STROBE_MS, flip);
    };
    flip();
    return local(target, `CVM ${cvm.cvm} by ${byMs} ms to and fro`, () => {
      isOver = true;
      undo?.();
      undo = undefined;
    });
  },
  driftClock: (target) => {
    const { cvm, prng } = target;
    const by = (2 * prng.unit() - 1) * DRIFT_MAX;
    const undo = driftBy(cvm, by);
    if (undo === undefined) return spared(target, "its clock drifts already");
    return local(target, `CVM ${cvm.cvm} at ${(1 + by).toFixed(4)}`, undo);
  },
};

/** Faster than the world by this part, DRIFT_MAX at most. @returns what ends it; `undefined` where a clock drifts already */
export function driftBy(cvm: SimCvm, part: number): (() => void) | undefined {
  assert(Math.abs(part) <= DRIFT_MAX, "clocks differ by less than the fault model allows");
  if (drifting.has(cvm)) return undefined;
  const undo = cvm.clock.drift(1 + part - cvm.skew.rate);
  drifting.add(cvm);
  return () => {
    drifting.delete(cvm);
    undo();
  };
}
