/** The loop that drains: it gives way to front-ends that work, also after a batch, and comes back (P9). */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import type { MapState } from "../../../services/stargate/vdisk/drainer.ts";
import { startDrainLoop } from "../../../services/stargate/vdisk/drainLoop.ts";
import { DRAIN_START_BYTES } from "../../../services/stargate/vdisk/limits.ts";
import { openDrain, START } from "./drainWorld.ts";
import { sectorWrite } from "./world.ts";

const STEP_MS = 50;

async function openLoop() {
  const world = await openDrain(MIB);
  let state: MapState = START;
  let requests = 0;
  const loop = startDrainLoop({
    world: world.drain,
    clock: world.clock,
    logger: world.drain.logger,
    state: () => state,
    onDrained: (next) => {
      state = next;
    },
    pressure: () => ({ undrainedBytes: DRAIN_START_BYTES, markerWaits: false, requests }),
    onDeposed: () => undefined,
    isCopyLost: () => false,
    onFailure: (error) => {
      throw error;
    },
    onBug: (error) => {
      throw error;
    },
  });
  return {
    async append(sector: number) {
      await world.run(world.log.append(sectorWrite(sector)));
      loop.wake();
    },
    /** Time passes while front-ends send so many requests a second. */
    async pass(durationMs: number, perSecond: number) {
      for (let at = 0; at < durationMs; at += STEP_MS) {
        requests += (perSecond * STEP_MS) / 1000;
        await world.clock.tick(STEP_MS);
      }
    },
    drained: () => state.drainedLsn as number,
    drainAll: () => loop.drainAll(),
    stop: () => {
      loop.stop();
    },
  };
}

describe("the drain loop", () => {
  it("gives way to busy front-ends, and drains when they rest", async () => {
    const world = await openLoop();
    await world.append(0);
    await world.pass(500, 0);
    expect(world.drained()).toBe(1);
    await world.pass(500, 2000);
    await world.append(1);
    await world.pass(5000, 2000);
    expect(world.drained()).toBe(1);
    await world.pass(500, 0);
    expect(world.drained()).toBe(2);
    world.stop();
  });

  it("is not kept from work by a few requests", async () => {
    const world = await openLoop();
    await world.pass(500, 100);
    await world.append(0);
    await world.pass(500, 100);
    expect(world.drained()).toBe(1);
    world.stop();
  });

  it("drains at once when somebody waits for it, however busy it is", async () => {
    const world = await openLoop();
    await world.pass(500, 2000);
    await world.append(0);
    await world.pass(500, 2000);
    expect(world.drained()).toBe(0);
    const drained = world.drainAll();
    await world.pass(500, 2000);
    await drained;
    expect(world.drained()).toBe(1);
    world.stop();
  });
});
