/** A process's view of time: T1 to T3 of fakeProcessClock.ts, under drift, jumps, pauses and death. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import {
  createProcessClock,
  type ProcessClock,
  type ProcessClockOptions,
} from "../../support/fakeProcessClock.ts";

function rig(options: Partial<ProcessClockOptions> = {}): { world: FakeClock; own: ProcessClock } {
  const world = createFakeClock();
  return { world, own: createProcessClock({ world, prng: createPrng(1), ...options }) };
}

describe("offset and drift", () => {
  it("start where they are told to, and leave the world alone", async () => {
    const { world, own } = rig({ startMs: 5000, wallOffsetMs: -1000 });
    await world.tick(10);
    expect(own.now()).toBe(5010);
    expect(own.wall()).toBe(world.wall() - 1000);
  });

  it("let time and timers go faster or slower, and as the world's again once undone (T1)", async () => {
    const { world, own } = rig();
    const undo = own.drift(0.05);
    await world.tick(1000);
    expect(own.now()).toBeCloseTo(1050, 6);
    undo();
    own.drift(-0.05);
    await world.tick(1000);
    expect(own.now()).toBeCloseTo(2000, 6);
    own.undoAll();
    await world.tick(1000);
    expect(own.now()).toBeCloseTo(3000, 6);
  });

  it("change the timers that are already running (T2)", async () => {
    const { world, own } = rig();
    let firedAtMs: number | undefined;
    own.after(1000, () => {
      firedAtMs = world.now();
    });
    await world.tick(500);
    own.drift(-0.05);
    await world.tick(600);
    expect(firedAtMs).toBeCloseTo(500 + 500 / 0.95, 6);
  });

  it("are refused beyond 5 %, which no read lease would survive", () => {
    const { own } = rig();
    expect(() => own.drift(0.06)).toThrow("at most 5 %");
  });
});

describe("a jump of the wall clock", () => {
  it("changes labels only, and is set back when undone", async () => {
    const { world, own } = rig();
    let hasFired = false;
    own.after(100, () => {
      hasFired = true;
    });
    const undo = own.jumpWall(-3_600_000);
    expect(own.wall()).toBe(world.wall() - 3_600_000);
    expect(own.now()).toBe(world.now());
    await world.tick(100);
    expect(hasFired).toBe(true);
    undo();
    expect(own.wall()).toBe(world.wall());
  });
});

describe("a pause", () => {
  /** Ten timers fall due while the process is paused. @returns the order in which they fire after it */
  async function orderAfterPause(seed: number): Promise<readonly number[]> {
    const { world, own } = rig({ prng: createPrng(seed) });
    const fired: number[] = [];
    for (let i = 0; i < 10; i++) own.after(i, () => fired.push(i));
    const undo = own.pause();
    await world.tick(5000);
    expect(fired).toEqual([]);
    expect(own.now()).toBe(5000);
    undo();
    expect(fired).toHaveLength(10);
    return fired;
  }

  it("lets nothing fire while time passes; then everything due fires at once, in seeded order (T3)", async () => {
    const order = await orderAfterPause(3);
    expect([...order].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(order).not.toEqual([...order].sort((a, b) => a - b));
    expect(await orderAfterPause(3)).toEqual(order);
    expect(await orderAfterPause(4)).not.toEqual(order);
  });

  it("ends with the last of several, and fires what is not due yet in its own time", async () => {
    const { world, own } = rig();
    const fired: string[] = [];
    own.after(10, () => fired.push("due"));
    own.after(300, () => fired.push("later"));
    const [first, second] = [own.pause(), own.pause()];
    await world.tick(100);
    first();
    expect([fired, own.isPaused]).toEqual([[], true]);
    second();
    expect([fired, own.isPaused]).toEqual([["due"], false]);
    await world.tick(200);
    expect(fired).toEqual(["due", "later"]);
  });

  it("holds sleeps and yields too", async () => {
    const { world, own: clock } = rig();
    const done: string[] = [];
    const undo = clock.pause();
    void clock.sleep(5).then(() => done.push("sleep"));
    void clock.yield().then(() => done.push("yield"));
    await world.tick(50);
    expect(done).toEqual([]);
    undo();
    await world.settle();
    expect(done.sort()).toEqual(["sleep", "yield"]);
  });

  it("does not fire what one of the due timers cancelled, nor what is due after a pause in between", async () => {
    const { world, own } = rig();
    const fired: number[] = [];
    const timers = [1, 2].map((i) =>
      own.after(i, () => {
        fired.push(i);
        for (const timer of timers) timer.cancel();
      }),
    );
    const undo = own.pause();
    await world.tick(10);
    undo();
    expect(fired).toHaveLength(1);
  });
});

describe("death", () => {
  it("lets nothing fire any more, not even at the end of a pause, and leaves no timer in the world (T3)", async () => {
    const { world, own } = rig();
    let fired = 0;
    own.after(10, () => (fired += 1));
    own.after(500, () => (fired += 1));
    const undo = own.pause();
    await world.tick(100);
    own.die();
    undo();
    await world.tick(1000);
    expect([fired, world.timerCount()]).toEqual([0, 0]);
  });
});
