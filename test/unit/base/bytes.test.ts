/** Byte helpers, against the plainest possible statement of each. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../../services/base/assert.ts";
import {
  compareBytes,
  concatBytes,
  equalBytes,
  fromHex,
  fromUtf8,
  isAllZero,
  readU64,
  toHex,
  utf8,
  viewOf,
  writeU64,
} from "../../../services/base/bytes.ts";

const bytes = fc.uint8Array({ maxLength: 40 });

describe("bytes", () => {
  it("goes to hexadecimal and back", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(toHex(value)).toBe(Buffer.from(value).toString("hex"));
        expect(fromHex(toHex(value).toUpperCase())).toEqual(value);
      }),
    );
  });

  it.each(["a", "0g", "0x00", " 00", "00 ", "é0"])("refuses %j as hexadecimal (P10)", (text) => {
    expect(fromHex(text)).toBeUndefined();
  });

  it("compares as unsigned bytes, a prefix before what it begins", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b));
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0);
      }),
    );
  });

  it("joins parts in order into memory of its own", () => {
    const part = new Uint8Array([1, 2]);
    const whole = concatBytes([part, new Uint8Array(0), new Uint8Array([3])]);
    part[0] = 9;
    expect(whole).toEqual(new Uint8Array([1, 2, 3]));
  });

  it("finds the one byte that is not zero, at every place and alignment", () => {
    const buffer = new Uint8Array(64);
    for (let start = 0; start < 9; start++)
      for (let end = start; end <= start + 21; end++) {
        const view = buffer.subarray(start, end);
        expect(isAllZero(view)).toBe(true);
        for (let at = start; at < end; at++) {
          buffer[at] = 128;
          expect(isAllZero(view)).toBe(false);
          buffer[at] = 0;
        }
        buffer[end] = 1;
        if (start > 0) buffer[start - 1] = 1;
        expect(isAllZero(view)).toBe(true);
        buffer.fill(0);
      }
  });

  it("stores safe integers little-endian in 64 bits", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const stored = new Uint8Array(8);
        writeU64(viewOf(stored), 0, value);
        expect(Buffer.from(stored).readBigUInt64LE()).toBe(BigInt(value));
        expect(readU64(viewOf(stored), 0)).toBe(value);
      }),
    );
  });

  it("refuses integers that are not safe, to write and to read", () => {
    const view = viewOf(new Uint8Array(8));
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN])
      expect(() => {
        writeU64(view, 0, value);
      }).toThrow(InvariantViolation);
    expect(() => readU64(viewOf(new Uint8Array(8).fill(255)), 0)).toThrow(InvariantViolation);
  });

  it("goes to UTF-8 and back, and refuses what is no UTF-8", () => {
    expect(fromUtf8(utf8("Grüße 🌍"))).toBe("Grüße 🌍");
    expect(() => fromUtf8(new Uint8Array([0xc3]))).toThrow(TypeError);
  });
});
