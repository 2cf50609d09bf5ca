// What block-map calls cost, in what order an update must be stored, and what damage does.
import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { GIB, KIB, MIB, TIB } from "../../../services/base/units.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { createBlockMap } from "../../../services/stargate/blockmap/blockMap.ts";
import {
  type Root,
  rootFromHex,
  rootToHex,
} from "../../../services/stargate/blockmap/fingerprints.ts";
import { geometryOf, spanBytes } from "../../../services/stargate/blockmap/geometry.ts";
import { childrenOf, decodeNode, encodeNode } from "../../../services/stargate/blockmap/node.ts";
import type { Fingerprint } from "../../../services/stargate/chunks.ts";
import { applyChanges, codeOf, collect, uncachedMap } from "../../support/mapModel.ts";
import { createMemoryChunkSpace } from "../../support/memoryChunkSpace.ts";

const codec = await createCodec();

/** A distinct fingerprint for every number; nothing but nodes is read here. */
function fingerprint(n: number): Fingerprint {
  const bytes = new Uint8Array(32).fill(7);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

async function filled(sizeBytes: number, chunkCount: number) {
  const space = createMemoryChunkSpace(codec);
  const map = uncachedMap(space, codec);
  const changes = new Map<number, Fingerprint | undefined>();
  for (let i = 0; i < chunkCount; i++) changes.set(i, fingerprint(i));
  const root = await applyChanges(map, space, { root: undefined, sizeBytes }, changes);
  space.counts.nodesRead = 0;
  space.counts.stored = 0;
  return { space, map, root };
}

describe("block map shape", () => {
  it.each([
    [1, 1, 1],
    [16 * KIB, 1, 1],
    [MIB, 64, 1],
    [MIB + 1, 65, 2],
    [64 * MIB, 4096, 2],
    [10 * GIB, 655_360, 4],
    [64 * TIB, 2 ** 32, 6],
  ])("of %d bytes is %d chunks and height %d", (sizeBytes, chunkCount, height) => {
    expect(geometryOf(sizeBytes)).toEqual({ sizeBytes, chunkCount, height });
  });

  it("clips the last chunk to the size", () => {
    const geometry = geometryOf(MIB + 100);
    expect(spanBytes(geometry, { level: 0, index: 64 })).toBe(100);
    expect(spanBytes(geometry, { level: 1, index: 1 })).toBe(100);
    expect(spanBytes(geometry, { level: 1, index: 2 })).toBe(0);
    expect(spanBytes(geometry, { level: 2, index: 0 })).toBe(MIB + 100);
  });
});

describe("block map costs", () => {
  it("reads and writes one path for one changed chunk, on a disk of a TiB too", async () => {
    const { space, map, root } = await filled(TIB, 20_000);
    const height = geometryOf(TIB).height;
    const changed = new Map([[9_999, fingerprint(1)]]);
    const result = await map.update(root, TIB, changed);
    expect(space.counts.nodesRead).toBe(height);
    expect(result.levels.map((level) => level.length)).toEqual(Array(height).fill(1));
  });

  it("gives no new node when a change changes nothing", async () => {
    const { map, root } = await filled(GIB, 5000);
    const result = await map.update(root, GIB, new Map([[17, fingerprint(17)]]));
    expect(rootToHex(result.root)).toBe(rootToHex(root));
    expect(result.levels.flat()).toEqual([]);
  });

  it("becomes the empty map again when everything is zero", async () => {
    const { map, root } = await filled(GIB, 300);
    const zeros = new Map(Array.from({ length: 300 }, (_, i) => [i, undefined] as const));
    const result = await map.update(root, GIB, zeros);
    expect(result.root).toBeUndefined();
    expect(result.levels.flat()).toEqual([]);
  });

  it("compares two maps at the cost of their difference", async () => {
    const { space, map, root } = await filled(TIB, 50_000);
    const vdisk = { root, sizeBytes: TIB };
    const changes = new Map([
      [3, fingerprint(99)],
      [40_000, undefined],
    ]);
    const next = await applyChanges(map, space, vdisk, changes);
    space.counts.nodesRead = 0;
    const found = await collect(map.diff(next, root, TIB));
    expect(found.map((change) => change.index)).toEqual([3, 40_000]);
    expect(space.counts.nodesRead).toBeLessThanOrEqual(2 * 2 * geometryOf(TIB).height);
    space.counts.nodesRead = 0;
    expect(await collect(map.diff(next, next, TIB))).toEqual([]);
    expect(space.counts.nodesRead).toBe(0);
  });

  it("finds every chunk of a difference of many slices, in order", async () => {
    const { map, root } = await filled(GIB, 20_000);
    const found = await collect(map.diff(root, undefined, GIB));
    expect(found.map((change) => change.index)).toEqual(
      Array.from({ length: 20_000 }, (_, i) => i),
    );
  });

  it("carries 100 000 changes in one update", async () => {
    const { space, map, root } = await filled(16 * GIB, 1000);
    const changes = new Map<number, Fingerprint | undefined>();
    for (let i = 0; i < 100_000; i++) changes.set((i * 7919) % 1_000_000, fingerprint(i));
    const next = await applyChanges(map, space, { root, sizeBytes: 16 * GIB }, changes);
    for (const index of [0, 7919, 999_999 - 81]) {
      const [found] = await map.lookup(next, 16 * GIB, index, 1);
      const expected = changes.has(index)
        ? changes.get(index)
        : index < 1000
          ? fingerprint(index)
          : undefined;
      expect(found).toEqual(expected);
    }
  });

  it("plans without going further down than it must", async () => {
    const { space, map, root } = await filled(64 * GIB, 60_000);
    const plan = await map.plan(root, undefined, 64 * GIB, 16);
    expect(plan.subtrees.map((s) => s.level)).toEqual(Array(15).fill(2));
    // The two nodes above them, and the 15 themselves: to see that going down would give too many.
    expect(space.counts.nodesRead).toBeLessThanOrEqual(2 + 15);
  });

  it("plans nothing for equal roots, for zero, and for a subtree that became zero", async () => {
    const { map, root } = await filled(GIB, 5000);
    const none = { subtrees: [], logicalBytes: 0 };
    expect(await map.plan(root, root, GIB, 8)).toEqual({
      ...none,
      zeroBytes: 0,
      unchangedBytes: GIB,
    });
    expect(await map.plan(undefined, root, GIB, 8)).toEqual({
      ...none,
      zeroBytes: GIB,
      unchangedBytes: 0,
    });
  });

  it("serves nodes that it made or read from its cache, and keeps no more than its bound", async () => {
    const space = createMemoryChunkSpace(codec);
    const map = createBlockMap({ source: space, codec, cacheNodesMax: 8 });
    const changes = new Map([0, 64, 128, 192].map((i) => [i, fingerprint(i)]));
    const root = await applyChanges(map, space, { root: undefined, sizeBytes: GIB }, changes);
    await map.lookup(root, GIB, 0, 200);
    expect(space.counts.nodesRead).toBe(0);

    const more = new Map(Array.from({ length: 12 }, (_, i) => [i * 64, fingerprint(i + 500)]));
    const next = await applyChanges(map, space, { root, sizeBytes: GIB }, more);
    await map.lookup(next, GIB, 0, 768);
    expect(space.counts.nodesRead).toBeGreaterThan(0);
  });
});

describe("block map order of storing", () => {
  it("gives every new node's children in earlier levels, so that a crash leaves no hole", async () => {
    const { space, map, root } = await filled(GIB, 9000);
    const changes = new Map(Array.from({ length: 200 }, (_, i) => [i * 41, fingerprint(i + 7)]));
    const { levels } = await map.update(root, GIB, changes);
    const known = new Set(space.chunks.keys());
    const nameOf = (f: Fingerprint): string => rootToHex(f);
    levels.forEach((level, below) => {
      for (const chunk of level) {
        const node = decodeNode(chunk.stored);
        expect(node.level).toBe(below + 1);
        if (node.level === 1) continue;
        for (const child of childrenOf(node))
          if (child !== undefined) expect(known).toContain(nameOf(child));
      }
      for (const chunk of level) known.add(nameOf(chunk.fingerprint));
    });
  });
});

describe("block map damage", () => {
  const rootOf = (space: ReturnType<typeof createMemoryChunkSpace>, bytes: Uint8Array): Root =>
    space.put(bytes);

  it("names a missing node, and bytes that are no node (P10)", async () => {
    const { space, map, root } = await filled(GIB, 100);
    if (root !== undefined) space.lose(root);
    expect(await codeOf(map.lookup(root, GIB, 0, 1))).toBe("CHUNK_NOT_FOUND");
    const garbage = rootOf(space, new Uint8Array(100).fill(3));
    expect(await codeOf(map.lookup(garbage, GIB, 0, 1))).toBe("CHUNK_CORRUPT");
  });

  it("refuses a node of another level and children beyond the end", async () => {
    const space = createMemoryChunkSpace(codec);
    const map = uncachedMap(space, codec);
    const children = Array.from({ length: 64 }, (_, i) => fingerprint(i));
    const extent = rootOf(space, encodeNode(1, children) ?? new Uint8Array());
    expect(await codeOf(map.lookup(extent, 2 * MIB, 0, 1))).toBe("CHUNK_CORRUPT");
    expect(await codeOf(collect(map.diff(extent, undefined, MIB - 16 * KIB)))).toBe(
      "CHUNK_CORRUPT",
    );
  });

  it("reads roots as messages carry them and refuses other text", () => {
    expect(rootFromHex("")).toBeUndefined();
    const text = rootToHex(fingerprint(5));
    expect(rootToHex(rootFromHex(text))).toBe(text);
    for (const bad of ["00", "x".repeat(64), `${text}00`])
      expect(() => rootFromHex(bad)).toThrow(AntipodeError);
  });
});
