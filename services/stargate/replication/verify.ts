/**
 * Walks that tell and move nothing.
 *
 * Proof that a site holds a root: reads every chunk and node below it in stored form, takes it apart and
 * recomputes its SHA-256. Bad and missing ones are counted, never returned.
 *
 * Each place is checked, also when it shares its chunk with others: a count of bytes that follows the
 * address space is what a person can hold against the size of the disk.
 *
 * And the difference of two roots as regions, for backup tools: neighbouring chunks that differ are one
 * run as long as they agree on being zero now.
 */

import { assert, present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { CHUNK_SIZE_BYTES } from "../../base/units.ts";
import type { Infer } from "../../base/wire.ts";
import type { Codec } from "../../platform/codec.ts";
import type { DiffRegion } from "../../platform/wire/stargate.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import { type Change, descend, noneSkipped, topChange } from "../blockmap/changes.ts";
import type { Root } from "../blockmap/fingerprints.ts";
import { type Geometry, geometryOf, spanBytes } from "../blockmap/geometry.ts";
import { createNodes } from "../blockmap/nodes.ts";
import type { ChunkSpace, Fingerprint } from "../chunks.ts";
import { plainOf } from "./frames.ts";
import { READ_BATCH_CHUNKS, REGIONS_BATCH_MAX } from "./limits.ts";

/** What a walk found so far. Nodes of the map are counted as missing and corrupt too. */
export interface VerifyResult {
  readonly checkedChunks: number;
  /** Address space of those chunks. */
  readonly checkedBytes: number;
  /** Chunks or nodes that no reachable CVM holds. Below a missing node nothing can be checked. */
  readonly missingChunks: number;
  /** Chunks or nodes of which no good copy was found. */
  readonly corruptChunks: number;
}

export interface VerifyOptions {
  readonly space: Pick<ChunkSpace, "readStored">;
  readonly codec: Codec;
  readonly root: Root;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  /** Called after every batch of chunks. */
  readonly onProgress: (result: VerifyResult) => void;
}

/**
 * Walks a root, depth first, a batch at a time.
 * @returns the final counts: the root is proved when nothing is missing and nothing corrupt
 * @throws AntipodeError `CANCELLED`, and what reading failed with when that says nothing of a chunk
 */
export async function verifyRoot(options: VerifyOptions): Promise<VerifyResult> {
  const geometry = geometryOf(options.sizeBytes);
  const result = { checkedChunks: 0, checkedBytes: 0, missingChunks: 0, corruptChunks: 0 };
  const stack = [{ changes: topChange(geometry, options.root, undefined), at: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (options.signal.aborted) throw new AntipodeError("CANCELLED", "the walk was cancelled");
    const batch = top.changes.slice(top.at, top.at + READ_BATCH_CHUNKS);
    top.at += READ_BATCH_CHUNKS;
    if (top.at >= top.changes.length) stack.pop();

    const children: Change[] = [];
    const found = await readAll(options, batch);
    for (const [i, change] of batch.entries()) {
      const verdict = await judge(geometry, change, found[i]);
      if (verdict === "missing") result.missingChunks += 1;
      else if (verdict === "corrupt") result.corruptChunks += 1;
      else children.push(...verdict);
      if (change.level > 0) continue;
      result.checkedChunks += 1;
      result.checkedBytes += spanBytes(geometry, change);
    }
    if (children.length > 0) stack.push({ changes: children, at: 0 });
    if (batch[0]?.level === 0) options.onProgress({ ...result });
  }
  return result;
}

/** Plain bytes that proved right, or what is wrong. */
type Found = Uint8Array | "missing" | "corrupt";

/** Reads a batch; one by one only when it fails as a whole, to tell which of it is bad. */
async function readAll(
  options: Pick<VerifyOptions, "space" | "codec">,
  changes: readonly Change[],
): Promise<readonly Found[]> {
  const { space, codec } = options;
  const fingerprints: Fingerprint[] = [];
  for (const { fingerprint } of changes)
    if (fingerprint !== undefined) fingerprints.push(fingerprint);
  assert(fingerprints.length === changes.length, "a walk from the empty map meets data only");
  try {
    const stored = await space.readStored(fingerprints);
    return stored.map((chunk) => plainOf(codec, chunk));
  } catch (error) {
    const verdict = verdictOf(error);
    if (changes.length === 1) return [verdict];
  }
  const found: Found[] = [];
  for (const change of changes) found.push(...(await readAll(options, [change])));
  return found;
}

/** What a failed read says of a chunk. */
function verdictOf(error: unknown): "missing" | "corrupt" {
  if (error instanceof AntipodeError) {
    if (error.code === "CHUNK_NOT_FOUND") return "missing";
    if (error.code === "CHUNK_CORRUPT" || error.code === "FINGERPRINT_MISMATCH") return "corrupt";
  }
  throw error;
}

/** The changed children of a good node (none for a chunk), or what is wrong. */
async function judge(
  geometry: Geometry,
  change: Change,
  found: Found | undefined,
): Promise<readonly Change[] | "missing" | "corrupt"> {
  const bytes = present(found, "every place of a batch was read");
  if (typeof bytes === "string") return bytes;
  if (change.level === 0) return bytes.length === CHUNK_SIZE_BYTES ? [] : "corrupt";
  const nodes = createNodes({ read: () => Promise.resolve([bytes]) }, 0);
  try {
    return await descend(nodes, geometry, [change], noneSkipped());
  } catch (error) {
    return verdictOf(error);
  }
}

export type Region = Infer<typeof DiffRegion>;

/** Two contents of one vDisk. */
export interface RegionsOptions {
  readonly blockMap: Pick<BlockMap, "diff">;
  readonly root: Root;
  readonly baseRoot: Root;
  readonly sizeBytes: number;
}

/**
 * The difference of two roots as runs of bytes, in order of offset, in batches of at most REGIONS_BATCH_MAX, each clipped to the size. A
 * region can hold chunks of any number; two regions never touch unless one is zero and one is not.
 */
export async function* diffRegions({
  blockMap,
  root,
  baseRoot,
  sizeBytes,
}: RegionsOptions): AsyncGenerator<readonly Region[], void, undefined> {
  const geometry = geometryOf(sizeBytes);
  let batch: Region[] = [];
  let run: { offsetBytes: number; lengthBytes: number; zero: boolean } | undefined;
  for await (const changes of blockMap.diff(root, baseRoot, sizeBytes)) {
    for (const change of changes) {
      const offsetBytes = change.index * CHUNK_SIZE_BYTES;
      const zero = change.fingerprint === undefined;
      const continues =
        run !== undefined && run.zero === zero && run.offsetBytes + run.lengthBytes === offsetBytes;
      if (!continues) {
        if (run !== undefined) batch.push(run);
        run = { offsetBytes, lengthBytes: 0, zero };
      }
      if (run !== undefined) run.lengthBytes += spanBytes(geometry, change);
    }
    if (batch.length < REGIONS_BATCH_MAX) continue;
    for (let at = 0; at < batch.length; at += REGIONS_BATCH_MAX)
      yield batch.slice(at, at + REGIONS_BATCH_MAX);
    batch = [];
  }
  if (run !== undefined) batch.push(run);
  for (let at = 0; at < batch.length; at += REGIONS_BATCH_MAX)
    yield batch.slice(at, at + REGIONS_BATCH_MAX);
}
