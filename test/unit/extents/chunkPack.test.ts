/** Packs: what goes in comes out, and nothing else is ever taken for a pack. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { viewOf } from "../../../services/base/bytes.ts";
import { codeOf } from "../../../services/base/errors.ts";
import type { StoredChunk } from "../../../services/stargate/chunks.ts";
import { decodePack, encodePack } from "../../../services/stargate/extents/chunkPack.ts";
import { chunksOf, codec } from "./extentWorld.ts";

const outcomeOf = (pack: Uint8Array, countMax = 64): unknown => {
  try {
    return decodePack(codec, pack, countMax);
  } catch (error) {
    return codeOf(error) ?? error;
  }
};

/** A pack whose content is what the test says and whose checksum holds. */
function sealed(pack: Uint8Array, change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const bytes = pack.slice();
  change(viewOf(bytes), bytes);
  viewOf(bytes).setBigUint64(0, codec.xxh64(bytes.subarray(8)), true);
  return bytes;
}

describe("pack", () => {
  const chunks = chunksOf(1, 20);
  const pack = encodePack(codec, chunks);

  it("gives back what was packed, in order, also from the middle of a frame", () => {
    expect(decodePack(codec, pack, 20)).toEqual(chunks);
    const frame = new Uint8Array(pack.length + 10);
    frame.set(pack, 3);
    expect(decodePack(codec, frame.subarray(3, 3 + pack.length), 20)).toEqual(chunks);
    expect(decodePack(codec, encodePack(codec, []), 0)).toEqual([]);
  });

  it("refuses any change of its bytes (P7)", () => {
    fc.assert(
      fc.property(fc.nat(pack.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        expect(outcomeOf(pack.with(at, (pack[at] ?? 0) ^ flip))).toBe("CHUNK_CORRUPT");
      }),
      { numRuns: 300 },
    );
  });

  it("refuses a pack that was made wrong, with a good checksum (P10)", () => {
    const lie = (at: number, value: number): unknown =>
      outcomeOf(
        sealed(pack, (view) => {
          view.setUint32(at, value, true);
        }),
      );
    expect(outcomeOf(pack, 19)).toBe("MESSAGE_INVALID");
    for (const count of [0, 19, 21, 0xffff_ffff]) expect(lie(8, count)).toBe("MESSAGE_INVALID");
    for (const codecId of [2, 0xffff_ffff]) expect(lie(12 + 32, codecId)).toBe("MESSAGE_INVALID");
    for (const length of [0, 0xffff_ffff])
      for (const field of [36, 40]) expect(lie(12 + field, length)).toBe("MESSAGE_INVALID");
  });

  it("takes no garbage and never throws anything untyped (P10)", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
        expect(["CHUNK_CORRUPT", "MESSAGE_INVALID"]).toContain(outcomeOf(bytes));
        if (bytes.length < 8) return;
        const outcome = outcomeOf(sealed(bytes, () => undefined));
        const isTaken = Array.isArray(outcome);
        if (isTaken) expect(encodePack(codec, outcome as StoredChunk[])).toEqual(bytes);
        else expect(outcome).toBe("MESSAGE_INVALID");
      }),
      { numRuns: 500 },
    );
  });
});
