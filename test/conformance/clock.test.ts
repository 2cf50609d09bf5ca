/** The contract of platform/clock.ts, for the machine's clock and for virtual time. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../services/base/prng.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import type { Clock } from "../../services/platform/clock.ts";
import { createFakeClock, type FakeClock } from "../support/fakeClock.ts";
import { createProcessClock } from "../support/fakeProcessClock.ts";
import { codeOfFailure } from "../support/outcome.ts";

interface World {
  readonly clock: Clock;
  /** Drives the time until the promise is settled. */
  readonly until: <T>(promise: Promise<T>) => Promise<T>;
}

function fakeWorld(view: (clock: FakeClock) => Clock = (clock) => clock): World {
  const clock = createFakeClock();
  return {
    clock: view(clock),
    async until(promise) {
      let done = false;
      const settled = promise.finally(() => {
        done = true;
      });
      await Promise.all([clock.tickUntil(() => done, 10_000), settled.catch(() => undefined)]);
      return settled;
    },
  };
}

function driftingWorld(): World {
  return fakeWorld((world) => {
    const clock = createProcessClock({ world, prng: createPrng(1) });
    clock.drift(0.03);
    return clock;
  });
}

describe.each<[string, () => World]>([
  ["fake", fakeWorld],
  ["of a simulated process that drifts", driftingWorld],
  ["real", () => ({ clock: createClock(), until: (promise) => promise })],
])("clock: %s", (_name, makeWorld) => {
  it("never fires a timer before its delay has passed", async () => {
    const { clock, until } = makeWorld();
    const delays = Array.from({ length: 40 }, (_, i) => 1 + i * 0.7);
    const early = await until(
      Promise.all(
        delays.map(
          (delayMs) =>
            new Promise<number>((resolve) => {
              const startMs = clock.now();
              clock.after(delayMs, () => {
                resolve(clock.now() - startMs - delayMs);
              });
              // Keeps the real process alive: `after` alone does not.
              void clock.sleep(delayMs + 5);
            }),
        ),
      ),
    );
    expect(Math.min(...early)).toBeGreaterThanOrEqual(0);
  });

  it("fires timers in the order of their time", async () => {
    const { clock, until } = makeWorld();
    const order: number[] = [];
    for (const delayMs of [30, 10, 20]) clock.after(delayMs, () => order.push(delayMs));
    await until(clock.sleep(60));
    expect(order).toEqual([10, 20, 30]);
  });

  it("does not fire a cancelled timer, and cancels harmlessly after it fired", async () => {
    const { clock, until } = makeWorld();
    let fired = 0;
    const cancelled = clock.after(5, () => {
      fired += 1;
    });
    const kept = clock.after(5, () => {
      fired += 1;
    });
    cancelled.cancel();
    await until(clock.sleep(20));
    kept.cancel();
    expect(fired).toBe(1);
  });

  it("sleeps at least the delay and moves the monotonic time on", async () => {
    const { clock, until } = makeWorld();
    const startMs = clock.now();
    await until(clock.sleep(15));
    expect(clock.now() - startMs).toBeGreaterThanOrEqual(15);
  });

  it("wakes a sleeper whose signal aborts with CANCELLED, at once when it was aborted before", async () => {
    const { clock, until } = makeWorld();
    const abort = new AbortController();
    const sleeping = codeOfFailure(clock.sleep(5000, abort.signal));
    abort.abort();
    expect(await until(sleeping)).toBe("CANCELLED");
    expect(await until(codeOfFailure(clock.sleep(5000, abort.signal)))).toBe("CANCELLED");
    expect(clock.now()).toBeLessThan(5000 + 60_000);
  });

  it("lets others run in a yield", async () => {
    const { clock } = makeWorld();
    const order: string[] = [];
    void Promise.resolve().then(() => order.push("other"));
    await clock.yield();
    order.push("self");
    expect(order).toEqual(["other", "self"]);
  });

  it("labels with a wall clock that stands in this century", () => {
    const { clock } = makeWorld();
    expect(new Date(clock.wall()).getUTCFullYear()).toBeGreaterThan(2024);
  });
});

describe("fake clock", () => {
  it("runs what a timer sets off before the next timer fires", async () => {
    const clock = createFakeClock();
    const order: string[] = [];
    void clock.sleep(1).then(async () => {
      await Promise.resolve();
      order.push("after 1");
      await clock.sleep(0.5);
      order.push("after 1.5");
    });
    void clock.sleep(2).then(() => order.push("after 2"));
    await clock.tick(3);
    expect([order, clock.now(), clock.timerCount()]).toEqual([
      ["after 1", "after 1.5", "after 2"],
      3,
      0,
    ]);
  });
});
