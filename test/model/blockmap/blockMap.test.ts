// The block map against a plain Map: look-up, update, difference and plan, on disks of every height
// that a test can afford and on sizes that are no multiple of a chunk.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { type Root, rootToHex } from "../../../services/stargate/blockmap/fingerprints.ts";
import { geometryOf, spanBytes } from "../../../services/stargate/blockmap/geometry.ts";
import type { Fingerprint } from "../../../services/stargate/chunks.ts";
import { applyChanges, collect, uncachedMap } from "../../support/mapModel.ts";
import { createMemoryChunkSpace } from "../../support/memoryChunkSpace.ts";

const codec = await createCodec();
const RUNS = { numRuns: 60 };

/** Fingerprints need no chunks behind them here: only nodes are read. 0 is zero. */
const fingerprintOf = (seed: number): Fingerprint | undefined =>
  seed === 0 ? undefined : codec.sha256(new Uint8Array([seed]));

const sizes = fc.oneof(
  fc.integer({ min: 1, max: 3 * 1024 * 1024 }),
  fc.integer({ min: 1, max: 200 * 1024 * 1024 }),
  fc.integer({ min: 1, max: 2 ** 46 }),
);

/** Batches of writes: [position in 0..1 of the disk, seed], near each other or far apart. */
const batches = fc.array(
  fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(6)), { maxLength: 40 }),
  { maxLength: 6 },
);

type Batch = readonly (readonly [number, number])[];

function changesOf(sizeBytes: number, batch: Batch): Map<number, Fingerprint | undefined> {
  const { chunkCount } = geometryOf(sizeBytes);
  return new Map(
    batch.map(([position, seed]) => [
      Math.min(chunkCount - 1, Math.floor(position * chunkCount)),
      fingerprintOf(seed),
    ]),
  );
}

function createDisk(sizeBytes: number) {
  const space = createMemoryChunkSpace(codec);
  const map = uncachedMap(space, codec);
  const model = new Map<number, Fingerprint>();
  let root: Root;
  return {
    space,
    map,
    model,
    root: (): Root => root,
    async write(changes: ReadonlyMap<number, Fingerprint | undefined>): Promise<void> {
      root = await applyChanges(map, space, { root, sizeBytes }, changes);
      for (const [index, value] of changes)
        if (value === undefined) model.delete(index);
        else model.set(index, value);
    },
  };
}

describe("block map against a plain map", () => {
  it("looks up exactly what was written, whatever the batches", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, batches, async (sizeBytes, written) => {
        const disk = createDisk(sizeBytes);
        for (const batch of written) await disk.write(changesOf(sizeBytes, batch));
        const { chunkCount } = geometryOf(sizeBytes);
        for (const center of [0, chunkCount - 1, ...disk.model.keys()]) {
          const first = Math.max(0, center - 70);
          const count = Math.min(chunkCount - first, 141);
          const found = await disk.map.lookup(disk.root(), sizeBytes, first, count);
          expect(found).toEqual(Array.from({ length: count }, (_, i) => disk.model.get(first + i)));
        }
      }),
      RUNS,
    );
  });

  it("has one root for one content, whatever the order of updates (P3)", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, batches, fc.nat(), async (sizeBytes, written, seed) => {
        const disk = createDisk(sizeBytes);
        for (const batch of written) await disk.write(changesOf(sizeBytes, batch));

        const other = createDisk(sizeBytes);
        const entries = [...disk.model].sort(([a], [b]) => ((a ^ seed) >>> 0) - ((b ^ seed) >>> 0));
        const width = 1 + (seed % 7);
        for (let at = 0; at < entries.length; at += width)
          await other.write(new Map(entries.slice(at, at + width)));
        expect(rootToHex(other.root())).toBe(rootToHex(disk.root()));
        if (disk.model.size === 0) expect(disk.root()).toBeUndefined();
      }),
      RUNS,
    );
  });

  it("finds exactly the differing chunks, in order, also against an empty side", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, batches, batches, async (sizeBytes, first, second) => {
        const disk = createDisk(sizeBytes);
        for (const batch of first) await disk.write(changesOf(sizeBytes, batch));
        const base = { root: disk.root(), model: new Map(disk.model) };
        for (const batch of second) await disk.write(changesOf(sizeBytes, batch));

        const differ = (a: ReadonlyMap<number, Fingerprint>, b: typeof a) =>
          [...new Set([...a.keys(), ...b.keys()])]
            .filter((i) => rootToHex(a.get(i)) !== rootToHex(b.get(i)))
            .sort((x, y) => x - y)
            .map((index) => ({ level: 0, index, fingerprint: a.get(index), base: b.get(index) }));
        const { map, model } = disk;
        expect(await collect(map.diff(disk.root(), base.root, sizeBytes))).toEqual(
          differ(model, base.model),
        );
        expect(await collect(map.diff(disk.root(), undefined, sizeBytes))).toEqual(
          differ(model, new Map()),
        );
        expect(await collect(map.diff(undefined, base.root, sizeBytes))).toEqual(
          differ(new Map(), base.model),
        );
      }),
      RUNS,
    );
  });

  it("plans subtrees that hold every difference and accounts for every byte", async () => {
    await fc.assert(
      fc.asyncProperty(
        sizes,
        batches,
        batches,
        fc.integer({ min: 1, max: 64 }),
        async (sizeBytes, first, second, subtreesMax) => {
          const disk = createDisk(sizeBytes);
          for (const batch of first) await disk.write(changesOf(sizeBytes, batch));
          const base = disk.root();
          for (const batch of second) await disk.write(changesOf(sizeBytes, batch));
          const plan = await disk.map.plan(disk.root(), base, sizeBytes, subtreesMax);

          const geometry = geometryOf(sizeBytes);
          const level = plan.subtrees[0]?.level ?? 1;
          expect(new Set(plan.subtrees.map((s) => s.level)).size).toBeLessThanOrEqual(1);
          expect(plan.subtrees.length).toBeLessThan(64 * subtreesMax);
          const planned = new Set(plan.subtrees.map((s) => s.index));
          for (const change of await collect(disk.map.diff(disk.root(), base, sizeBytes))) {
            if (change.fingerprint === undefined) continue;
            expect(planned).toContain(Math.floor(change.index / 64 ** level));
          }
          let plannedBytes = 0;
          for (const subtree of plan.subtrees) plannedBytes += spanBytes(geometry, subtree);
          expect(plan.logicalBytes).toBe(plannedBytes);
          expect(plan.logicalBytes + plan.zeroBytes + plan.unchangedBytes).toBe(sizeBytes);
        },
      ),
      RUNS,
    );
  });
});
