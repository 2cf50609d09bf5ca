/** The plan of a soak: seeds that differ and can be had again, and an honest estimate. */

import { describe, expect, it } from "vitest";
import { planSoak, remainingMs } from "../../../services/chaos/index.ts";

describe("the plan of a soak", () => {
  it("is round by round, each scenario in its place", () => {
    const plan = planSoak(["b", "a"], { times: 2, seed: 1 });
    expect(plan.map(({ round, scenario }) => `${round} ${scenario}`)).toEqual([
      "1 b",
      "1 a",
      "2 b",
      "2 a",
    ]);
  });

  it("gives every run a seed of its own, the same ones for the same seed", () => {
    const names = Array.from({ length: 20 }, (_, i) => `scenario-${i}`);
    const plan = planSoak(names, { times: 50, seed: 7 });
    expect(new Set(plan.map((one) => one.seed)).size).toBe(1000);
    expect(planSoak(names, { times: 50, seed: 7 })).toEqual(plan);
    expect(planSoak(names, { times: 50, seed: 8 })).not.toEqual(plan);
  });

  it("gives a scenario the seeds that it had among others", () => {
    const among = planSoak(["a", "b", "c"], { times: 3, seed: 7 });
    expect(planSoak(["b"], { times: 3, seed: 7 })).toEqual(
      among.filter((one) => one.scenario === "b"),
    );
  });
});

describe("the time that is left", () => {
  it("is each scenario's mean, and the mean of all for one that has not run", () => {
    const done = [
      { scenario: "a", durationMs: 10 },
      { scenario: "a", durationMs: 30 },
      { scenario: "b", durationMs: 80 },
    ];
    expect(remainingMs(done, [{ scenario: "a" }, { scenario: "b" }, { scenario: "c" }])).toBe(140);
    expect(remainingMs(done, [])).toBe(0);
    expect(remainingMs([], [{ scenario: "a" }])).toBeUndefined();
  });
});
