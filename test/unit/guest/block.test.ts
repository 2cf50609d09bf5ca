/** The self-verifying block, byte by byte, and the CRC it rests on. */

import { deflateRawSync, crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { viewOf } from "../../../services/base/bytes.ts";
import { crc32 } from "../../../services/base/crc32.ts";
import {
  BLOCK_BYTES,
  type BlockFields,
  fillBlock,
  isBodyIntact,
  readBlockHeader,
  sectorStamp,
} from "../../../services/guest/block.ts";

const FIELDS: BlockFields = {
  runId: 0x1234_5678_9abc,
  vdiskId: 3,
  writerId: 4,
  lba: 0x1_0000_0005,
  gseq: 0x2_0000_0007,
  wseq: 8,
  version: 9,
  previousVersion: 8,
  issuedNs: 1_000_000_007,
  dep: 6,
  ioId: 11,
  part: 1,
  parts: 2,
  bodySeed: 0xdead_beef,
  cgId: 13,
  repeatShare: 0,
};

function block(fields: Partial<BlockFields> = {}): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  fillBlock(bytes, { ...FIELDS, ...fields });
  return bytes;
}

describe("crc32", () => {
  it("is the CRC-32 of zlib, whole or in pieces", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (bytes, cut) => {
        const at = bytes.length === 0 ? 0 : cut % bytes.length;
        expect(crc32(bytes)).toBe(zlibCrc32(bytes));
        expect(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at)))).toBe(zlibCrc32(bytes));
      }),
    );
  });
});

describe("self-verifying block", () => {
  it("has every field where the table puts it", () => {
    const bytes = block();
    const view = viewOf(bytes);
    expect(new TextDecoder().decode(bytes.subarray(0, 4))).toBe("SVWB");
    const u32 = (at: number): number => view.getUint32(at, true);
    const u64 = (at: number): number => Number(view.getBigUint64(at, true));
    expect([u64(8), u32(16), u32(20), u64(24)]).toEqual([FIELDS.runId, 3, 4, FIELDS.lba]);
    expect([u64(32), u64(40), u32(48), u32(52)]).toEqual([FIELDS.gseq, 8, 9, 8]);
    expect([u64(56), u64(64), u32(72)]).toEqual([FIELDS.issuedNs, 6, 11]);
    expect([view.getUint16(76, true), view.getUint16(78, true), u32(80)]).toEqual([
      1, 2, 0xdeadbeef,
    ]);
    expect(u32(84)).toBe(zlibCrc32(bytes.subarray(0, 84)));
    expect(u32(88)).toBe(zlibCrc32(bytes.subarray(96)));
    expect(u32(92)).toBe(13);
    for (let k = 1; k < 8; k++) expect(u32(512 * k)).toBe((7 ^ k) >>> 0);
  });

  it("gives back its fields and is intact", () => {
    const bytes = block({ repeatShare: 100 });
    const header = readBlockHeader(bytes);
    expect(header).toEqual({ ...FIELDS, repeatShare: 100 });
    if (header !== undefined) expect(isBodyIntact(bytes, header)).toBe(true);
    expect(sectorStamp(bytes, 5)).toBe(7);
  });

  it("is not accepted with any one bit flipped, wherever it is (P7)", () => {
    const whole = block();
    for (let at = 0; at < BLOCK_BYTES; at++) {
      const bytes = whole.slice();
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      const header = readBlockHeader(bytes);
      const isTaken = header !== undefined && isBodyIntact(bytes, header);
      // cgId (92-95) is the one field that no checksum covers.
      expect(isTaken, `byte ${at}`).toBe(at >= 92 && at < 96);
    }
  });

  it("differs in its body with its seed, and compresses by about its share", () => {
    expect(block().subarray(96, 300)).not.toEqual(block({ bodySeed: 1 }).subarray(96, 300));
    const size = (repeatShare: number): number =>
      deflateRawSync(block({ repeatShare })).length / BLOCK_BYTES;
    expect(size(0)).toBeGreaterThan(0.95);
    expect(size(128)).toBeGreaterThan(0.45);
    expect(size(128)).toBeLessThan(0.65);
    expect(size(255)).toBeLessThan(0.15);
  });
});
