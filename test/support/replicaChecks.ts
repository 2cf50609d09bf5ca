/** A filled source for tests of replication, and what must hold at a target. */

import { expect } from "vitest";
import { toHex } from "../../services/base/bytes.ts";
import { CHUNK_SIZE_BYTES, MIB } from "../../services/base/units.ts";
import type { Codec } from "../../services/platform/codec.ts";
import type { ShipLedger } from "../../services/platform/wire/stargate.ts";
import type { Root } from "../../services/stargate/blockmap/fingerprints.ts";
import { childrenOf, decodeNode } from "../../services/stargate/blockmap/node.ts";
import { verifyRoot } from "../../services/stargate/replication/verify.ts";
import type { MemoryChunkSpace } from "./memoryChunkSpace.ts";
import { createReplicationWorld, type ReplicationWorld } from "./replicationWorld.ts";

export const FILLED_SIZE_BYTES = 40 * MIB;
/** Distinct chunks of a filled world; 49 more places repeat one of them. */
export const FILLED_CHUNKS = 351;

/** 400 chunks in several extents: 300 in a row, 50 that repeat one content, 50 far apart. */
export async function filledWorld(
  codec: Codec,
): Promise<{ readonly world: ReplicationWorld; readonly root: Root }> {
  const contents: [number, number][] = [];
  for (let i = 0; i < 300; i++) contents.push([i, 1000 + i]);
  for (let i = 0; i < 50; i++) contents.push([400 + i, 7]);
  for (let i = 0; i < 50; i++) contents.push([2000 + i * 3, 5000 + i]);
  const world = createReplicationWorld(codec, FILLED_SIZE_BYTES);
  return { world, root: await world.write(undefined, contents) };
}

/** Every walked byte is in exactly one place. */
export function expectSums(ledger: ShipLedger): void {
  const { zeroBytes, unchangedBytes, dedupedBytes, uniqueBytes } = ledger;
  expect(zeroBytes + unchangedBytes + dedupedBytes + uniqueBytes).toBe(ledger.logicalBytes);
}

/** A node that is present has all its children: the rule that everything rests on. */
export function expectNoHoles(space: MemoryChunkSpace): void {
  const missing: string[] = [];
  for (const chunk of space.chunks.values()) {
    if (chunk.rawLength === CHUNK_SIZE_BYTES) continue;
    for (const child of childrenOf(decodeNode(chunk.stored)))
      if (child !== undefined && !space.chunks.has(toHex(child))) missing.push(toHex(child));
  }
  expect(missing).toEqual([]);
}

/** The target holds the root and every byte below it. */
export async function expectReplica(
  world: ReplicationWorld,
  codec: Codec,
  root: Root,
): Promise<void> {
  const result = await verifyRoot({
    space: world.target,
    codec,
    root,
    sizeBytes: world.sizeBytes,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  expect(result).toMatchObject({ missingChunks: 0, corruptChunks: 0 });
  if (root !== undefined) expect(world.target.chunks.has(toHex(root))).toBe(true);
}
