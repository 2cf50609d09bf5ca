/** What becomes of the first site, drawn from the seed of a run that has a failover. */

import { createPrng } from "../../services/base/prng.ts";
import { pick, type SimConfig } from "./config.ts";
import { seedOf } from "./world/site.ts";

export interface FailoverPlan {
  /** Everything has converged when the site is lost, or faults strike on, at it and elsewhere. */
  readonly lost: "in calm" | "amid faults";
  /** Faults strike while the domain is activated elsewhere; after them the lost site is back. */
  readonly comesBack: boolean;
  /** Then the domain is moved back by plan, under faults too. */
  readonly failsBack: boolean;
  /** Ends of the acts, as parts of the time with faults. */
  readonly ends: readonly number[];
}

const PLANS: readonly FailoverPlan[] = [
  { lost: "in calm", comesBack: false, failsBack: false, ends: [1, 1] },
  { lost: "in calm", comesBack: true, failsBack: false, ends: [0.6, 1] },
  { lost: "in calm", comesBack: true, failsBack: true, ends: [0.5, 0.75, 1] },
  { lost: "amid faults", comesBack: true, failsBack: false, ends: [0.6, 1] },
  { lost: "amid faults", comesBack: true, failsBack: true, ends: [0.5, 0.75, 1] },
];

/** `undefined`: the first site stays active. */
export function failoverOf({ seed, operator }: SimConfig): FailoverPlan | undefined {
  if (!operator.failover) return undefined;
  return pick(createPrng(seedOf(seed, "failover")), PLANS);
}
