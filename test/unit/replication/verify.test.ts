// Proofs of a root, and differences as regions.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toHex } from "../../../services/base/bytes.ts";
import { KIB, MIB } from "../../../services/base/units.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Root } from "../../../services/stargate/blockmap/fingerprints.ts";
import { diffRegions, verifyRoot } from "../../../services/stargate/replication/verify.ts";
import { applyChanges, codeOf, storeContents, uncachedMap } from "../../support/mapModel.ts";
import { createMemoryChunkSpace } from "../../support/memoryChunkSpace.ts";

const codec = await createCodec();
const SIZE = 3 * MIB + 1000;
const CHUNK = 16 * KIB;

async function createDisk(contents: readonly (readonly [number, number])[]) {
  const space = createMemoryChunkSpace(codec);
  const map = uncachedMap(space, codec);
  const vdisk = { root: undefined, sizeBytes: SIZE };
  const root = await applyChanges(map, space, vdisk, storeContents(space, contents));
  const verify = (signal = new AbortController().signal) =>
    verifyRoot({ space, codec, root, sizeBytes: SIZE, signal, onProgress: () => undefined });
  return { space, map, root, verify };
}

const THREE = [
  [0, 1],
  [1, 1],
  [192, 2],
] as const;

describe("verify", () => {
  it("reads every place below a root", async () => {
    const disk = await createDisk(THREE);
    expect(await disk.verify()).toEqual({
      checkedChunks: 3,
      checkedBytes: 2 * CHUNK + 1000,
      missingChunks: 0,
      corruptChunks: 0,
    });
  });

  it("counts a lost chunk, a rotten one and bytes that are another chunk's (P7)", async () => {
    const disk = await createDisk([...THREE, [5, 3], [6, 4]]);
    const [, , , , , five, six] = await disk.map.lookup(disk.root, SIZE, 0, 7);
    const [last] = await disk.map.lookup(disk.root, SIZE, 192, 1);
    if (five === undefined || six === undefined || last === undefined) throw new Error("empty");
    disk.space.lose(five);
    disk.space.rot(six);
    const swapped = new Uint8Array(CHUNK).fill(3);
    disk.space.chunks.set(toHex(last), {
      fingerprint: last,
      codec: 0,
      rawLength: CHUNK,
      stored: swapped,
    });
    expect(await disk.verify()).toMatchObject({ missingChunks: 1, corruptChunks: 2 });
  });

  it("goes on beside a lost or foreign node", async () => {
    const disk = await createDisk(THREE);
    const plan = await disk.map.plan(disk.root, undefined, SIZE, 2);
    const [first] = plan.subtrees;
    expect(plan.subtrees.map((s) => s.level)).toEqual([1, 1]);
    if (first !== undefined) disk.space.lose(first.fingerprint);
    expect(await disk.verify()).toMatchObject({ checkedChunks: 1, missingChunks: 1 });
  });

  it("ends with its caller", async () => {
    const disk = await createDisk(THREE);
    const abort = new AbortController();
    abort.abort();
    expect(await codeOf(disk.verify(abort.signal))).toBe("CANCELLED");
  });

  it("has nothing to say against an empty root", async () => {
    const disk = await createDisk([]);
    expect(await disk.verify()).toMatchObject({ checkedChunks: 0, missingChunks: 0 });
  });
});

describe("regions", () => {
  it("are the runs of a brute-force comparison", async () => {
    const seeds = fc.array(fc.tuple(fc.nat(192), fc.nat(2)), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(seeds, seeds, async (before, after) => {
        const disk = await createDisk(before);
        const content = Array.from({ length: 193 }, () => 0);
        for (const [index, seed] of before) content[index] = seed;
        const now = [...content];
        for (const [index, seed] of after) now[index] = seed;
        const next: Root = await applyChanges(
          disk.map,
          disk.space,
          { root: disk.root, sizeBytes: SIZE },
          storeContents(disk.space, after),
        );
        const expected: { offsetBytes: number; lengthBytes: number; zero: boolean }[] = [];
        for (let i = 0; i < 193; i++) {
          if (now[i] === content[i]) continue;
          const zero = now[i] === 0;
          const lengthBytes = i === 192 ? 1000 : CHUNK;
          const last = expected.at(-1);
          if (last?.zero === zero && last.offsetBytes + last.lengthBytes === i * CHUNK)
            last.lengthBytes += lengthBytes;
          else expected.push({ offsetBytes: i * CHUNK, lengthBytes, zero });
        }
        const found: unknown[] = [];
        const roots = { root: next, baseRoot: disk.root, sizeBytes: SIZE };
        for await (const batch of diffRegions({ blockMap: disk.map, ...roots }))
          found.push(...batch);
        expect(found).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });
});
