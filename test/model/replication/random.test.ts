// Replication of random contents, rich in duplicates and zeros, in full and then incrementally, with a
// cut at a random message: the replica is whole, and what was sent is exactly what was missing.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toHex } from "../../../services/base/bytes.ts";
import { CHUNK_SIZE_BYTES } from "../../../services/base/units.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Root } from "../../../services/stargate/blockmap/fingerprints.ts";
import { expectNoHoles, expectReplica, expectSums } from "../../support/replicaChecks.ts";
import { createReplicationWorld, type ReplicationWorld } from "../../support/replicationWorld.ts";

const codec = await createCodec();
const CHUNKS = 5 * 1024;

/** Runs of [first chunk, length, seed]: one content or, above 6, distinct ones. */
const runs = fc.array(
  fc.tuple(
    fc.nat(CHUNKS - 1),
    fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 50, max: 90 })),
    fc.nat(9),
  ),
  { maxLength: 8 },
);

function* contentsOf(
  list: readonly (readonly [number, number, number])[],
): Generator<readonly [number, number]> {
  for (const [first, length, seed] of list)
    for (let i = 0; i < length && first + i < CHUNKS; i++)
      yield [first + i, seed > 6 ? seed * 100 + (i % 20) : seed];
}

/** Data chunks of a root that the target does not have. */
async function missingChunks(world: ReplicationWorld, root: Root): Promise<number> {
  const missing = new Set<string>();
  for await (const changes of world.map.diff(root, undefined, world.sizeBytes))
    for (const { fingerprint } of changes)
      if (fingerprint !== undefined && !world.target.chunks.has(toHex(fingerprint)))
        missing.add(toHex(fingerprint));
  return missing.size;
}

describe("replication of random contents", () => {
  it("completes, sends what was missing once, and accounts for every byte (P3, P5, P9)", async () => {
    await fc.assert(
      fc.asyncProperty(
        runs,
        runs,
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 30 }),
        async (first, second, cutAt, subtreesMax, clippedBytes) => {
          const sizeBytes = CHUNKS * CHUNK_SIZE_BYTES - clippedBytes;
          const world = createReplicationWorld(codec, sizeBytes);
          world.crossing.at = () => {
            world.tear();
          };
          let base: Root;
          for (const list of [first, second]) {
            const root = await world.write(base, contentsOf(list));
            const missing = await missingChunks(world, root);
            world.crossing.count = 0;
            world.crossing.after = cutAt;
            const order = await world.order(root, base, subtreesMax);
            const ledger = await world.ship(order);
            expectSums(ledger);
            expectNoHoles(world.target);
            await expectReplica(world, codec, root);
            expect(ledger.chunksSent).toBe(missing);
            base = root;
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});
