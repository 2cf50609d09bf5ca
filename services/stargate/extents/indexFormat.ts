/**
 * Keys and values of the extent index, as services/docs/FORMAT.md describes them. Every value carries
 * a checksum bound to its key, because the index's own file has none: a damaged entry must look
 * damaged, not like a chunk that lies elsewhere.
 */

import { assert } from "../../base/assert.ts";
import { concatBytes, fromHex, readU64, toHex, utf8, viewOf, writeU64 } from "../../base/bytes.ts";
import { FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Fingerprint } from "../chunks.ts";
import type { StoreIdentity } from "./egroupFormat.ts";

/** Version of keys and values together. */
const INDEX_FORMAT_VERSION = 2;
const PLACE_BYTES = 32;
const PLACE_CHECK_AT = 28;
const META_BYTES = 64;
const META_CHECK_AT = 56;
const SEALED_ENTRY_BYTES = 16;

/** Keys that are no fingerprint are told from one by their length. */
export const metaKey = utf8("meta");
export const sealedKey = utf8("sealed");
assert(
  metaKey.length !== FINGERPRINT_SIZE_BYTES && sealedKey.length !== FINGERPRINT_SIZE_BYTES,
  "no other key is as long as a fingerprint",
);

/** Where the stored copy of a chunk is. */
export interface ChunkPlace {
  readonly egroup: number;
  readonly offset: number;
  readonly storedLength: number;
  readonly rawLength: number;
  /** Generation in which the chunk was last written or found by a writer (garbage collection). */
  readonly generation: number;
}

/** What the index says of itself. */
export interface IndexMeta {
  readonly identity: StoreIdentity;
  /** Every sound record before this place is in the index. */
  readonly egroup: number;
  readonly offset: number;
  readonly generation: number;
  /** Entries of older generations count as touched in this one: an index was rebuilt, touches were forgotten. */
  readonly generationFloor: number;
  /** False when something could not be read or was found damaged: the next opening rebuilds it. */
  readonly complete: boolean;
}

/** An egroup that is not appended to any more, and its size then. */
export interface SealedEgroup {
  readonly egroup: number;
  readonly sizeBytes: number;
}

/**
 * One place, and behind it, in the place of its check, the fingerprint: what the check is made of. A
 * look-up or an entry takes no memory but its result; nothing here is kept between two calls.
 */
const scratch = makeScratch();

function makeScratch(): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(PLACE_CHECK_AT + FINGERPRINT_SIZE_BYTES);
  return { bytes, view: viewOf(bytes) };
}

export function encodePlace(codec: Codec, fingerprint: Fingerprint, place: ChunkPlace): Uint8Array {
  const { bytes, view } = scratch;
  writeU64(view, 0, place.egroup);
  view.setUint32(8, place.offset, true);
  view.setUint32(12, place.storedLength, true);
  view.setUint32(16, place.rawLength, true);
  writeU64(view, 20, place.generation);
  bytes.set(fingerprint, PLACE_CHECK_AT);
  const check = scratchCheck(codec);
  view.setUint32(PLACE_CHECK_AT, check, true);
  return bytes.slice(0, PLACE_BYTES);
}

/** `undefined` when the value is damaged or belongs to another key. */
export function decodePlace(
  codec: Codec,
  fingerprint: Fingerprint,
  bytes: Uint8Array,
): ChunkPlace | undefined {
  if (bytes.length !== PLACE_BYTES) return undefined;
  const { view } = scratch;
  scratch.bytes.set(bytes);
  const check = view.getUint32(PLACE_CHECK_AT, true);
  scratch.bytes.set(fingerprint, PLACE_CHECK_AT);
  if (check !== scratchCheck(codec)) return undefined;
  return {
    egroup: readU64(view, 0),
    offset: view.getUint32(8, true),
    storedLength: view.getUint32(12, true),
    rawLength: view.getUint32(16, true),
    generation: readU64(view, 20),
  };
}

/** Check of the place and the fingerprint that lie in the scratch. */
function scratchCheck(codec: Codec): number {
  return Number(BigInt.asUintN(32, codec.xxh64(scratch.bytes)));
}

export function encodeMeta(codec: Codec, meta: IndexMeta): Uint8Array {
  const bytes = new Uint8Array(META_BYTES);
  const view = viewOf(bytes);
  const incarnation = fromHex(meta.identity.siteIncarnation);
  assert(incarnation?.length === 16, "a site incarnation is 32 hexadecimal digits");
  view.setUint32(0, INDEX_FORMAT_VERSION, true);
  view.setUint32(4, meta.identity.cvm, true);
  bytes.set(incarnation, 8);
  writeU64(view, 24, meta.egroup);
  view.setUint32(32, meta.offset, true);
  view.setUint32(36, meta.complete ? 1 : 0, true);
  writeU64(view, 40, meta.generation);
  writeU64(view, 48, meta.generationFloor);
  view.setBigUint64(META_CHECK_AT, codec.xxh64(bytes.subarray(0, META_CHECK_AT), 0n), true);
  return bytes;
}

/** `undefined` when it is missing, damaged, or of another version. */
export function decodeMeta(codec: Codec, bytes: Uint8Array | undefined): IndexMeta | undefined {
  if (bytes?.length !== META_BYTES) return undefined;
  const view = viewOf(bytes);
  const check = codec.xxh64(bytes.subarray(0, META_CHECK_AT), 0n);
  if (view.getBigUint64(META_CHECK_AT, true) !== check) return undefined;
  if (view.getUint32(0, true) !== INDEX_FORMAT_VERSION) return undefined;
  return {
    identity: { siteIncarnation: toHex(bytes.subarray(8, 24)), cvm: view.getUint32(4, true) },
    egroup: readU64(view, 24),
    offset: view.getUint32(32, true),
    complete: view.getUint32(36, true) === 1,
    generation: readU64(view, 40),
    generationFloor: readU64(view, 48),
  };
}

export function encodeSealed(codec: Codec, sealed: readonly SealedEgroup[]): Uint8Array {
  const body = new Uint8Array(sealed.length * SEALED_ENTRY_BYTES);
  const view = viewOf(body);
  for (const [i, { egroup, sizeBytes }] of sealed.entries()) {
    writeU64(view, i * SEALED_ENTRY_BYTES, egroup);
    writeU64(view, i * SEALED_ENTRY_BYTES + 8, sizeBytes);
  }
  const check = new Uint8Array(8);
  viewOf(check).setBigUint64(0, codec.xxh64(body, 0n), true);
  return concatBytes([body, check]);
}

/** `undefined` when the list is damaged; a missing list is an empty one. */
export function decodeSealed(
  codec: Codec,
  bytes: Uint8Array | undefined,
): readonly SealedEgroup[] | undefined {
  if (bytes === undefined) return [];
  const bodyLength = bytes.length - 8;
  if (bodyLength < 0 || bodyLength % SEALED_ENTRY_BYTES !== 0) return undefined;
  const view = viewOf(bytes);
  if (view.getBigUint64(bodyLength, true) !== codec.xxh64(bytes.subarray(0, bodyLength), 0n))
    return undefined;
  const sealed: SealedEgroup[] = [];
  for (let at = 0; at < bodyLength; at += SEALED_ENTRY_BYTES)
    sealed.push({ egroup: readU64(view, at), sizeBytes: readU64(view, at + 8) });
  return sealed;
}
