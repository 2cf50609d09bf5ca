/**
 * Where lasting damage may be done: rot, lost and misdirected writes, wiped folders. Whoever damages
 * asks first, and says when the damage is repaired; so a run can be cruel and still be survivable.
 *
 * Guaranteed, as long as everybody asks and tells the truth about repairs, and nothing else destroys copies:
 * A1 Leave for a whole CVM is given only if with it at most RF - 1 CVMs of the site have unrepaired damage of
 *    any kind. As long as nobody asks for single copies, of everything that has RF copies on RF CVMs one is whole.
 * A2 Damage to one thing, when the atlas can be asked who holds it: at least one of the CVMs that held a
 *    good copy when the atlas was asked keeps it; a CVM claimed as a whole holds none. Then more than RF − 1 CVMs may be damaged, each in other things.
 * A3 RF 1: nothing is ever allowed.
 * Not guaranteed: things with fewer copies than RF (under-replicated since a death) under A1, and copies
 * that a crash takes which were never synced: those were never promised.
 */

import { assert } from "../../services/base/assert.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { Undo } from "./fakeFault.ts";

/** Names of the CVMs that hold a good copy of something now, by whatever it is called. */
export type HoldersOf = (thing: string) => readonly number[];

export interface FaultAtlas {
  /**
   * Asks for leave to damage anything on a CVM (A1).
   * @returns what to call when all of it is repaired, or `undefined` when it must not be done
   */
  claimCvm(cvm: number): Undo | undefined;
  /** Asks for leave to damage a CVM's copy of one thing (A2). Needs `holdersOf`. */
  claimCopy(cvm: number, thing: string): Undo | undefined;
  /** A random CVM of those that may be damaged, already claimed. */
  claimAny(prng: Prng): { readonly cvm: number; readonly repaired: Undo } | undefined;
  /** CVMs with damage that is not repaired. */
  damaged(): readonly number[];
}

export interface AtlasOptions {
  readonly cvms: readonly number[];
  readonly replicationFactor: number;
  readonly holdersOf?: HoldersOf;
}

interface Claim {
  readonly cvm: number;
  /** Undefined: everything on the CVM. */
  readonly thing: string | undefined;
}

/** An atlas of one site, without damage. */
export function createFaultAtlas(options: AtlasOptions): FaultAtlas {
  const { cvms, replicationFactor, holdersOf } = options;
  assert(replicationFactor >= 1, "there is at least one copy");
  const claims = new Set<Claim>();
  const damaged = (): readonly number[] =>
    [...new Set([...claims].map((claim) => claim.cvm))].sort((a, b) => a - b);

  const take = (claim: Claim): Undo => {
    claims.add(claim);
    return () => {
      claims.delete(claim);
    };
  };
  const isBad = (cvm: number, thing: string): boolean =>
    [...claims].some(
      (claim) => claim.cvm === cvm && (claim.thing === undefined || claim.thing === thing),
    );
  const mayDamageCvm = (cvm: number): boolean =>
    new Set([...damaged(), cvm]).size < replicationFactor;
  const claimCvm = (cvm: number): Undo | undefined => {
    assert(cvms.includes(cvm), "a CVM to damage is one of the site");
    return mayDamageCvm(cvm) ? take({ cvm, thing: undefined }) : undefined;
  };
  return {
    claimCvm,
    claimCopy(cvm, thing) {
      assert(cvms.includes(cvm), "a CVM to damage is one of the site");
      assert(
        holdersOf !== undefined,
        "an atlas knows who holds what before it gives leave for a copy",
      );
      const good = holdersOf(thing).filter((holder) => holder !== cvm && !isBad(holder, thing));
      if (replicationFactor === 1 || good.length === 0) return undefined;
      return take({ cvm, thing });
    },
    claimAny(prng) {
      const possible = cvms.filter(mayDamageCvm);
      const cvm = possible[prng.below(Math.max(1, possible.length))];
      const repaired = cvm === undefined ? undefined : claimCvm(cvm);
      return cvm === undefined || repaired === undefined ? undefined : { cvm, repaired };
    },
    damaged,
  };
}
