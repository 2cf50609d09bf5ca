/** P7: rot that a chaos run makes never takes the last good copy, unless it is told to. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { Rotter } from "../../../services/cli/commands/chaosRot.ts";
import type { OpenLab } from "../../../services/lab/index.ts";
import type { Disk } from "../../../services/platform/disk.ts";
import { listChunkCopies } from "../../../services/stargate/index.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { chunksOf, codec, createExtentWorld, identity } from "../extents/extentWorld.ts";

const CHUNKS = 60;
const LAB = "/lab";

/** Two CVMs that hold the same chunks; the second one some more. */
async function createSite() {
  const disks: Disk[] = [];
  for (const cvm of [1, 2]) {
    const world = createExtentWorld();
    const store = await world.open({ identity: { ...identity, cvm } });
    await store.put(chunksOf(0, cvm === 1 ? CHUNKS : CHUNKS + 5));
    await store.close();
    disks.push(world.disk);
  }
  const site = { name: "A", cvms: 2, incarnation: identity.siteIncarnation };
  const open = { directory: LAB, lab: { sites: [site] } } as unknown as OpenLab;
  const running = new Set(["stargate@A/1", "stargate@A/2"]);
  const rotter = new Rotter({
    open,
    diskAt: (root) => {
      const cvm = /cvm-(\d)\/stargate$/.exec(root)?.[1];
      const disk = disks[Number(cvm) - 1];
      if (disk === undefined) throw new Error(`no disk at ${root}`);
      return disk;
    },
    codec: () => Promise.resolve(codec),
    running: () => Promise.resolve(running),
  });
  const soundAt = async (cvm: number): Promise<ReadonlySet<string>> => {
    const disk = disks[cvm - 1];
    if (disk === undefined) throw new Error("a disk");
    const copies = await listChunkCopies(disk, codec, { ...identity, cvm });
    return new Set(copies.map((copy) => copy.fingerprint));
  };
  return { rotter, running, soundAt };
}

const order = { file: "egroup", count: 1000, lastCopy: false } as const;

describe("rot", () => {
  it("of two CVMs at once leaves a good copy of every chunk", async () => {
    const { rotter, soundAt } = await createSite();
    const both = [1, 2].map((cvm) => rotter.rot(`stargate@A/${cvm}`, order, createPrng(cvm)));
    const ends = await Promise.allSettled(both);
    expect(ends[0]).toEqual({ status: "fulfilled", value: CHUNKS });
    // Nothing is left at the first that could stand in for the second.
    expect(ends[1]?.status).toBe("rejected");
    const [first, second] = [await soundAt(1), await soundAt(2)];
    expect([first.size, second.size]).toEqual([0, CHUNKS + 5]);
    expect(await rotter.repaired()).toEqual({ places: CHUNKS, repaired: 0 });
  });

  it("takes the last copy when it is told to", async () => {
    const { rotter, soundAt } = await createSite();
    const all = { ...order, lastCopy: true };
    expect(await rotter.rot("stargate@A/2", all, createPrng(3))).toBe(CHUNKS + 5);
    expect((await soundAt(2)).size).toBe(0);
  });

  it("spares an oplog while another Stargate of the site is away, and P10: services that are none", async () => {
    const { rotter, running } = await createSite();
    const log = { file: "oplog", count: 1, lastCopy: false } as const;
    running.delete("stargate@A/2");
    // It comes back: the runner asks again.
    expect(await codeOfFailure(rotter.rot("stargate@A/1", log, createPrng(1)))).toBe(
      "PROCESS_NOT_FOUND",
    );
    expect(await codeOfFailure(rotter.rot("cerebro@A/1", order, createPrng(1)))).toBe(
      "PROCESS_NOT_FOUND",
    );
  });
});
