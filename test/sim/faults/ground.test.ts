/** G1 to G3 of ground.ts: nothing is damaged that is the last good copy of anything. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { MIB } from "../../../services/base/units.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { type FaultKind, faultGroups, keysOf } from "../config.ts";
import { inject } from "../faults.ts";
import { CONTAINER, createWorld, memberOf, type World } from "../world/world.ts";
import { Ground } from "./ground.ts";

const BLOCK_BYTES = 4096;
const BLOCKS = 40;
const DRAIN_MS = 3000;
const SEEDS = 12;

/** A site whose one disk was written to and drained. */
async function writtenWorld(cvms: number, replicationFactor: number): Promise<World> {
  const skew = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };
  const sites = ["A", "B"].map((name) => ({
    ...{ name, cvms, diskBytes: 256 * MIB, oplog: {}, skew: () => skew },
  }));
  const world = await createWorld({ seed: 1, sites, linkDelayMs: 5, replicationFactor });
  await world.begin();
  const { stargate } = memberOf(world.site("A"), 0);
  const disk = { name: "disk", container: CONTAINER, sizeBytes: MIB, root: "", source: "" };
  await world.wait(world.call(stargate, VdiskService.createVdisk, disk));
  const client = await world.wait(world.openDisk("A", 1, "disk"));
  const prng = createPrng(7);
  for (let i = 0; i < BLOCKS; i++)
    await world.wait(client.write(i * BLOCK_BYTES, prng.fill(new Uint8Array(BLOCK_BYTES))));
  await world.clock.tick(DRAIN_MS);
  return world;
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
