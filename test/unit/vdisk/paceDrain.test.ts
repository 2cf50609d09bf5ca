/** When to drain: soon for a cut, late for a busy front-end, always before the log is full (P8, P9). */

import { describe, expect, it } from "vitest";
import { type DrainPressure, paceDrain } from "../../../services/stargate/vdisk/drainLoop.ts";
import {
  DRAIN_IDLE_MS,
  DRAIN_START_BYTES,
  UNDRAINED_BYTES_MAX,
} from "../../../services/stargate/vdisk/limits.ts";

const QUIET: DrainPressure = {
  undrainedBytes: 1,
  markerWaits: false,
  idleMs: 0,
  requestsPerSecond: 0,
};
const BUSY = 10_000;

describe("the pace of drains", () => {
  it.each<[string, Partial<DrainPressure>, "now" | "wait"]>([
    ["a little that just came waits", {}, "wait"],
    ["a little goes when nothing else happens", { idleMs: DRAIN_IDLE_MS }, "now"],
    [
      "a little waits for a busy front-end",
      { idleMs: DRAIN_IDLE_MS, requestsPerSecond: BUSY },
      "wait",
    ],
    ["much goes at once", { undrainedBytes: DRAIN_START_BYTES }, "now"],
    [
      "much waits for a busy front-end",
      { undrainedBytes: DRAIN_START_BYTES, requestsPerSecond: BUSY },
      "wait",
    ],
    [
      "a log that is nearly full waits for nobody",
      { undrainedBytes: (UNDRAINED_BYTES_MAX * 7) / 8, requestsPerSecond: BUSY },
      "now",
    ],
    ["a marker waits for nobody", { markerWaits: true, requestsPerSecond: BUSY }, "now"],
  ])("%s", (_name, change, expected) => {
    expect(paceDrain({ ...QUIET, ...change })).toBe(expected);
  });
});
