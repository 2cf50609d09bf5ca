/**
 * Faults that wait for a moment of the work instead of a time: power fails just when etcd has agreed to
 * something that stored bytes must be there for, a vDisk's root or a recovery point, of its own site or from
 * another one. Whatever was to be durable before that is tried then, at one CVM or at several.
 */

import { siteKeys } from "../../../services/base/siteRecords.ts";
import type { CrashMode } from "../../support/fakeFile.ts";
import { type KindOf, pick } from "../config.ts";
import { type Injected, type Injector, local, type Target } from "./injection.ts";

/** Later than the moment, at most: most of what follows a commit is over by then. */
const AFTER_MS_MAX = 3;
const CRASH_MODES: readonly CrashMode[] = ["lost", "lost", "random", "tornTail", "kept"];

export const momentInjectors: Readonly<Record<KindOf<"moment">, Injector>> = {
  powerLossAtRoot: (target) => powerLossAt(target, siteKeys.maps),
  powerLossAtPoint: (target) => powerLossAt(target, siteKeys.recoveryPoints),
};

/** Armed until something is written below the prefix, or it ends; strikes once. */
function powerLossAt(target: Target, prefix: string): Injected {
  const { site, world, prng } = target;
  const { etcd, cvms } = site;
  const mode = pick(prng, CRASH_MODES);
  const count = pick(prng, [1, 1 + prng.below(cvms.length), cvms.length]);
  const first = prng.below(cvms.length);
  const afterMs = pick(prng, [0, prng.unit() * AFTER_MS_MAX]);
  let isOver = false;
  const strike = (): void => {
    if (isOver) return;
    world.trace.event("world", "power fails", `${count} CVMs at ${site.name}`);
    for (let i = 0; i < count; i++) cvms[(first + i) % cvms.length]?.powerLoss(mode, prng);
  };
  const watch = etcd.connect().watch(prefix, etcd.core.keyspace.revision + 1, {
    onEvents: (events) => {
      if (!events.some(({ kind }) => kind === "put")) return;
      watch.cancel();
      if (afterMs === 0) strike();
      else world.clock.after(afterMs, strike);
    },
    onCompacted: () => undefined,
  });
  return local(target, `${count} CVMs, ${mode}, after the next ${prefix}`, () => {
    isOver = true;
    watch.cancel();
    site.start();
  });
}
