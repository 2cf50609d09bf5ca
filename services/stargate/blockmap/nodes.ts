/**
 * Reading nodes: in batches from a source, decoded and checked against the level they are expected
 * at, with the most recently used ones kept. Nodes are immutable and named by their content, so the
 * cache can never be stale; it is bounded by a number of nodes.
 */

import { assert, present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Fingerprint } from "../chunks.ts";
import { type FingerprintKey, keyOf } from "./fingerprints.ts";
import { decodeNode, type MapNode, NodeError } from "./node.ts";

/** Where encoded nodes come from; ChunkSpace is one. */
export interface NodeSource {
  /** Plain bytes in the order asked, verified; not to be changed. */
  read(fingerprints: readonly Fingerprint[]): Promise<readonly Uint8Array[]>;
}

/** Nodes read from a source at once: 64 × 2 KiB, about half of a frame. */
export const NODE_BATCH_MAX = 64;
/** 4096 nodes of 2 KiB are 9 MiB with their keys, and map 4 GiB of densely written address space. */
export const NODE_CACHE_MAX = 4096;

/** Reads and keeps nodes. */
export interface Nodes {
  /**
   * Decoded nodes in the order asked. Equal fingerprints are read once.
   * @throws AntipodeError `CHUNK_CORRUPT` when bytes are no node of this level, and what the source throws
   */
  read(fingerprints: readonly Fingerprint[], level: number): Promise<MapNode[]>;
  /** Remembers a node that was just made, so that the next update does not read it back. */
  keep(fingerprint: Fingerprint, node: MapNode): void;
}

/** Nodes of a source behind a cache of `cacheMax` nodes (0: none, every node comes from the source). */
export function createNodes(source: NodeSource, cacheMax: number): Nodes {
  /** Least recently used first. */
  const cache = new Map<FingerprintKey, MapNode>();

  const put = (key: FingerprintKey, node: MapNode): void => {
    if (cacheMax === 0) return;
    cache.delete(key);
    if (cache.size >= cacheMax) {
      const oldest = cache.keys().next();
      if (!oldest.done) cache.delete(oldest.value);
    }
    cache.set(key, node);
  };

  return {
    async read(fingerprints, level) {
      const keys = fingerprints.map(keyOf);
      const found = new Map<FingerprintKey, MapNode>();
      const wanted = new Map<FingerprintKey, Fingerprint>();
      fingerprints.forEach((fingerprint, i) => {
        const key = present(keys[i], "every fingerprint has a key");
        const node = cache.get(key);
        if (node === undefined) wanted.set(key, fingerprint);
        else {
          put(key, node);
          found.set(key, node);
        }
      });
      const missing = [...wanted];
      for (let at = 0; at < missing.length; at += NODE_BATCH_MAX) {
        const batch = missing.slice(at, at + NODE_BATCH_MAX);
        const read = await source.read(batch.map(([, fingerprint]) => fingerprint));
        assert(read.length === batch.length, "a source answers every fingerprint");
        batch.forEach(([key], i) => {
          const node = decoded(present(read[i], "a source answers every fingerprint"));
          put(key, node);
          found.set(key, node);
        });
      }
      return keys.map((key) => atLevel(present(found.get(key), "every node was read"), level));
    },

    keep(fingerprint, node) {
      put(keyOf(fingerprint), node);
    },
  };
}

function decoded(bytes: Uint8Array): MapNode {
  try {
    return decodeNode(bytes);
  } catch (cause) {
    if (!(cause instanceof NodeError)) throw cause;
    throw new AntipodeError("CHUNK_CORRUPT", `not a block-map node: ${cause.message}`, {}, cause);
  }
}

function atLevel(node: MapNode, level: number): MapNode {
  if (node.level === level) return node;
  throw new AntipodeError("CHUNK_CORRUPT", "a block-map node lies at the wrong level", {
    level: node.level,
    expectedLevel: level,
  });
}
