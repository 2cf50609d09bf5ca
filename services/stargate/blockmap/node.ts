/**
 * A block-map node and its encoding (services/docs/FORMAT.md, "Block map"):
 *
 *   magic "APBM" | version u8 = 1 | level u8 | 0 u16 | presence u64 LE | present children, 32 bytes each
 *
 * Invariants:
 * - Canonical: one content has exactly one encoding, so equal subtrees have equal fingerprints and
 *   equal roots mean equal bytes. `decodeNode` refuses everything that `encodeNode` does not write.
 * - A child that is all zero is absent, and so is a node without children: it is not encoded at all.
 *   Zeros cost nothing, at any level.
 * - An encoded node is never CHUNK_SIZE_BYTES long, and a data chunk always is. So the length alone
 *   tells nodes from chunks, wherever they lie together (extent store, wire), and whoever writes a
 *   vDisk cannot forge a node: SHA-256 of another length is another fingerprint.
 * - The level is part of the node, so that a node cannot be taken for one of another height.
 */

import { assert, present } from "../../base/assert.ts";
import { viewOf } from "../../base/bytes.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES, NODE_FANOUT } from "../../base/units.ts";
import type { Fingerprint } from "../chunks.ts";
import { HEIGHT_MAX } from "./geometry.ts";

const MAGIC = 0x4d_42_50_41;
const VERSION = 1;
const HEADER_SIZE_BYTES = 16;

/** Longest encoding: all 64 children present. */
export const NODE_SIZE_BYTES_MAX = HEADER_SIZE_BYTES + NODE_FANOUT * FINGERPRINT_SIZE_BYTES;
assert(NODE_SIZE_BYTES_MAX < CHUNK_SIZE_BYTES, "no encoded node is as long as a data chunk");

/** A decoded node. Kept compact (2 KiB), because many are cached: children are cut out on demand. */
export interface MapNode {
  readonly level: number;
  /** Presence of children 0 to 31 and 32 to 63, as unsigned 32-bit integers. */
  readonly low: number;
  readonly high: number;
  /** Fingerprints of the present children in order, 32 bytes each. */
  readonly fingerprints: Uint8Array;
}

/** Bytes that are no canonical node: a bug, rot that a checksum missed, or a peer's garbage. */
export class NodeError extends Error {
  override readonly name = "NodeError";
}

/** Number of children that are not all zero, 1 to 64. */
export function childCount(node: MapNode): number {
  return node.fingerprints.length / FINGERPRINT_SIZE_BYTES;
}

/** Fingerprint of child `slot` (0 to 63), a view of the node; `undefined` when it is all zero. */
export function childOf(node: MapNode, slot: number): Fingerprint | undefined {
  const inLow = slot < 32;
  const word = inLow ? node.low : node.high;
  const bit = inLow ? slot : slot - 32;
  if (((word >>> bit) & 1) === 0) return undefined;
  const below = bit === 0 ? 0 : (word << (32 - bit)) >>> 0;
  const at = (countBits(below) + (inLow ? 0 : countBits(node.low))) * FINGERPRINT_SIZE_BYTES;
  return node.fingerprints.subarray(at, at + FINGERPRINT_SIZE_BYTES);
}

/** All 64 children in order. */
export function childrenOf(node: MapNode): (Fingerprint | undefined)[] {
  const children: (Fingerprint | undefined)[] = [];
  let at = 0;
  for (let slot = 0; slot < NODE_FANOUT; slot++) {
    const word = slot < 32 ? node.low : node.high;
    if (((word >>> (slot & 31)) & 1) === 0) children.push(undefined);
    else {
      children.push(node.fingerprints.subarray(at, at + FINGERPRINT_SIZE_BYTES));
      at += FINGERPRINT_SIZE_BYTES;
    }
  }
  return children;
}

/** The encoding of a node with these 64 children; `undefined` when none is present. */
export function encodeNode(
  level: number,
  children: readonly (Fingerprint | undefined)[],
): Uint8Array | undefined {
  assert(level >= 1 && level <= HEIGHT_MAX, "a node's level is between 1 and the largest height");
  assert(children.length === NODE_FANOUT, "a node has 64 children");
  let count = 0;
  for (const child of children) if (child !== undefined) count += 1;
  if (count === 0) return undefined;

  const bytes = new Uint8Array(HEADER_SIZE_BYTES + count * FINGERPRINT_SIZE_BYTES);
  let low = 0;
  let high = 0;
  let at = HEADER_SIZE_BYTES;
  for (let slot = 0; slot < NODE_FANOUT; slot++) {
    const child = children[slot];
    if (child === undefined) continue;
    assert(child.length === FINGERPRINT_SIZE_BYTES, "a fingerprint has 32 bytes");
    if (slot < 32) low |= 1 << slot;
    else high |= 1 << (slot - 32);
    bytes.set(child, at);
    at += FINGERPRINT_SIZE_BYTES;
  }
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, VERSION);
  view.setUint8(5, level);
  view.setUint32(8, low >>> 0, true);
  view.setUint32(12, high >>> 0, true);
  return bytes;
}

/**
 * Decodes one node. Copies, so that a small node does not keep the large frame alive it came in.
 * @throws NodeError when the bytes are not exactly what `encodeNode` writes
 */
export function decodeNode(bytes: Uint8Array): MapNode {
  if (bytes.length < HEADER_SIZE_BYTES) throw new NodeError("a node is shorter than its header");
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== MAGIC) throw new NodeError("a node has a wrong magic");
  if (view.getUint8(4) !== VERSION)
    throw new NodeError(`a node has the unknown version ${view.getUint8(4)}`);
  const level = view.getUint8(5);
  if (level < 1 || level > HEIGHT_MAX) throw new NodeError(`a node has the level ${level}`);
  if (view.getUint16(6, true) !== 0) throw new NodeError("a node has unused bits set");
  const low = view.getUint32(8, true);
  const high = view.getUint32(12, true);
  const count = countBits(low) + countBits(high);
  if (count === 0) throw new NodeError("a node without children is not encoded");
  if (bytes.length !== HEADER_SIZE_BYTES + count * FINGERPRINT_SIZE_BYTES)
    throw new NodeError("a node's length does not fit its children");
  const fingerprints = bytes.slice(HEADER_SIZE_BYTES);
  for (let at = 0; at < fingerprints.length; at += FINGERPRINT_SIZE_BYTES)
    if (isZeroFingerprint(fingerprints, at)) throw new NodeError("a present child is all zero");
  return { level, low, high, fingerprints };
}

function isZeroFingerprint(fingerprints: Uint8Array, start: number): boolean {
  for (let at = start; at < start + FINGERPRINT_SIZE_BYTES; at++)
    if (present(fingerprints[at], "the fingerprint lies inside the node") !== 0) return false;
  return true;
}

function countBits(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  bits = (bits + (bits >>> 4)) & 0x0f0f_0f0f;
  return Math.imul(bits, 0x0101_0101) >>> 24;
}
