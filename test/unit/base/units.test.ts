/** Sizes, quantities and durations as people write and read them. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CHUNK_SIZE_BYTES,
  EXTENT_SIZE_BYTES,
  formatBytes,
  formatDuration,
  GIB,
  MIB,
  NODE_FANOUT,
  parseSize,
  TIB,
} from "../../../services/base/units.ts";

describe("units", () => {
  it("has 64 chunks of 16 KiB in an extent of 1 MiB", () => {
    expect([CHUNK_SIZE_BYTES, NODE_FANOUT, EXTENT_SIZE_BYTES]).toEqual([16_384, 64, 1_048_576]);
  });

  it.each([
    ["4096", 4096],
    ["0", 0],
    ["512MiB", 512 * MIB],
    ["512m", 512 * MIB],
    [" 10 GiB ", 10 * GIB],
    ["1.5g", 1.5 * GIB],
    ["64TiB", 64 * TIB],
    ["7b", 7],
  ])("reads %j as %d bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    "",
    "MiB",
    "-1",
    "1e3",
    "10 GB",
    "1.2.3",
    "ten",
    "0.3",
    "9007199254740993",
    "99999999999TiB",
    "1 Gi B",
  ])("refuses %j as a size (P10)", (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it("never gives anything but a safe whole number of bytes", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^\d{1,20}(\.\d{1,3})? ?[kmgtKMGT]?(ib|iB)?$/)),
        (text) => {
          const bytes = parseSize(text);
          if (bytes !== undefined) expect(Number.isSafeInteger(bytes) && bytes >= 0).toBe(true);
        },
      ),
    );
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [16 * MIB, "16.0 MiB"],
    [2 * TIB, "2.0 TiB"],
  ])("shows %d bytes as %j", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0.4, "0 ms"],
    [12, "12 ms"],
    [999.7, "1000 ms"],
    [3400, "3.4 s"],
    [125_000, "2 m 05 s"],
    [119_999, "2 m 00 s"],
  ])("shows %d ms as %j", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
