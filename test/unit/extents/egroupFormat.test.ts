/** Records as bytes: what FORMAT.md says, and that a record is sound at one place only (F8 of the fault model). */

import { describe, expect, it } from "vitest";
import { toHex, viewOf } from "../../../services/base/bytes.ts";
import {
  checkEgroupHeader,
  egroupSeed,
  encodeEgroupHeader,
  isStoredSound,
  RECORD_HEADER_BYTES,
  readRecordHeader,
  recordSpan,
  writeRecordHeader,
} from "../../../services/stargate/extents/egroupFormat.ts";
import { chunkOf, codec, identity } from "./extentWorld.ts";

const stamp = { generation: 5, groupOffset: 64 };

function recordAt(egroup: number, offset: number, number: number): Uint8Array {
  const chunk = chunkOf(number);
  const bytes = new Uint8Array(recordSpan(chunk.stored.length));
  const place = { seed: egroupSeed(codec, identity, egroup), offset };
  writeRecordHeader(codec, place, chunk, stamp, { bytes, view: viewOf(bytes) }, 0);
  bytes.set(chunk.stored, RECORD_HEADER_BYTES);
  return bytes;
}

describe("egroup record", () => {
  const chunk = chunkOf(3);
  const bytes = recordAt(4, 640, 3);
  const seed = egroupSeed(codec, identity, 4);
  const record = { bytes, view: viewOf(bytes) };

  it("reads back what was written", () => {
    const header = readRecordHeader(codec, { seed, offset: 640 }, record, 0);
    expect(header).toMatchObject({ ...stamp, codec: 1, rawLength: chunk.rawLength });
    expect(toHex(header?.fingerprint ?? bytes)).toBe(toHex(chunk.fingerprint));
    expect(bytes.length % 8).toBe(0);
  });

  it("is sound in no other offset, egroup, CVM or site", () => {
    const elsewhere = [
      { seed, offset: 648 },
      { seed: egroupSeed(codec, identity, 5), offset: 640 },
      { seed: egroupSeed(codec, { ...identity, cvm: 2 }, 4), offset: 640 },
      {
        seed: egroupSeed(codec, { ...identity, siteIncarnation: "00".repeat(16) }, 4),
        offset: 640,
      },
    ];
    for (const place of elsewhere)
      expect(readRecordHeader(codec, place, record, 0)).toBeUndefined();
  });

  it("does not take the stored bytes of another place or chunk for its own", () => {
    const header = readRecordHeader(codec, { seed, offset: 640 }, record, 0);
    if (header === undefined) throw new Error("the record is sound");
    expect(isStoredSound(codec, { seed, offset: 640 }, header, chunk.stored)).toBe(true);
    expect(isStoredSound(codec, { seed, offset: 648 }, header, chunk.stored)).toBe(false);
    const other = chunk.stored.slice();
    other[0] = (other[0] ?? 0) ^ 1;
    expect(isStoredSound(codec, { seed, offset: 640 }, header, other)).toBe(false);
    expect(isStoredSound(codec, { seed, offset: 640 }, header, other.subarray(1))).toBe(false);
  });

  it("never changes: these bytes are on disks", () => {
    expect(toHex(bytes.subarray(0, RECORD_HEADER_BYTES))).toMatchInlineSnapshot(
      `"45585243010100001405000077000000050000000000000040000000000000006f9d6a3be96f68a34801771e82f9645564812b01e1e08d4132e942f76b282569477711e82c7bbf436210dd8f1d2c69db"`,
    );
    expect(toHex(encodeEgroupHeader(codec, identity, 4))).toMatchInlineSnapshot(
      `"41504547524f555001000000010000000123456789abcdef0123456789abcdef040000000000000000000000000000000000000000000000f385abcc7823f3ba"`,
    );
  });
});

describe("egroup header", () => {
  it("notices every flipped bit", () => {
    const header = encodeEgroupHeader(codec, identity, 4);
    expect(checkEgroupHeader(codec, identity, 4, header).kind).toBe("ours");
    for (let bit = 0; bit < header.length * 8; bit++) {
      const flipped = header.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit % 8));
      expect(checkEgroupHeader(codec, identity, 4, flipped).kind, `bit ${bit}`).toBe("damaged");
    }
    expect(checkEgroupHeader(codec, identity, 5, header).kind).toBe("foreign");
  });
});
