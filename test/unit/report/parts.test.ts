/** What the page computes: lag and RPO from recovery points, scales, quantities, ranges of a map. */

import { describe, expect, it } from "vitest";
import { rangesOf } from "../../../services/report/page/blockMap.ts";
import { lagAt, lagSamples } from "../../../services/report/page/lagPanel.ts";
import { escaped } from "../../../services/report/page/markup.ts";
import {
  amount,
  day,
  grouped,
  shortMs,
  tickMs,
  timeOfDay,
} from "../../../services/report/page/quantities.ts";
import {
  amountScale,
  durationScale,
  logScale,
  timeScale,
} from "../../../services/report/page/scale.ts";
import type { Point } from "../../../services/report/result.ts";

const point = (cutMs: number, arrivedMs?: number): Point => ({
  pd: "gold",
  name: `rp-${cutMs}`,
  from: "A",
  to: "B",
  cutMs,
  ...(arrivedMs === undefined ? {} : { arrivedMs }),
});

describe("lag and RPO", () => {
  const points = [point(1000, 3000), point(5000, 9000), point(6000), point(7000, 8000)];

  it("RPO is the age of the newest cut that has arrived; before the first one there is none", () => {
    expect(lagAt(points, 2000).rpoMs).toBeUndefined();
    expect(lagAt(points, 3000).rpoMs).toBe(2000);
    expect(lagAt(points, 7999).rpoMs).toBe(6999);
    expect(lagAt(points, 8000).rpoMs).toBe(1000);
  });

  it("lag counts what is newer than that and not there yet, and ignores what a newer one replaced", () => {
    expect(lagAt(points, 900).lagMs).toBe(0);
    expect(lagAt(points, 2000).lagMs).toBe(1000);
    expect(lagAt(points, 4000).lagMs).toBe(0);
    expect(lagAt(points, 7500).lagMs).toBe(2500);
    // The cuts of 5000 and 6000 are older than the one of 7000, which is there.
    expect(lagAt(points, 8500).lagMs).toBe(0);
  });

  it("drops at an arrival: the corner before and the corner after are both given", () => {
    const at = lagSamples([point(1000, 3000), point(2000, 4000)], 1000, 5000);
    expect(at.map((one) => [one.atMs, one.rpoMs, one.lagMs])).toEqual([
      [1000, undefined, 0],
      [2000, undefined, 1000],
      [2000, undefined, 1000],
      [3000, undefined, 2000],
      [3000, 2000, 1000],
      [4000, 3000, 2000],
      [4000, 2000, 0],
      [5000, 3000, 0],
    ]);
  });
});

describe("scales", () => {
  const pixels = { from: 100, to: 0 };

  it("begin at 0 and end at a round number above all values", () => {
    expect(amountScale(437, pixels).ticks).toEqual([0, 200, 400, 600]);
    expect(amountScale(0, pixels).ticks[0]).toBe(0);
    expect(amountScale(437, pixels).at(600)).toBe(0);
    expect(durationScale(110_000, pixels).ticks).toEqual([0, 30_000, 60_000, 90_000, 120_000]);
    expect(durationScale(0, pixels).at(0)).toBe(100);
  });

  it("have powers of ten around all latencies", () => {
    expect(logScale(0.4, 288, pixels).ticks).toEqual([0.1, 1, 10, 100, 1000]);
    expect(logScale(0, 0, pixels).at(0)).toBe(100);
  });

  it("have as many ticks of time as fit, also below 0", () => {
    const { ticks } = timeScale({ from: -900, to: 34_000 }, { from: 0, to: 900 }, 10);
    expect(ticks).toEqual([0, 5000, 10_000, 15_000, 20_000, 25_000, 30_000]);
    expect(timeScale({ from: 0, to: 0 }, { from: 0, to: 900 }, 10).at(0)).toBe(0);
  });
});

describe("quantities", () => {
  it("are short, with a unit", () => {
    expect([0, 0.42, 3.14, 288, 1412, 59_999, 125_000].map(shortMs)).toEqual([
      "0",
      "0.42 ms",
      "3.1 ms",
      "288 ms",
      "1.4 s",
      "60 s",
      "2 min 05 s",
    ]);
    expect([0, 500, 5000, 90_000, 120_000, -500].map(tickMs)).toEqual([
      "0",
      "500 ms",
      "5 s",
      "90 s",
      "2:00",
      "−500 ms",
    ]);
    expect([7.25, 950, 12_300, 1_200_000].map(amount)).toEqual(["7.3", "950", "12.3 k", "1.2 M"]);
    expect(grouped(1_234_567)).toBe("1\u202f234\u202f567");
  });

  it("know the calendar as the machine does", () => {
    for (const text of ["1970-01-01", "2000-02-29", "2024-12-31", "2026-11-20", "2100-03-01"]) {
      const ms = Date.parse(`${text}T23:59:59.007Z`);
      expect([day(ms), timeOfDay(ms)]).toEqual([text, "23:59:59.007"]);
    }
  });
});

describe("markup", () => {
  it("escapes what has a meaning, and replaces what no document may hold", () => {
    expect(escaped(`<a b="c">&'`)).toBe("&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    expect(escaped("a\u0000b\u001bc\ud800d\uffff")).toBe("a\ufffdb\ufffdc\ufffdd\ufffd");
    expect(escaped("→ 😀 \n")).toBe("→ 😀 \n");
  });

  it("finds ranges of equal cells in a map", () => {
    expect(rangesOf("..oos")).toEqual([
      { letter: ".", from: 0, to: 2 },
      { letter: "o", from: 2, to: 4 },
      { letter: "s", from: 4, to: 5 },
    ]);
  });
});
