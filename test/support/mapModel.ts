/**
 * A vDisk for tests of the block map: its chunks in a memory space, written the way a drain does.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type { Codec } from "../../services/platform/codec.ts";
import { type BlockMap, createBlockMap } from "../../services/stargate/blockmap/blockMap.ts";
import type { Change } from "../../services/stargate/blockmap/changes.ts";
import type { Root } from "../../services/stargate/blockmap/fingerprints.ts";
import type { Fingerprint } from "../../services/stargate/chunks.ts";
import type { MemoryChunkSpace } from "./memoryChunkSpace.ts";

/** A chunk's content for tests: a seed, 0 for all zero. Half of each chunk compresses. */
export function contentOf(seed: number): Uint8Array {
  const raw = new Uint8Array(16 * 1024);
  if (seed === 0) return raw;
  let x = seed;
  for (let i = 0; i < raw.length / 2; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    raw[i] = x >>> 24;
  }
  raw[raw.length - 1] = 1;
  return raw;
}

/** A block map without a cache, so that every node it needs is read and counted. */
export function uncachedMap(space: MemoryChunkSpace, codec: Codec): BlockMap {
  return createBlockMap({ source: space, codec, cacheNodesMax: 0 });
}

/** Updates and stores level by level as a drain does, and checks that children come first. */
export async function applyChanges(
  map: BlockMap,
  space: MemoryChunkSpace,
  vdisk: { readonly root: Root; readonly sizeBytes: number },
  changes: ReadonlyMap<number, Fingerprint | undefined>,
): Promise<Root> {
  const result = await map.update(vdisk.root, vdisk.sizeBytes, changes);
  for (const level of result.levels) if (level.length > 0) await space.store(level, 2);
  return result.root;
}

/** Stores contents by seed and gives their fingerprints, as changes. */
export function storeContents(
  space: MemoryChunkSpace,
  seeds: Iterable<readonly [number, number]>,
): Map<number, Fingerprint | undefined> {
  const changes = new Map<number, Fingerprint | undefined>();
  for (const [index, seed] of seeds) changes.set(index, space.put(contentOf(seed)));
  return changes;
}

/** Every change of a difference, in the order in which it came. */
export async function collect(changes: AsyncIterable<readonly Change[]>): Promise<Change[]> {
  const all: Change[] = [];
  for await (const batch of changes) all.push(...batch);
  return all;
}

/** The code of the AntipodeError that a promise ends with; "" when it does not fail so. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "";
  } catch (error) {
    if (error instanceof AntipodeError) return error.code;
    throw error;
  }
}
