/** L1 to L4 of life.ts: what a dead or paused process does, and how a bug ends it. */

import { describe, expect, it } from "vitest";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createTrace } from "../trace.ts";
import { Life } from "./life.ts";
import { mortalClock } from "./mortalPorts.ts";

const SKEW = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };

function process(eventsMax = Number.POSITIVE_INFINITY) {
  const real = createFakeClock();
  const trace = createTrace(() => real.now(), { eventsMax });
  const bugs: unknown[] = [];
  const life = new Life("p", trace, (error) => bugs.push(error));
  const seen: string[] = [];
  return { real, trace, life, bugs, seen, clock: mortalClock(real, life, SKEW) };
}

describe("the life of a simulated process", () => {
  it("lets nothing of a dead process go on, neither a timer nor what it waited for (L1)", async () => {
    const { real, life, clock, seen } = process();
    clock.after(5, () => seen.push("timer"));
    void clock.sleep(5).then(() => seen.push("sleep"));
    await real.tick(1);
    life.die();
    void clock.sleep(1).then(() => seen.push("later"));
    await real.tick(100);
    expect(seen).toEqual([]);
  });

  it("keeps what comes to a paused process until it goes on, in order (L2)", async () => {
    const { real, life, clock, seen } = process();
    clock.after(2, () => seen.push("second"));
    clock.after(1, () => seen.push("first"));
    void clock.sleep(3).then(() => seen.push("sleep"));
    life.pause();
    await real.tick(100);
    expect(seen).toEqual([]);
    life.resume();
    await real.settle();
    expect(seen).toEqual(["first", "second", "sleep"]);
  });

  it("dies at the await that it was told to die at, before anything of it happens", async () => {
    const { real, life, seen } = process();
    life.strikeAfter(2, () => {
      life.die();
    });
    const step = (name: string): Promise<void> =>
      life.pass("step", name, () => {
        seen.push(name);
        return Promise.resolve();
      });
    void step("one")
      .then(() => step("two"))
      .then(() => seen.push("on"));
    await real.settle();
    expect(seen).toEqual(["one"]);
  });

  it("tells of an exception that a callback throws (L3)", async () => {
    const { real, clock, bugs } = process();
    clock.after(1, () => {
      throw new Error("a bug");
    });
    await real.tick(2);
    expect(bugs).toEqual([new Error("a bug")]);
  });

  it("stands still when the trace is full, also amid a loop that lets no time pass (L4)", async () => {
    const { real, trace, life, clock, seen } = process(100);
    const loop = async (): Promise<void> => {
      for (;;) await clock.yield();
    };
    void loop();
    clock.after(1, () => seen.push("timer"));
    await real.tick(10);
    expect(trace.count).toBe(100);
    expect(seen).toEqual([]);
    expect(life.isDead).toBe(true);
  });
});
