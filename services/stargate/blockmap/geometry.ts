/**
 * The shape of a block map, which follows from the vDisk's size alone. Level 0 are the chunks, level
 * 1 the extent nodes, and so on up to one top node; a node at level L covers 64^L chunks. The top is
 * always a node (height 1 at least), so that a root never names a data chunk.
 *
 * The largest vDisk (64 TiB) has 2^32 chunks and height 6: indexes are numbers, never 32-bit integers.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { CHUNK_SIZE_BYTES, NODE_FANOUT, TIB } from "../../base/units.ts";

/** Largest address space; base/errors.ts SIZE_INVALID tells people the same number. */
const VDISK_SIZE_BYTES_MAX = 64 * TIB;
/** Height of the largest block map: 64^6 chunks are more than 2^32. */
export const HEIGHT_MAX = 6;

/** What the size of a vDisk says about its block map. */
export interface Geometry {
  readonly sizeBytes: number;
  /** Chunks of address space; the last one may reach beyond the size, padded with zeros. */
  readonly chunkCount: number;
  /** Level of the top node, 1 to HEIGHT_MAX. */
  readonly height: number;
}

/** A place in the tree: a node, or at level 0 a chunk. */
export interface Place {
  readonly level: number;
  /** Index among the places of this level, from 0. */
  readonly index: number;
}

/**
 * The geometry of a vDisk of this size, 1 byte to VDISK_SIZE_BYTES_MAX.
 * @throws AntipodeError `SIZE_INVALID` for any other: sizes come with requests
 */
export function geometryOf(sizeBytes: number): Geometry {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1 || sizeBytes > VDISK_SIZE_BYTES_MAX)
    throw new AntipodeError("SIZE_INVALID", "a vDisk's size is between 1 byte and 64 TiB", {
      sizeBytes,
    });
  const chunkCount = Math.ceil(sizeBytes / CHUNK_SIZE_BYTES);
  let height = 1;
  while (chunksUnder(height) < chunkCount) height += 1;
  assert(height <= HEIGHT_MAX, "the largest vDisk fits the largest block map");
  return { sizeBytes, chunkCount, height };
}

/** Chunks below one node of this level; 1 for level 0. */
export function chunksUnder(level: number): number {
  return NODE_FANOUT ** level;
}

/** Number of places at this level that cover some of the address space. */
export function placesAt(geometry: Geometry, level: number): number {
  return Math.ceil(geometry.chunkCount / chunksUnder(level));
}

/** Bytes of address space below a place, clipped to the vDisk's size; 0 beyond its end. */
export function spanBytes(geometry: Geometry, place: Place): number {
  const widthBytes = chunksUnder(place.level) * CHUNK_SIZE_BYTES;
  return Math.max(0, Math.min(widthBytes, geometry.sizeBytes - place.index * widthBytes));
}

assert(chunksUnder(HEIGHT_MAX) * CHUNK_SIZE_BYTES >= VDISK_SIZE_BYTES_MAX, "six levels suffice");
