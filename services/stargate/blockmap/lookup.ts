/**
 * Finding the chunks of a range: from the top down, one batch of nodes a level, reading only nodes
 * that cover the range.
 */

import { assert, present } from "../../base/assert.ts";
import { NODE_FANOUT } from "../../base/units.ts";
import type { Fingerprint } from "../chunks.ts";
import type { Root } from "./fingerprints.ts";
import { chunksUnder, type Geometry } from "./geometry.ts";
import { childOf } from "./node.ts";
import type { Nodes } from "./nodes.ts";

/** Most chunks of one look-up: 1 GiB, far above any block request. */
const LOOKUP_CHUNKS_MAX = 65_536;

/** A run of chunks. */
export interface ChunkRange {
  readonly firstChunk: number;
  readonly count: number;
}

/** Fingerprint of every chunk of the range, `undefined` where it is all zero. */
export async function lookup(
  nodes: Nodes,
  geometry: Geometry,
  root: Root,
  { firstChunk, count }: ChunkRange,
): Promise<(Fingerprint | undefined)[]> {
  const lastChunk = firstChunk + count - 1;
  assert(count >= 0 && count <= LOOKUP_CHUNKS_MAX, "a look-up is bounded");
  assert(firstChunk >= 0 && lastChunk < geometry.chunkCount, "a look-up lies inside the vDisk");
  if (count === 0) return [];

  /** Fingerprints at the current level that cover the range, from index `first`. */
  let covering: (Fingerprint | undefined)[] = [root];
  let first = 0;
  for (let level = geometry.height; level >= 1; level--) {
    const known = covering.filter((fingerprint) => fingerprint !== undefined);
    if (known.length === 0) break;
    const read = await nodes.read(known, level);
    const childFirst = Math.floor(firstChunk / chunksUnder(level - 1));
    const childLast = Math.floor(lastChunk / chunksUnder(level - 1));
    const children: (Fingerprint | undefined)[] = [];
    let next = 0;
    covering.forEach((fingerprint, i) => {
      const node =
        fingerprint === undefined ? undefined : present(read[next++], "every known node was read");
      const base = (first + i) * NODE_FANOUT;
      const from = Math.max(childFirst, base);
      const to = Math.min(childLast, base + NODE_FANOUT - 1);
      for (let index = from; index <= to; index++)
        children.push(node === undefined ? undefined : childOf(node, index - base));
    });
    covering = children;
    first = childFirst;
  }
  if (covering.length === count) return covering;
  return Array.from({ length: count }, () => undefined);
}
