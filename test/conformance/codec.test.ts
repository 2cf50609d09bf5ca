/** The contract of platform/codec.ts: known answers, round trips, damage. */

import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { fromHex, toHex, utf8 } from "../../services/base/bytes.ts";
import { codeOf } from "../../services/base/errors.ts";
import { createPrng } from "../../services/base/prng.ts";
import { createCodec, createHasher } from "../../services/platform/adapters/codec.ts";
import { createSigner } from "../../services/platform/adapters/signer.ts";
import type { Codec } from "../../services/platform/codec.ts";

const RAW_BYTES = 16 * 1024;
let codec: Codec;
beforeAll(async () => {
  codec = await createCodec();
});

const codeOfThrown = (act: () => unknown): string | undefined => {
  try {
    act();
  } catch (error) {
    return codeOf(error) ?? "not an AntipodeError";
  }
  return undefined;
};

/** Half text, half noise: shrinks, but not to nothing. */
const mixed = (seed: number): Uint8Array => {
  const bytes = createPrng(seed).fill(new Uint8Array(RAW_BYTES));
  bytes.fill(65, 0, RAW_BYTES / 2);
  return bytes;
};

describe("codec", () => {
  it("computes XXH64 as its specification's test values have it", () => {
    expect(codec.xxh64(new Uint8Array(0))).toBe(0xef46db3751d8e999n);
    expect(codec.xxh64(utf8("abc"))).toBe(0x44bc2cf5ad770999n);
    expect(codec.xxh64(utf8("abc"), 1n)).not.toBe(codec.xxh64(utf8("abc")));
    expect(codec.xxh64(mixed(1).subarray(3, 5000))).toBe(codec.xxh64(mixed(1).slice(3, 5000)));
  });

  it("computes SHA-256 as FIPS 180 has it, whole and in pieces", () => {
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(toHex(codec.sha256(utf8("abc")))).toBe(abc);
    const hasher = createHasher();
    for (const piece of ["a", "", "bc"]) hasher.update(utf8(piece));
    expect(toHex(hasher.digest())).toBe(abc);
    expect(codec.sha256(utf8("abc")).constructor).toBe(Uint8Array);
  });

  it("compresses to a bare LZ4 block: one decoded by hand from the format's description", () => {
    // Token 0x1f: 1 literal, then a match of 4 + 15 + 65 at offset 1; token 0x50: 5 last literals.
    const block = fromHex("1f610100415061616161" + "61") ?? new Uint8Array(0);
    expect(codec.decompress(block, 90)).toEqual(new Uint8Array(90).fill(0x61));
    const compressed = codec.compress(new Uint8Array(90).fill(0x61));
    expect(compressed && codec.decompress(compressed, 90)).toEqual(new Uint8Array(90).fill(0x61));
    expect(compressed?.length).toBeLessThan(20);
  });

  it("gives back any bytes it compressed, or says that they do not shrink", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.integer({ min: 1, max: 8 }),
        (part, repeat) => {
          const raw = new Uint8Array(part.length * repeat);
          for (let i = 0; i < repeat; i++) raw.set(part, i * part.length);
          const stored = codec.compress(raw);
          if (stored === undefined) return;
          expect(stored.length).toBeLessThan(raw.length);
          expect(codec.decompress(stored, raw.length)).toEqual(raw);
        },
      ),
      { numRuns: 300 },
    );
    expect(codec.compress(createPrng(5).fill(new Uint8Array(RAW_BYTES)))).toBeUndefined();
    expect(codec.compress(new Uint8Array(0))).toBeUndefined();
  });

  it("compresses a view without touching its neighbours", () => {
    const whole = mixed(9);
    const before = whole.slice();
    const stored = codec.compress(whole.subarray(100, 9000));
    expect(stored && codec.decompress(stored, 8900)).toEqual(before.subarray(100, 9000));
    expect(whole).toEqual(before);
  });

  it("answers damaged or wrongly measured blocks with CHUNK_CORRUPT or other bytes, never more bytes (P7)", () => {
    const raw = mixed(2);
    const stored = codec.compress(raw) ?? new Uint8Array(0);
    expect(codeOfThrown(() => codec.decompress(stored, RAW_BYTES - 1))).toBe("CHUNK_CORRUPT");
    expect(codeOfThrown(() => codec.decompress(stored, RAW_BYTES + 1))).toBe("CHUNK_CORRUPT");
    expect(
      codeOfThrown(() => codec.decompress(stored.subarray(0, stored.length / 2), RAW_BYTES)),
    ).toBe("CHUNK_CORRUPT");
    expect(codeOfThrown(() => codec.decompress(new Uint8Array(0), RAW_BYTES))).toBe(
      "CHUNK_CORRUPT",
    );
    const prng = createPrng(77);
    for (let round = 0; round < 2000; round++) {
      const damaged = stored.slice();
      damaged[prng.below(damaged.length)] = prng.below(256);
      const code = codeOfThrown(() => {
        expect(codec.decompress(damaged, RAW_BYTES)).toHaveLength(RAW_BYTES);
      });
      expect([undefined, "CHUNK_CORRUPT"]).toContain(code);
    }
  });

  it("signs so that only the same message, key and signature verify", () => {
    const signer = createSigner();
    const [mine, other] = [signer.generate(), signer.generate()];
    const signature = signer.sign(mine.privateKey, utf8("root"));
    expect(signer.verify(mine.publicKey, utf8("root"), signature)).toBe(true);
    expect(signer.verify(mine.publicKey, utf8("r00t"), signature)).toBe(false);
    expect(signer.verify(other.publicKey, utf8("root"), signature)).toBe(false);
    expect(signer.verify(mine.publicKey, utf8("root"), signature.slice(1))).toBe(false);
    // Bytes of another site that are no key, or a key of another kind, sign nothing (P10).
    for (const key of [new Uint8Array(0), Uint8Array.of(1, 2, 3), mine.privateKey])
      expect(signer.verify(key, utf8("root"), signature)).toBe(false);
  });
});
