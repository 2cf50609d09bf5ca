/** The guest's configuration, and its histogram. */

import { describe, expect, it } from "vitest";
import { loadGuestConfig } from "../../../services/guest/config.ts";
import { LatencyHistogram } from "../../../services/guest/histogram.ts";

const GOOD = {
  vdisks: [
    { name: "d1", uris: ["nbd://127.1.0.1:10809/d1", "nbd://127.1.0.2/d1"], spanBytes: 65536 },
  ],
  seed: 1,
  queueDepth: 32,
  ratePerSecond: 500,
  durationMs: 1000,
  ioTimeoutMs: 2000,
  mix: { repeatShare: 0.3, sizesBlocks: [1, 16] },
  history: "/tmp/x/history.svwj",
};

const load = (value: unknown): ReturnType<typeof loadGuestConfig> =>
  loadGuestConfig(JSON.parse(JSON.stringify(value)), 99);

describe("guest configuration", () => {
  it("reads every key", () => {
    expect(load(GOOD)).toMatchObject({
      runId: 99,
      historyFolder: "/tmp/x",
      historyPath: "history.svwj",
      client: { ioTimeoutMs: 2000 },
      vdisks: [
        { targets: [{ exportName: "d1" }, { address: { host: "127.1.0.2", port: 10809 } }] },
      ],
    });
  });

  it.each([
    ["an unknown key", { ...GOOD, speed: 3 }, /speed/],
    [
      "an unknown key of a vDisk",
      { ...GOOD, vdisks: [{ ...GOOD.vdisks[0], size: 1 }] },
      /vdisks\[0\] has an unknown key "size"/,
    ],
    ["no vDisk", { ...GOOD, vdisks: [] }, /vdisks/],
    ["a wrong URI", { ...GOOD, vdisks: [{ name: "d", uris: ["x"] }] }, /NBD URI/],
    ["a depth of zero", { ...GOOD, queueDepth: 0 }, /queueDepth/],
    ["a share over one", { ...GOOD, mix: { pairShare: 2 } }, /mix\.pairShare/],
    ["a relative history", { ...GOOD, history: "h" }, /history/],
    ["a list", [], /configuration/],
  ])("refuses %s by name (P10)", (_what, value, pattern) => {
    expect(() => load(value)).toThrow(pattern);
  });
});

describe("latency histogram", () => {
  it("gives quantiles within 7 % and the exact maximum and mean", () => {
    const histogram = new LatencyHistogram();
    for (let ms = 1; ms <= 1000; ms++) histogram.record(ms);
    const { count, meanMs, maxMs, p50Ms, p99Ms } = histogram.summary();
    expect([count, meanMs, maxMs]).toEqual([1000, 500.5, 1000]);
    expect(Math.abs(p50Ms / 500 - 1)).toBeLessThan(0.07);
    expect(Math.abs(p99Ms / 990 - 1)).toBeLessThan(0.07);
  });

  it("is all zeros when it is empty", () => {
    expect(new Set(Object.values(new LatencyHistogram().summary()))).toEqual(new Set([0]));
  });
});
