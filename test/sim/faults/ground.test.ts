/** G1 to G3 of ground.ts: nothing is damaged that is the last good copy of anything. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { type FaultKind, faultGroups, keysOf } from "../config.ts";
import { inject } from "../faults.ts";
import type { SimSite } from "../world/site.ts";
import { writtenWorld } from "../world/writtenWorld.ts";
import { Ground } from "./ground.ts";
import { ageCopies } from "./media.ts";
import { storedCopies } from "./storedBytes.ts";

const SEEDS = 12;

/** Chunks of which some CVM has a sound copy. */
function soundChunks(site: SimSite): readonly string[] {
  const all = site.cvms.flatMap((cvm) => storedCopies(site, cvm));
  return [...new Set(all.map(({ fingerprint }) => fingerprint))].sort();
}

describe("what may be damaged", () => {
  it("is a copy of a chunk that another CVM holds too, and once it was damaged the other one is not (G1)", async () => {
    const world = await writtenWorld(2, 2);
    const site = world.site("A");
    const [one, two] = site.cvms;
    if (one === undefined || two === undefined) throw new Error("a site of two CVMs");
    const ground = new Ground(world, site);
    const { copies } = ground.spareCopies(one);
    expect(copies.length).toBeGreaterThan(2);
    for (const copy of copies) ground.condemn(copy);
    expect(ground.spareCopies(one).copies).toEqual([]);
    expect(ground.spareCopies(two).copies).toEqual([]);
    world.end();
  });

  it("is every second copy and more of what lies there for long, and of every chunk one stays good (G1)", async () => {
    const world = await writtenWorld(3, 3);
    const site = world.site("A");
    const before = soundChunks(site);
    const copies = (): number =>
      site.cvms.reduce((sum, cvm) => sum + storedCopies(site, cvm).length, 0);
    const copiesBefore = copies();
    const aged = ageCopies(site, new Ground(world, site), { share: 1, prng: createPrng(3) });
    expect(aged).toBeGreaterThan(copiesBefore / 2);
    expect(copies()).toBeLessThan(copiesBefore / 2);
    expect(soundChunks(site)).toEqual(before);
    world.end();
  });

  it("is an oplog with another listed copy, and then nothing else of the site but that CVM (G2)", async () => {
    const world = await writtenWorld(2, 2);
    const site = world.site("A");
    const [one, two] = site.cvms;
    if (one === undefined || two === undefined) throw new Error("a site of two CVMs");
    const ground = new Ground(world, site);
    const ended = ground.strike();
    expect(ground.claimOplog(one)).toBeUndefined();
    ended();
    const claim = ground.claimOplog(one);
    expect(claim).toBeDefined();
    expect([ground.allows(one), ground.allows(two), ground.allows(undefined)]).toEqual([
      true,
      false,
      false,
    ]);
    if (claim !== undefined) ground.onOplogRestored(claim);
    expect(ground.allows(two)).toBe(true);
    world.end();
  });

  it("is nothing at RF 1 (G3)", async () => {
    const world = await writtenWorld(2, 1);
    const kinds = keysOf(faultGroups.media).filter((kind) => !kind.endsWith("Index"));
    const done: FaultKind[] = kinds.filter((kind) =>
      Array.from({ length: SEEDS }, (_, seed) => inject(world, kind, createPrng(seed))).some(
        ({ isSpared }) => isSpared !== true,
      ),
    );
    expect(done).toEqual([]);
    world.end();
  });
});
