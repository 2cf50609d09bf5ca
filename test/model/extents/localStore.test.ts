/**
 * The extent store against a Map: random puts, gets, rot, full disks, kills, power losses and
 * restarts. After every step the store may know less than the model only where a copy rotted or a put
 * was not acknowledged, and what it returns is always the chunk.
 */

import fc from "fast-check";
import { expect, it } from "vitest";
import { toHex } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import type { LocalStore } from "../../../services/stargate/extents/localStore.ts";
import {
  chunkOf,
  chunksOf,
  createExtentWorld,
  fingerprintsOf,
  missingIn,
} from "../../unit/extents/extentWorld.ts";

const CHUNK_COUNT = 40;
const MODES = ["lost", "kept", "random", "tornTail"] as const;

type Step =
  | { readonly kind: "put"; readonly lanes: readonly (readonly number[])[] }
  | { readonly kind: "check" }
  | { readonly kind: "rot"; readonly seed: number }
  | { readonly kind: "full" }
  | { readonly kind: "indexFails"; readonly count: number }
  | { readonly kind: "kill" }
  | { readonly kind: "power"; readonly mode: (typeof MODES)[number]; readonly seed: number }
  | { readonly kind: "restart" }
  | { readonly kind: "loseIndex" };

const seed = fc.integer({ min: 0, max: 1_000_000 });
const lane = fc.array(fc.integer({ min: 0, max: CHUNK_COUNT - 1 }), {
  minLength: 1,
  maxLength: 12,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(lane, { minLength: 1, maxLength: 3 })
      .map((lanes) => ({ kind: "put" as const, lanes })),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "check" as const }) },
  { weight: 1, arbitrary: seed.map((value) => ({ kind: "rot" as const, seed: value })) },
  { weight: 1, arbitrary: fc.constant({ kind: "full" as const }) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 1, max: 3 })
      .map((count) => ({ kind: "indexFails" as const, count })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "kill" as const }) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...MODES), seed)
      .map(([mode, value]) => ({ kind: "power" as const, mode, seed: value })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "loseIndex" as const }) },
);

async function runSteps(steps: readonly Step[]): Promise<void> {
  const world = createExtentWorld();
  const small = { egroupBytesMax: 70 * 1024 };
  /** Numbers of chunks that are acknowledged; rot can take any of them, `rotCount` at most. */
  const model = new Set<number>();
  let rotCount = 0;
  /** A full disk may keep the store from opening; it is opened again, as genesis starts the process again. */
  const open = async (): Promise<LocalStore> => {
    try {
      return await world.open(small);
    } catch (error) {
      if (!(error instanceof AntipodeError) || error.code !== "DISK_FULL") throw error;
      return open();
    }
  };
  let store: LocalStore = await open();

  const check = async (): Promise<void> => {
    const numbers = [...model];
    const known = numbers.map((number) => chunkOf(number));
    const missing = await missingIn(store, known);
    expect(missing.length).toBeLessThanOrEqual(rotCount);
    const has = store.has(fingerprintsOf(known));
    for (const slot of missing) expect(has[slot]).toBe(false);
    for (const slot of missing) model.delete(numbers[slot] ?? -1);
    const all = chunksOf(0, CHUNK_COUNT);
    const copies = await store.get(fingerprintsOf(all));
    for (const [i, copy] of copies.entries())
      if (copy.kind === "found")
        expect(toHex(copy.chunk.stored)).toBe(toHex(all[i]?.stored ?? new Uint8Array(0)));
  };
  for (const now of steps)
    switch (now.kind) {
      case "put":
        await Promise.all(
          now.lanes.map(async (numbers) => {
            try {
              await store.put(numbers.map((number) => chunkOf(number)));
              for (const number of numbers) model.add(number);
            } catch (error) {
              if (!(error instanceof AntipodeError) || error.code !== "DISK_FULL") throw error;
            }
          }),
        );
        break;
      case "check":
        await check();
        break;
      case "rot": {
        const prng = createPrng(now.seed);
        const paths = world.disk.paths().filter((path) => path.endsWith(".egroup"));
        const path = paths[prng.below(Math.max(1, paths.length))];
        const size = path === undefined ? 0 : (world.disk.content(path)?.length ?? 0);
        if (path === undefined || size <= 64) break;
        world.disk.corrupt(path, 64 + prng.below(size - 64), 1 + prng.below(255));
        rotCount += 1;
        break;
      }
      case "full":
        world.disk.fail({ operation: "write", errno: "ENOSPC" });
        break;
      case "indexFails":
        world.indexes.failWrites("DISK_FULL", now.count);
        break;
      case "kill":
        world.disk.killProcess();
        world.indexes.killProcess();
        store = await open();
        break;
      case "power":
        world.disk.crash({ mode: now.mode, prng: createPrng(now.seed) });
        world.indexes.crash(createPrng(now.seed));
        store = await open();
        break;
      case "restart":
        await store.close();
        store = await open();
        break;
      case "loseIndex":
        await store.close();
        await world.indexes.destroy("extents/index");
        store = await open();
        break;
    }
  await check();
}

it("is a Map that forgets only what rotted (X1 to X5, P1, P7)", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), runSteps), {
    numRuns: 150,
  });
});
