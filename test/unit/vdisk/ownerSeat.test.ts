/** An owner's hold on its record: one winner, and no step lost to answers that did not come (P4). */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { openDrain, openDrainSeat, START } from "./drainWorld.ts";
import { sectorWrite, watchOutcome } from "./world.ts";

describe("an owner's seat", () => {
  it("knows that it won although the answer was lost (P4)", async () => {
    const world = await openDrain(MIB);
    world.etcd.loseAnswers(1);
    const { seat } = world.drain;
    expect(await world.wait(seat.advance(1, [1, 2]))).toEqual({ kind: "won" });
    expect(seat.epoch).toBe(2);
    expect(await world.wait(seat.stillOwner())).toBe(true);
  });

  it("knows that another won (P4)", async () => {
    const world = await openDrain(MIB);
    const rival = await openDrainSeat(world);
    await world.wait(rival.advance(2, [1, 2]));
    const outcome = await world.wait(world.drain.seat.advance(1, [1]));
    expect(outcome).toMatchObject({ kind: "deposed", record: { owner: 2, epoch: 2 } });
    expect(await world.wait(world.drain.seat.stillOwner())).toBe(false);
  });

  it("is not undone by a step of its own that arrives late (P4)", async () => {
    const world = await openDrain(MIB);
    const { seat } = world.drain;
    world.slow.swallow(1);
    await world.wait(seat.advance(1, [1, 2]));
    await world.wait(seat.advance(1, [1, 3]));
    await world.run(world.slow.deliver());
    expect(await world.wait(seat.stillOwner())).toBe(true);
    expect(seat.record).toMatchObject({ epoch: 3, peers: [1, 3] });
  });

  it("is not given up while the answer of its own step is under way (P9)", async () => {
    const world = await openDrain(MIB);
    await world.run(world.log.append(sectorWrite(0)));
    world.etcd.loseAnswers(1);
    const step = watchOutcome(world.drain.seat.advance(1, [1, 2]));
    const state = await world.next(START);
    expect([step.now(), state?.drainedLsn]).toEqual(["done", 1]);
  });
});
