/** When periodic work falls due (rhythm.ts). */

import { describe, expect, it } from "vitest";
import { monotonicMs } from "../../../services/base/ids.ts";
import { untilBeatMs } from "../../../services/platform/coordination/rhythm.ts";

const due = (nowMs: number, periodMs: number): number =>
  nowMs + untilBeatMs(monotonicMs(nowMs), periodMs);

describe("a beat", () => {
  it("is due together with every other of a multiple period, whenever each began", () => {
    expect([due(12.5, 500), due(499, 500), due(130, 250)]).toEqual([500, 1000, 250]);
    expect([due(700, 1000), due(730, 500), due(800, 250)]).toEqual([1000, 1000, 1000]);
  });

  it("comes once, also when its timer fired a little early or late", () => {
    expect([due(999.7, 1000), due(1000, 1000), due(1003, 1000)]).toEqual([2000, 2000, 2000]);
  });

  it("is never further away than the period and a hundredth", () => {
    for (let nowMs = 0; nowMs < 3000; nowMs += 0.7) {
      expect(untilBeatMs(monotonicMs(nowMs), 500)).toBeGreaterThan(0);
      expect(untilBeatMs(monotonicMs(nowMs), 500)).toBeLessThanOrEqual(505);
    }
  });
});
