/** Rests and moments: damage stays until the product mends it (P7, P9), and power fails when it was to (P1). */

import { describe, expect, it } from "vitest";
import { equalBytes } from "../../services/base/bytes.ts";
import { codeOf } from "../../services/base/errors.ts";
import { createPrng } from "../../services/base/prng.ts";
import type { ActWorld } from "./act.ts";
import { drawConfig } from "./config.ts";
import { momentInjectors } from "./faults/moments.ts";
import { Recorder } from "./record.ts";
import { Rest } from "./rest.ts";
import type { World } from "./world/world.ts";
import { BLOCK_BYTES, BLOCKS, SEED, writeBlocks, writtenWorld } from "./world/writtenWorld.ts";

const WHOLE_BYTES = BLOCKS * BLOCK_BYTES;
const DRAIN_MS = 3000;
const READY_MS = 10_000;

interface Rested {
  readonly world: World;
  readonly rest: Rest;
  readonly recorder: Recorder;
}

async function rested(): Promise<Rested> {
  const world = await writtenWorld(2, 2);
  const recorder = new Recorder(() => world.clock.now());
  const config = { ...drawConfig(1), rest: { rotShare: 0.5, powerLoss: true } };
  const parts: ActWorld = { world, recorder, config, vdisks: [] };
  const rest = new Rest(parts, { sites: [world.site("A")], act: 1 });
  await rest.pass();
  return { world, rest, recorder };
}

async function readWhole(world: World, cvm: number): Promise<Uint8Array> {
  const client = await world.wait(world.openDisk("A", cvm, "disk"));
  return world.wait(client.read(0, WHOLE_BYTES));
}

describe("after a rest", () => {
  it("a reader gets what was written, and the copies that it found bad are written anew (P7, P9)", async () => {
    const { world, rest, recorder } = await rested();
    expect(recorder.counters()["copy rotted at rest"]).toBeGreaterThan(2);
    const written = createPrng(SEED).fill(new Uint8Array(WHOLE_BYTES));
    expect(equalBytes(written, await readWhole(world, 1))).toBe(true);
    const { duties } = await world.wait(rest.mended());
    expect(duties.map(({ state }) => state)).toEqual(["done"]);
    expect(recorder.counters()["bad copy found after a rest"]).toBeGreaterThan(0);
    world.end();
  });

  it("a copy that was found bad and stays so is told (P9)", async () => {
    const { world, rest } = await rested();
    const event = { event: "extents.chunk-corrupt", fingerprint: "00" };
    world.log.child({ process: "stargate-A-2" }).warn(event, "found bad");
    const { duties } = await world.wait(rest.mended());
    expect(duties.map(({ settled }) => settled)).toEqual([undefined]);
    expect(duties[0]?.state).toBe("1 of 1 bad: 00 at stargate-A-2");
    world.end();
  });
});

describe("power that fails at a moment", () => {
  it("fails when the next root is committed and not before, and is back when the fault ends (P1)", async () => {
    const world = await writtenWorld(2, 2);
    const site = world.site("A");
    const [cvm] = site.cvms;
    if (cvm === undefined) throw new Error("a site of two CVMs");
    const place = { world, site, cvm, process: cvm.stargate, other: world.site("B") };
    const fault = momentInjectors.powerLossAtRoot({ ...place, prng: createPrng(1) });
    const isWhole = (): boolean => site.processes.every(({ isReady }) => isReady);
    await world.clock.tick(DRAIN_MS);
    expect(isWhole()).toBe(true);
    const writing = writeBlocks(world, 8).catch(codeOf);
    await world.clock.tickUntil(() => !isWhole(), DRAIN_MS);
    expect(await writing).toBe("PEER_UNREACHABLE");
    fault.end();
    await world.clock.tickUntil(isWhole, READY_MS);
    expect((await readWhole(world, 2)).length).toBe(WHOLE_BYTES);
    world.end();
  });
});
