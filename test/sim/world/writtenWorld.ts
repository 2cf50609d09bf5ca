/** A world for tests of faults: a site whose one disk, `disk`, was written to and drained. */

import { createPrng } from "../../../services/base/prng.ts";
import { MIB } from "../../../services/base/units.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { CONTAINER, createWorld, memberOf, type World } from "./world.ts";

export const BLOCK_BYTES = 4096;
/** The first so many blocks hold random bytes. */
export const BLOCKS = 40;
/** The generator that fills them, in one go, is seeded with this. */
export const SEED = 7;
const DRAIN_MS = 3000;

/** Sites A and B; the disk is at A. */
export async function writtenWorld(cvms: number, replicationFactor: number): Promise<World> {
  const skew = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };
  const sites = ["A", "B"].map((name) => ({
    ...{ name, cvms, diskBytes: 256 * MIB, oplog: {}, skew: () => skew },
  }));
  const world = await createWorld({ seed: 1, sites, linkDelayMs: 5, replicationFactor });
  await world.begin();
  const { stargate } = memberOf(world.site("A"), 0);
  const disk = { name: "disk", container: CONTAINER, sizeBytes: MIB, root: "", source: "" };
  await world.wait(world.call(stargate, VdiskService.createVdisk, disk));
  await writeBlocks(world);
  await world.clock.tick(DRAIN_MS);
  return world;
}

/** Writes all blocks once more, through the first CVM. */
export async function writeBlocks(world: World, seed = SEED): Promise<void> {
  const client = await world.wait(world.openDisk("A", 1, "disk"));
  const bytes = createPrng(seed).fill(new Uint8Array(BLOCKS * BLOCK_BYTES));
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES)
    await world.wait(client.write(at, bytes.subarray(at, at + BLOCK_BYTES)));
}
