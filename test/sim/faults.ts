/** Injects one fault of a kind into a world, and says how it is ended. One group of kinds a file in faults/. */

import type { Prng } from "../../services/base/prng.ts";
import { type FaultKind, faultGroups, type KindOf, keysOf } from "./config.ts";
import { clockInjectors } from "./faults/clocks.ts";
import { diskInjectors } from "./faults/disks.ts";
import { etcdInjectors } from "./faults/etcd.ts";
import { Ground } from "./faults/ground.ts";
import {
  drawTarget,
  type Injected,
  type Injector,
  spared,
  type Target,
  undoAll,
} from "./faults/injection.ts";
import { insideInjectors, linkInjectors } from "./faults/links.ts";
import { mediaInjectors } from "./faults/media.ts";
import { momentInjectors } from "./faults/moments.ts";
import { aimed, injectOrder } from "./faults/ordered.ts";
import { phaseInjectors } from "./faults/phases.ts";
import { processInjectors } from "./faults/processes.ts";
import type { SimSite } from "./world/site.ts";
import type { World } from "./world/world.ts";

const injectors: Readonly<
  Record<Exclude<FaultKind, KindOf<"media"> | KindOf<"ordered">>, Injector>
> = {
  ...processInjectors,
  ...momentInjectors,
  ...phaseInjectors,
  ...diskInjectors,
  ...clockInjectors,
  ...etcdInjectors,
  ...linkInjectors,
  ...insideInjectors,
};

/** Can cost no CVM its place among the copies of an oplog (ground.ts, G2). */
const HARMLESS: ReadonlySet<string> = new Set<FaultKind>([
  ...keysOf(faultGroups.clock),
  ...keysOf(faultGroups.link).filter((kind) => !kind.startsWith("lose")),
  // Leaders of Cerebro: no oplog is theirs.
  ...keysOf(phaseInjectors),
]);
/** Strike the target's CVM and no other one. */
const OF_ONE_CVM: ReadonlySet<string> = new Set<FaultKind>([
  ...keysOf(faultGroups.process).filter((kind) => !kind.endsWith("Site")),
  ...keysOf(faultGroups.disk),
]);

const grounds = new WeakMap<SimSite, Ground>();

/** Injects the fault at a place that the generator draws; equal generators give equal faults. */
export function inject(world: World, kind: FaultKind, prng: Prng): Injected {
  const drawn = drawTarget(world, prng);
  const target = isOrdered(kind) ? aimed(drawn) : drawn;
  const ground = groundOf(world, target.site);
  if (isMedia(kind) && kind !== "loseIndex") return mediaInjectors[kind](target, ground);
  if (HARMLESS.has(kind)) return injectOther(target, kind, ground);
  const sites = kind.startsWith("lose") && kind.endsWith("Replies") ? world.sites : [target.site];
  const struck = OF_ONE_CVM.has(kind) ? target.cvm : undefined;
  if (!sites.every((site) => groundOf(world, site).allows(struck)))
    return spared(target, "a copy of an oplog is damaged");
  const ends = sites.map((site) => groundOf(world, site).strike());
  const injected = injectOther(target, kind, ground);
  return {
    ...injected,
    end() {
      injected.end();
      undoAll(ends);
    },
  };
}

function injectOther(target: Target, kind: FaultKind, ground: Ground): Injected {
  if (isOrdered(kind)) return injectOrder(kind, target);
  return isMedia(kind) ? mediaInjectors[kind](target, ground) : injectors[kind](target);
}

function isOrdered(kind: FaultKind): kind is KindOf<"ordered"> {
  return kind in faultGroups.ordered;
}

function isMedia(kind: FaultKind): kind is KindOf<"media"> {
  return kind in mediaInjectors;
}

/** What may be damaged at the site. */
export function groundOf(world: World, site: SimSite): Ground {
  const ground = grounds.get(site) ?? new Ground(world, site);
  grounds.set(site, ground);
  return ground;
}
