/** Intervals of a workload: all are there, and a long run takes no more of them than a short one. */

import { describe, expect, it } from "vitest";
import { IntervalRecorder } from "../../../services/guest/intervals.ts";

describe("interval recorder", () => {
  it("gives intervals in which nothing happened too; a short rest joins the last one", () => {
    const recorder = new IntervalRecorder(1000, 500);
    recorder.acknowledged(1100, 4, 8192);
    recorder.unknown(2600);
    const samples = recorder.samples(2700);
    expect(samples.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([
      [1000, 1500],
      [1500, 2000],
      [2000, 2700],
    ]);
    expect(samples[0]).toMatchObject({ acknowledged: 1, bytes: 8192, maxMs: 4, p99Ms: 4 });
    expect(samples[1]).toMatchObject({ acknowledged: 0, p50Ms: 0 });
    expect(samples[2]).toMatchObject({ acknowledged: 0, unknown: 1 });
  });

  it("keeps a rest of half an interval, and a run shorter than one", () => {
    const recorder = new IntervalRecorder(0, 500);
    recorder.acknowledged(20, 1, 1);
    expect(recorder.samples(40)).toMatchObject([{ fromMs: 0, toMs: 40, acknowledged: 1 }]);
    expect(recorder.samples(750).map((one) => one.toMs)).toEqual([500, 750]);
  });

  it("widens its intervals rather than have too many, and loses no answer", () => {
    const recorder = new IntervalRecorder(0, 500);
    for (let atMs = 0; atMs < 3_600_000; atMs += 250)
      recorder.acknowledged(atMs, atMs === 7000 ? 900 : 1, 1);
    const samples = recorder.samples(3_600_000);
    expect(samples.length).toBeLessThanOrEqual(480);
    expect(samples.reduce((sum, one) => sum + one.acknowledged, 0)).toBe(14_400);
    expect(samples[0]).toMatchObject({ fromMs: 0, toMs: 8000, acknowledged: 32, maxMs: 900 });
  });
});
