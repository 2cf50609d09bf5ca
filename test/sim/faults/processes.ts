/** Faults of processes and machines: killed, frozen, without power (F1 to F6, F23, F28). */

import type { CrashMode } from "../../support/fakeFile.ts";
import { type KindOf, pick } from "../config.ts";
import { type Injected, type Injector, local, type Target } from "./injection.ts";
import type { PhaseKind } from "./phases.ts";

/** How far ahead an await is chosen at which a process is killed or frozen. */
const STEPS_MAX = 400;
/** Longer than the lease of 2 s, and than everything that waits for one. */
const BEYOND_LEASE_MS_MIN = 2500;
const BEYOND_LEASE_MS_MORE = 5000;
const CRASH_MODES: readonly CrashMode[] = [
  "lost",
  "kept",
  "random",
  "random",
  "tornTail",
  "newest",
];

export const processInjectors: Readonly<Record<Exclude<KindOf<"process">, PhaseKind>, Injector>> = {
  killProcess: (target) => {
    target.process.kill();
    return local(target, target.process.name, () => {
      target.process.start();
    });
  },
  killAtAwait: (target) => {
    const steps = 1 + target.prng.below(STEPS_MAX);
    target.process.killAfter(steps);
    return local(target, `${target.process.name} after ${steps} steps`, () => {
      target.process.spare();
      target.process.start();
    });
  },
  pauseProcess: (target) => {
    target.process.pause();
    return local(target, target.process.name, () => {
      target.process.resume();
    });
  },
  pauseAtAwait: (target) => {
    const steps = 1 + target.prng.below(STEPS_MAX);
    target.process.pauseAfter(steps);
    return local(target, `${target.process.name} after ${steps} steps`, () => {
      target.process.spare();
      target.process.resume();
    });
  },
  pauseBeyondLease,
  powerLossCvm: (target) => {
    const mode = pick(target.prng, CRASH_MODES);
    target.cvm.powerLoss(mode, target.prng);
    return local(target, `CVM ${target.cvm.cvm}, ${mode}`, () => {
      target.site.start();
    });
  },
  powerLossSite: (target) => {
    const mode = pick(target.prng, CRASH_MODES);
    for (const cvm of target.site.cvms) cvm.powerLoss(mode, target.prng);
    return local(target, `all CVMs, ${mode}`, () => {
      target.site.start();
    });
  },
  killSite: (target) => {
    target.world.killSite(target.site.name);
    return local(target, "all processes", () => {
      target.site.start();
    });
  },
};

/**
 * Frozen until its lease is long over, and somebody else has its seat: whatever it sends when it goes on
 * must be refused. Ends by itself, because the time that was drawn may be too short.
 */
function pauseBeyondLease(target: Target): Injected {
  const { process, world, prng } = target;
  const forMs = BEYOND_LEASE_MS_MIN + prng.unit() * BEYOND_LEASE_MS_MORE;
  process.pause();
  let isOver = false;
  const resume = (): void => {
    if (isOver) return;
    isOver = true;
    process.resume();
  };
  const endMs = world.clock.now() + forMs;
  return local(target, `${process.name} for ${Math.round(forMs)} ms`, () => {
    // Its end was drawn for all kinds alike: an earlier one is put off.
    world.clock.after(Math.max(0, endMs - world.clock.now()), resume);
  });
}
