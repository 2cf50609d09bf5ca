/**
 * What an injector is given and what it gives: a place drawn from the fault's own seed, and a fault that
 * can be ended. Every injector draws from the same place, so that a kind can be exchanged for another
 * without moving anything.
 */

import type { Prng } from "../../../services/base/prng.ts";
import { pick } from "../config.ts";
import type { SimProcess } from "../world/process.ts";
import type { SimCvm, SimSite } from "../world/site.ts";
import type { World } from "../world/world.ts";

/** A fault that is on. */
export interface Injected {
  /** Where and how, for the report: "stargate-A-1 at A". */
  readonly what: string;
  /** Sites whose own machines it touches. */
  readonly sites: readonly string[];
  /** For a fault of links: one of their directions. */
  readonly link: { readonly from: string; readonly to: string } | undefined;
  /** It was not done, because it could have cost what no promise covers; the text says what. */
  readonly isSpared?: true;
  /** For a fault of several steps: when the last one is done, whatever time was drawn. */
  readonly over?: Promise<void>;
  /** Undoes it; what the product made of it stays. Called once. */
  end(): void;
}

/** Where a fault strikes: drawn once, so that every kind takes the same numbers. */
export interface Target {
  readonly world: World;
  readonly prng: Prng;
  readonly site: SimSite;
  readonly cvm: SimCvm;
  readonly process: SimProcess;
  readonly other: SimSite;
}

/** Does it, and says how it is undone. */
export type Injector = (target: Target) => Injected;

/** A random place. */
export function drawTarget(world: World, prng: Prng): Target {
  const site = pick(prng, world.sites);
  const cvm = pick(prng, site.cvms);
  const process = pick(prng, [cvm.stargate, cvm.cerebro]);
  const others = world.sites.filter((one) => one !== site);
  return { world, prng, site, cvm, process, other: pick(prng, others) };
}

export const nothing = (): void => undefined;

/** A fault of a site's own machines. */
export function local(target: Target, what: string, end: () => void): Injected {
  return {
    what: `${what} at ${target.site.name}`,
    sites: [target.site.name],
    link: undefined,
    end,
  };
}

/** A fault of the link from the target's site to the other one. */
export function between({ site, other }: Target, what: string, end: () => void): Injected {
  return {
    what: `${site.name} to ${other.name}${what === "" ? "" : `, ${what}`}`,
    sites: [],
    link: { from: site.name, to: other.name },
    end,
  };
}

/** Nothing was done. */
export function spared(target: Target, why: string): Injected {
  return { ...local(target, `spared, ${why},`, nothing), sites: [], isSpared: true };
}

/** Ends several faults in the opposite order. */
export function undoAll(undos: readonly (() => void)[]): void {
  for (const undo of undos.toReversed()) undo();
}
