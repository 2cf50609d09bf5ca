/** Injects one fault of a kind into a world, and says how it is ended. One group of kinds a file in faults/. */

import type { Prng } from "../../services/base/prng.ts";
import type { FaultKind } from "./config.ts";
import { clockInjectors } from "./faults/clocks.ts";
import { diskInjectors } from "./faults/disks.ts";
import { etcdInjectors } from "./faults/etcd.ts";
import { drawTarget, type Injected, type Injector } from "./faults/injection.ts";
import { insideInjectors, linkInjectors } from "./faults/links.ts";
import { processInjectors } from "./faults/processes.ts";
import type { World } from "./world/world.ts";

const injectors: Readonly<Record<FaultKind, Injector>> = {
  ...processInjectors,
  ...diskInjectors,
  ...clockInjectors,
  ...etcdInjectors,
  ...linkInjectors,
  ...insideInjectors,
};

/** Injects the fault at a place that the generator draws; equal generators give equal faults. */
export function inject(world: World, kind: FaultKind, prng: Prng): Injected {
  return injectors[kind](drawTarget(world, prng));
}
