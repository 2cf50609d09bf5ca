/** Two sites of production services in virtual time: the way of a disaster from the first write to the other site. */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import type { SitePlan } from "./site.ts";
import { CONTAINER, createWorld, memberOf, type World } from "./world.ts";

const PATIENCE_MS = 120_000;
const HOUR_MS = 3_600_000;
const BLOCK = new Uint8Array(4096).fill(0xa5);

function sitePlan(name: string): SitePlan {
  return {
    name,
    cvms: 3,
    diskBytes: 256 * MIB,
    oplog: {},
    skew: () => ({ offsetMs: 0, rate: 1, wallOffsetMs: () => 0 }),
  };
}

async function rehearse(world: World): Promise<Uint8Array> {
  await world.begin();
  const [a, b] = [world.site("A"), world.site("B")];
  const at = memberOf(a, 0);
  const disk = { name: "disk", container: CONTAINER, sizeBytes: 4 * MIB, root: "", source: "" };
  await world.wait(world.call(at.stargate, VdiskService.createVdisk, disk));
  await world.wait(world.call(at.cerebro, CerebroService.createPd, { name: "pd", requestId: "1" }));
  const members = { pd: "pd", group: "", vdisks: ["disk"] };
  await world.wait(world.call(at.cerebro, CerebroService.protect, members));
  const client = await world.wait(world.openDisk("A", 2, "disk"));
  await world.wait(client.write(8192, BLOCK));
  const snapshot = { pd: "pd", name: "", requestId: "2" };
  await world.wait(world.call(at.cerebro, CerebroService.snapshot, snapshot, PATIENCE_MS));
  const replicate = { pd: "pd", recoveryPoint: "", remote: "B", requestId: "3" };
  const { job } = await world.wait(world.call(at.cerebro, CerebroService.replicate, replicate));
  let state = "";
  const isOver = async (): Promise<void> => {
    while (state !== "DONE") {
      const shown = await world.call(at.cerebro, CerebroService.showJob, { id: job?.id ?? "" });
      state = shown.job?.state ?? "";
      await world.clock.sleep(100);
    }
  };
  await world.wait(isOver());
  world.killSite("A");
  const activate = { pd: "pd", recoveryPoint: "", force: true, requestId: "4" };
  await world.wait(
    world.call(memberOf(b, 1).cerebro, CerebroService.activate, activate, PATIENCE_MS),
  );
  const survivor = await world.wait(world.openDisk("B", 3, "disk"));
  return world.wait(survivor.read(8192, BLOCK.length));
}

async function run(seed: number): Promise<{ bytes: Uint8Array; hash: string; failures: unknown }> {
  const sites = [sitePlan("A"), sitePlan("B")];
  const world = await createWorld({ seed, sites, linkDelayMs: 20, replicationFactor: 2 });
  try {
    const bytes = await rehearse(world);
    return { bytes, hash: world.trace.hash(), failures: world.failures };
  } finally {
    world.end();
  }
}

describe("a world of two sites", () => {
  it("brings what was written at A to B, where it is read after A is lost, twice in the same way (P3)", async () => {
    const first = await run(1);
    expect(first.bytes).toEqual(BLOCK);
    expect(first.failures).toEqual([]);
    expect((await run(1)).hash).toBe(first.hash);
  });

  it("is given up when it has more events than one that comes to its end (P9)", async () => {
    const sites = [sitePlan("A"), sitePlan("B")];
    const plan = { seed: 1, sites, linkDelayMs: 20, replicationFactor: 2, eventsMax: 5000 };
    const world = await createWorld(plan);
    await world.begin();
    await expect(world.clock.tick(HOUR_MS)).rejects.toThrow("does not come to its end");
    expect(world.trace.count).toBe(5000);
    expect(world.clock.now()).toBeLessThan(HOUR_MS);
    world.end();
  });
});
