/** The atlas never gives leave to destroy the last good copy: A1 to A3 of fakeFaultAtlas.ts. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import type { Undo } from "../../support/fakeFault.ts";
import { createFaultAtlas } from "../../support/fakeFaultAtlas.ts";

const cvms = [1, 2, 3, 4];

describe("leave to damage a CVM", () => {
  it.each([1, 2, 3])(
    "is given to at most RF - 1 CVMs at a time, with RF %i (A1, A3)",
    (replicationFactor) => {
      const atlas = createFaultAtlas({ cvms, replicationFactor });
      const given = cvms.filter((cvm) => atlas.claimCvm(cvm) !== undefined);
      expect(given).toHaveLength(replicationFactor - 1);
      expect(atlas.damaged()).toEqual(given);
    },
  );

  it("is given again for one that is damaged already, and for another once all its damage is repaired", () => {
    const atlas = createFaultAtlas({ cvms, replicationFactor: 2 });
    const repairs = [atlas.claimCvm(1), atlas.claimCvm(1)];
    expect(atlas.claimCvm(2)).toBeUndefined();
    repairs[0]?.();
    repairs[0]?.();
    expect(atlas.claimCvm(2)).toBeUndefined();
    repairs[1]?.();
    expect(atlas.claimCvm(2)).toBeDefined();
  });

  it("goes to a CVM that the seed picks, as long as one may be damaged", () => {
    const atlas = createFaultAtlas({ cvms, replicationFactor: 2 });
    const picked = atlas.claimAny(createPrng(4));
    expect(cvms).toContain(picked?.cvm);
    for (let seed = 0; seed < 10; seed++)
      expect(atlas.claimAny(createPrng(seed))?.cvm).toBe(picked?.cvm);
    expect(
      createFaultAtlas({ cvms, replicationFactor: 1 }).claimAny(createPrng(1)),
    ).toBeUndefined();
  });
});

describe("leave to damage a copy", () => {
  const holders: Readonly<Record<string, readonly number[]>> = {
    a: [1, 2],
    b: [3, 4],
    single: [1],
  };
  const holdersOf = (thing: string): readonly number[] => holders[thing] ?? [];

  it("is refused for the last good copy, also when the other CVM is claimed as a whole (A2)", () => {
    const atlas = createFaultAtlas({ cvms, replicationFactor: 2, holdersOf });
    expect(atlas.claimCopy(1, "single")).toBeUndefined();
    const repaired = atlas.claimCopy(1, "a");
    expect(repaired).toBeDefined();
    expect(atlas.claimCopy(2, "a")).toBeUndefined();
    repaired?.();
    expect(atlas.claimCvm(2)).toBeDefined();
    expect(atlas.claimCopy(1, "a")).toBeUndefined();
  });

  it("is given on more than RF - 1 CVMs for different things, but then no CVM may be damaged as a whole", () => {
    const atlas = createFaultAtlas({ cvms, replicationFactor: 2, holdersOf });
    expect(atlas.claimCopy(1, "a")).toBeDefined();
    expect(atlas.claimCopy(3, "b")).toBeDefined();
    expect(atlas.damaged()).toEqual([1, 3]);
    expect(cvms.map((cvm) => atlas.claimCvm(cvm))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

it("whatever is claimed and repaired at random, everything with RF copies keeps a good one (A1, A2)", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const prng = createPrng(seed);
    const replicationFactor = 2 + prng.below(2);
    const things = Array.from({ length: 8 }, (_, i) => ({
      name: `t${i}`,
      holders: cvms
        .map((_cvm, at) => cvms[(at + i) % cvms.length] ?? 1)
        .slice(0, replicationFactor),
    }));
    const atlas = createFaultAtlas({
      cvms,
      replicationFactor,
      holdersOf: (name) => things.find((thing) => thing.name === name)?.holders ?? [],
    });
    const damage = new Set<{ cvm: number; thing: string | undefined; repaired: Undo }>();
    for (let step = 0; step < 40; step++) {
      const cvm = 1 + prng.below(cvms.length);
      const thing = prng.below(3) === 0 ? undefined : `t${prng.below(things.length)}`;
      const oldest = [...damage][0];
      if (prng.below(4) === 0 && oldest !== undefined) {
        oldest.repaired();
        damage.delete(oldest);
      } else {
        const repaired = thing === undefined ? atlas.claimCvm(cvm) : atlas.claimCopy(cvm, thing);
        if (repaired !== undefined) damage.add({ cvm, thing, repaired });
      }
      for (const one of things) {
        const isGood = (holder: number): boolean =>
          ![...damage].some(
            (bad) => bad.cvm === holder && (bad.thing === undefined || bad.thing === one.name),
          );
        expect(one.holders.some(isGood), `seed ${seed} step ${step} ${one.name}`).toBe(true);
      }
    }
  }
});
