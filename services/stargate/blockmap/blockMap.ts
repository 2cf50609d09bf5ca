/**
 * The block map of a vDisk as the rest of Stargate uses it: look up, change, compare, plan. It holds
 * no state but a cache of immutable nodes: a map is named by its root, and all calls may overlap.
 *
 * Roots are fingerprints, `undefined` for a vDisk that is all zero (fingerprints.ts has the forms of
 * messages). A map belongs to the size of its vDisk; maps of two sizes are not compared.
 */

import type { Codec } from "../../platform/codec.ts";
import type { Fingerprint } from "../chunks.ts";
import { type Change, topChange, walkChanges } from "./changes.ts";
import type { Root } from "./fingerprints.ts";
import { geometryOf } from "./geometry.ts";
import { lookup } from "./lookup.ts";
import { createNodes, NODE_CACHE_MAX, type NodeSource, type Nodes } from "./nodes.ts";
import { type Plan, plan } from "./plan.ts";
import { type ChunkChanges, type UpdateResult, update } from "./update.ts";

/** Reads and changes block maps. Every call throws what the source of nodes throws. */
export interface BlockMap {
  /** Nodes behind this map's cache, for walks that need them (replication). */
  readonly nodes: Nodes;
  /**
   * Fingerprints of a run of chunks (at most LOOKUP_CHUNKS_MAX), `undefined` where a chunk is all zero.
   */
  lookup(
    root: Root,
    sizeBytes: number,
    firstChunk: number,
    count: number,
  ): Promise<(Fingerprint | undefined)[]>;
  /**
   * The map with some chunks changed (at most UPDATE_CHANGES_MAX). Stores nothing: store the levels of
   * the result one after the other, then the new root may be made known.
   */
  update(root: Root, sizeBytes: number, changes: ChunkChanges): Promise<UpdateResult>;
  /** Chunks that differ between two maps, in order of index, in batches of at most 4096. */
  diff(root: Root, baseRoot: Root, sizeBytes: number): AsyncIterable<readonly Change[]>;
  /** The difference of two maps as about `subtreesMax` subtrees, for the tasks of a replication. */
  plan(root: Root, baseRoot: Root, sizeBytes: number, subtreesMax: number): Promise<Plan>;
}

/** What a block map is made of. */
export interface BlockMapOptions {
  readonly source: NodeSource;
  readonly codec: Pick<Codec, "sha256">;
  /** Nodes kept in memory; NODE_CACHE_MAX when not given. */
  readonly cacheNodesMax?: number;
}

/** A block map over a source of nodes. */
export function createBlockMap(options: BlockMapOptions): BlockMap {
  const { codec } = options;
  const nodes = createNodes(options.source, options.cacheNodesMax ?? NODE_CACHE_MAX);
  return {
    nodes,
    lookup: (root, sizeBytes, firstChunk, count) =>
      lookup(nodes, geometryOf(sizeBytes), root, { firstChunk, count }),
    update: (root, sizeBytes, changes) =>
      update({ nodes, codec, geometry: geometryOf(sizeBytes) }, root, changes),
    diff(root, baseRoot, sizeBytes) {
      const geometry = geometryOf(sizeBytes);
      return walkChanges({ nodes, geometry, from: topChange(geometry, root, baseRoot) });
    },
    plan: (root, baseRoot, sizeBytes, subtreesMax) =>
      plan(nodes, geometryOf(sizeBytes), { root, base: baseRoot }, subtreesMax),
  };
}
