/**
 * Changing chunks: reads the nodes on the changed paths from the top down, rewrites them from the
 * bottom up, and gives the new ones level by level, so that the caller can make each level durable
 * before the next. A crash in between leaves nodes that nothing refers to, never a hole below a root.
 *
 * Memory: about 4 KiB for every extent touched (the old node and the new one).
 */

import { assert, present } from "../../base/assert.ts";
import { FINGERPRINT_SIZE_BYTES, NODE_FANOUT } from "../../base/units.ts";
import { type Codec, codecPlain } from "../../platform/codec.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { type FingerprintKey, keyOf, type Root, sameFingerprint } from "./fingerprints.ts";
import type { Geometry } from "./geometry.ts";
import { childOf, childrenOf, decodeNode, encodeNode, type MapNode } from "./node.ts";
import type { Nodes } from "./nodes.ts";

/** Most changes of one update: 4 GiB of address space; at worst 1 GiB of nodes if none are neighbours. */
const UPDATE_CHANGES_MAX = 262_144;

/** New content of chunks by index; `undefined` makes a chunk all zero. */
export type ChunkChanges = ReadonlyMap<number, Fingerprint | undefined>;

/** The map after a change. */
export interface UpdateResult {
  readonly root: Root;
  /** New nodes of level 1, 2, …: store each level before the next. Levels without any are empty. */
  readonly levels: readonly (readonly StoredChunk[])[];
}

/** Where a level is touched: node indexes, ascending, with what is there before the change. */
interface Touched {
  readonly indexes: readonly number[];
  readonly before: readonly (Fingerprint | undefined)[];
  readonly nodes: readonly (MapNode | undefined)[];
}

/** What an update works on. */
export interface UpdateTools {
  readonly nodes: Nodes;
  readonly geometry: Geometry;
  readonly codec: Pick<Codec, "sha256">;
}

/** Applies the changes; nothing is stored here. */
export async function update(
  tools: UpdateTools,
  root: Root,
  changes: ChunkChanges,
): Promise<UpdateResult> {
  const { geometry } = tools;
  assert(changes.size <= UPDATE_CHANGES_MAX, "an update is bounded");
  const chunks = Float64Array.from(changes.keys()).sort();
  const last = chunks.at(-1);
  if (last === undefined) return { root, levels: [] };
  assert((chunks[0] ?? 0) >= 0 && last < geometry.chunkCount, "changes lie inside the vDisk");

  const touched = await readTouched(tools, root, chunks);
  const levels: (readonly StoredChunk[])[] = [];
  let indexes: readonly number[] = Array.from(chunks);
  let values = indexes.map((index) => changes.get(index));
  for (let level = 1; level <= geometry.height; level++) {
    const at = present(touched[level], "every level is touched by a change");
    const made = rewriteLevel(tools, { level, at, childIndexes: indexes, childValues: values });
    levels.push(made.chunks);
    indexes = at.indexes;
    values = made.values;
  }
  assert(values.length === 1, "a map has one top node");
  return { root: values[0], levels };
}

/** What lies on the changed paths, by level; entry 0 is unused. */
async function readTouched(
  { nodes, geometry }: UpdateTools,
  root: Root,
  chunks: Float64Array,
): Promise<Touched[]> {
  const indexesAt: (readonly number[])[] = [Array.from(chunks)];
  for (let level = 1; level <= geometry.height; level++)
    indexesAt.push(parentsOf(indexesAt[level - 1] ?? []));

  const touched: Touched[] = [];
  let before: (Fingerprint | undefined)[] = [root];
  for (let level = geometry.height; level >= 1; level--) {
    const indexes = present(indexesAt[level], "every level has indexes");
    const known = before.filter((fingerprint) => fingerprint !== undefined);
    const read = known.length === 0 ? [] : await nodes.read(known, level);
    let next = 0;
    const here = before.map((fingerprint) =>
      fingerprint === undefined ? undefined : present(read[next++], "every known node was read"),
    );
    touched[level] = { indexes, before, nodes: here };
    before = childrenBefore(indexes, here, present(indexesAt[level - 1], "a level lies below"));
  }
  return touched;
}

/** Distinct parents of ascending indexes, ascending. */
function parentsOf(indexes: readonly number[]): number[] {
  const parents: number[] = [];
  for (const index of indexes) {
    const parent = Math.floor(index / NODE_FANOUT);
    if (parents.at(-1) !== parent) parents.push(parent);
  }
  return parents;
}

function childrenBefore(
  parents: readonly number[],
  nodes: readonly (MapNode | undefined)[],
  children: readonly number[],
): (Fingerprint | undefined)[] {
  let at = 0;
  return children.map((index) => {
    while (parents[at] !== Math.floor(index / NODE_FANOUT)) at += 1;
    const node = nodes[at];
    return node === undefined ? undefined : childOf(node, index % NODE_FANOUT);
  });
}

interface LevelWork {
  readonly level: number;
  readonly at: Touched;
  readonly childIndexes: readonly number[];
  readonly childValues: readonly (Fingerprint | undefined)[];
}

/** New fingerprints of the touched nodes of one level, and those nodes that did not exist before. */
function rewriteLevel(
  { nodes, codec }: UpdateTools,
  { level, at, childIndexes, childValues }: LevelWork,
): { readonly values: (Fingerprint | undefined)[]; readonly chunks: readonly StoredChunk[] } {
  const made = new Map<FingerprintKey, StoredChunk>();
  let next = 0;
  const values = at.indexes.map((index, i) => {
    const old = at.nodes[i];
    const children =
      old === undefined
        ? Array.from<Fingerprint | undefined>({ length: NODE_FANOUT })
        : childrenOf(old);
    let changed = false;
    for (; Math.floor((childIndexes[next] ?? Infinity) / NODE_FANOUT) === index; next++) {
      const slot = (childIndexes[next] ?? 0) % NODE_FANOUT;
      const value = childValues[next];
      assert(value === undefined || isFingerprint(value), "a change is a fingerprint or zero");
      if (sameFingerprint(children[slot], value)) continue;
      children[slot] = value;
      changed = true;
    }
    if (!changed) return at.before[i];
    const stored = encodeNode(level, children);
    if (stored === undefined) return undefined;
    const fingerprint = codec.sha256(stored);
    made.set(keyOf(fingerprint), {
      fingerprint,
      codec: codecPlain,
      rawLength: stored.length,
      stored,
    });
    nodes.keep(fingerprint, decodeNode(stored));
    return fingerprint;
  });
  return { values, chunks: [...made.values()] };
}

function isFingerprint(value: Fingerprint): boolean {
  return value.length === FINGERPRINT_SIZE_BYTES && value.some((byte) => byte !== 0);
}
