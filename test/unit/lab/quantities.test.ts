/** Durations and rates as people write them. */

import { describe, expect, it } from "vitest";
import { formatRate, parseDuration, parseRate } from "../../../services/lab/index.ts";

describe("parseDuration", () => {
  it.each([
    ["5ms", 5],
    ["1.5s", 1500],
    ["250us", 0.25],
    ["2m", 120_000],
    [" 10 MS ", 10],
    ["0", 0],
  ])("reads %j", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(["5", "-5ms", "ms", "5 parsecs", "", "1e3ms", "constructor"])(
    "P10: refuses %j",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe("parseRate", () => {
  it.each([
    ["1gbit", 1e9],
    ["100Mbit", 1e8],
    ["1.5g", 1.5e9],
    ["64kbit", 64_000],
    ["unlimited", 0],
    ["0", 0],
  ])("reads %j", (text, rate) => {
    expect(parseRate(text)).toBe(rate);
  });

  it.each(["100", "1MB", "fast", "-1gbit", "1 toString"])("P10: refuses %j", (text) => {
    expect(parseRate(text)).toBeUndefined();
  });
});

describe("formatRate", () => {
  it.each([
    [1e9, "1 Gbit/s"],
    [1.5e6, "1.5 Mbit/s"],
    [0, "unlimited"],
    [800, "800 bit/s"],
  ])("writes %d", (rate, text) => {
    expect(formatRate(rate)).toBe(text);
  });
});
