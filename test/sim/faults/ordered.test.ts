/** Faults in an order: whom they strike, what they leave behind (order.ts, S1), and when they are over. */

import { afterEach, describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { MIB } from "../../../services/base/units.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { faultGroups, keysOf } from "../config.ts";
import { inject } from "../faults.ts";
import { CONTAINER, createWorld, memberOf, type World } from "../world/world.ts";
import { casts, leaderAt, ownerOf } from "./roles.ts";

const BLOCK_BYTES = 4096;
const KINDS = keysOf(faultGroups.ordered);
const ORDER_MS_MAX = 60_000;
const SERVED_MS_MAX = 60_000;
const worlds: World[] = [];

/** Sites A and B, of which A serves a disk that was written to. */
async function servingWorld(cvms: number, replicationFactor: number): Promise<World> {
  const skew = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };
  const sites = ["A", "B"].map((name) => ({
    ...{ name, cvms, diskBytes: 256 * MIB, oplog: {}, skew: () => skew },
  }));
  const world = await createWorld({ seed: 3, sites, linkDelayMs: 5, replicationFactor });
  worlds.push(world);
  await world.begin();
  const { stargate } = memberOf(world.site("A"), 0);
  const disk = { name: "disk", container: CONTAINER, sizeBytes: MIB, root: "", source: "" };
  await world.wait(world.call(stargate, VdiskService.createVdisk, disk));
  await writeThrough(world, 1);
  return world;
}

async function writeThrough(world: World, cvm: number): Promise<void> {
  const opening = world.openDisk("A", cvm, "disk", { ioTimeoutMs: SERVED_MS_MAX });
  const client = await world.wait(opening, SERVED_MS_MAX);
  await world.wait(client.write(0, new Uint8Array(BLOCK_BYTES).fill(cvm)), SERVED_MS_MAX);
  await world.wait(client.close());
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("there is one");
  return value;
}

describe("faults in an order", () => {
  afterEach(() => {
    for (const world of worlds.splice(0)) world.end();
  });

  it("find owner, heirs and leader where the site's own records have them", async () => {
    const world = await servingWorld(3, 2);
    const site = world.site("A");
    const { stargate } = memberOf(site, 0);
    const shown = await world.wait(world.call(stargate, VdiskService.showVdisk, { name: "disk" }));
    const { owner, heirs } = present(casts(site)[0]);
    expect([owner.cvm, ...heirs.map(({ cvm }) => cvm)].toSorted()).toEqual(shown.peers.toSorted());
    expect(owner.cvm).toBe(shown.owner);
    expect(casts(world.site("B"))).toEqual([]);
    const leader = present(leaderAt(site));
    leader.cerebro.kill();
    await world.clock.tickUntil(() => leaderAt(site) !== leader, ORDER_MS_MAX);
    expect(leaderAt(site)).toBeDefined();
  });

  it.each(KINDS)(
    "are over by themselves, and the disk is served through every CVM (P9): %s",
    async (kind) => {
      const world = await servingWorld(3, 2);
      let isOver = false;
      const injected = inject(world, kind, createPrng(5));
      void injected.over?.then(() => {
        isOver = true;
      });
      await world.clock.tickUntil(() => isOver, ORDER_MS_MAX);
      injected.end();
      for (const { cvm } of world.site("A").cvms) await writeThrough(world, cvm);
    },
  );

  it.each(KINDS)(
    "leave nothing on when everything is healed in their midst (S1): %s",
    async (kind) => {
      const world = await servingWorld(3, 3);
      const prng = createPrng(9);
      const injected = inject(world, kind, prng);
      expect(injected.isSpared).toBeUndefined();
      await world.clock.tick(prng.unit() * 4000);
      injected.end();
      const { processes, cvms } = world.site("A");
      expect(processes.filter(({ isRunning, isPaused }) => !isRunning || isPaused)).toEqual([]);
      for (const { cvm } of cvms) await writeThrough(world, cvm);
      // What was under way takes no step any more.
      await world.clock.tick(ORDER_MS_MAX);
      expect(processes.filter(({ isReady, isPaused }) => !isReady || isPaused)).toEqual([]);
    },
  );

  it("wait for the heir to have taken over before it is struck (P1)", async () => {
    const world = await servingWorld(3, 2);
    const site = world.site("A");
    const { owner, heirs } = present(casts(site)[0]);
    inject(world, "ownerThenHeirLost", createPrng(2));
    expect(owner.stargate.isRunning).toBe(false);
    await world.clock.tickUntil(() => !heirs[0].stargate.isRunning, ORDER_MS_MAX);
    expect(ownerOf(site, present(casts(site)[0]).vdisk)).toBe(heirs[0]);
  });

  it("strike nobody where no vDisk has two copies, and one at a time", async () => {
    const alone = await servingWorld(2, 1);
    for (const kind of KINDS) expect(inject(alone, kind, createPrng(1)).isSpared).toBe(true);
    const world = await servingWorld(3, 2);
    const first = inject(world, "ownerStaleWhileReplaced", createPrng(1));
    expect(inject(world, "ownerThenHeirLost", createPrng(1)).isSpared).toBe(true);
    first.end();
    expect(inject(world, "ownerThenHeirLost", createPrng(1)).isSpared).toBeUndefined();
  });
});
