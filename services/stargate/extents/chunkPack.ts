/**
 * A pack: many chunks as one run of bytes, the form in which they cross the wire inside a site and
 * between sites (services/docs/FORMAT.md, "Packs"; ADR 0011). All heads come first, then all stored
 * bytes, and one XXH64 over everything: TCP's checksum is weak, and a proxy on the way computes it
 * anew. Whoever receives a pack checks it as a whole before it uses any of it.
 *
 * A message a chunk, as it was, cost five fields, a checksum and a view each; the chunk itself is the
 * smaller part of that.
 */

import { viewOf } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import { type Codec, codecLz4, codecPlain } from "../../platform/codec.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { isStorable } from "./egroupFormat.ts";

const CHECKED_FROM = 8;
const COUNT_AT = 8;
const HEADS_AT = 12;
const HEAD_BYTES = 44;
const CODEC_AT = 32;
const RAW_LENGTH_AT = 36;
const STORED_LENGTH_AT = 40;

/** Bytes that a chunk takes in a pack beside its stored ones. */
export const PACKED_CHUNK_OVERHEAD_BYTES = HEAD_BYTES;

/** The pack of these chunks; no bytes for none. Copies. */
export function encodePack(codec: Codec, chunks: readonly StoredChunk[]): Uint8Array {
  if (chunks.length === 0) return new Uint8Array(0);
  let at = HEADS_AT + chunks.length * HEAD_BYTES;
  let length = at;
  for (const { stored } of chunks) length += stored.length;
  const pack = new Uint8Array(length);
  const view = viewOf(pack);
  view.setUint32(COUNT_AT, chunks.length, true);
  let head = HEADS_AT;
  for (const { fingerprint, codec: codecId, rawLength, stored } of chunks) {
    pack.set(fingerprint, head);
    view.setUint32(head + CODEC_AT, codecId, true);
    view.setUint32(head + RAW_LENGTH_AT, rawLength, true);
    view.setUint32(head + STORED_LENGTH_AT, stored.length, true);
    pack.set(stored, at);
    head += HEAD_BYTES;
    at += stored.length;
  }
  view.setBigUint64(0, codec.xxh64(pack.subarray(CHECKED_FROM)), true);
  return pack;
}

/**
 * The chunks of a pack, in order; views of its bytes. That they are what their fingerprints name is not
 * checked.
 * @throws AntipodeError `CHUNK_CORRUPT` when bytes changed on the way; `MESSAGE_INVALID` when it is no
 * pack, has more than `countMax` chunks, or one whose lengths or codec cannot be
 */
export function decodePack(
  codec: Codec,
  pack: Uint8Array,
  countMax: number,
): readonly StoredChunk[] {
  if (pack.length === 0) return [];
  if (pack.length < HEADS_AT + HEAD_BYTES) throw invalid("a pack is too short", pack);
  const view = viewOf(pack);
  if (view.getBigUint64(0, true) !== codec.xxh64(pack.subarray(CHECKED_FROM)))
    throw new AntipodeError("CHUNK_CORRUPT", "the bytes of some chunks changed on the way", {
      lengthBytes: pack.length,
    });
  const count = view.getUint32(COUNT_AT, true);
  let at = HEADS_AT + count * HEAD_BYTES;
  if (count > countMax || at > pack.length)
    throw invalid("a pack has too many chunks", pack, { count, countMax });
  const chunks: StoredChunk[] = [];
  for (let head = HEADS_AT; chunks.length < count; head += HEAD_BYTES) {
    const end = at + view.getUint32(head + STORED_LENGTH_AT, true);
    if (end > pack.length) throw invalid("a chunk reaches beyond its pack", pack);
    const codecId = view.getUint32(head + CODEC_AT, true);
    const chunk: StoredChunk = {
      fingerprint: pack.subarray(head, head + FINGERPRINT_SIZE_BYTES),
      codec: codecId === codecLz4 ? codecLz4 : codecPlain,
      rawLength: view.getUint32(head + RAW_LENGTH_AT, true),
      stored: pack.subarray(at, end),
    };
    if (chunk.codec !== codecId || !isStorable(chunk))
      throw invalid("a chunk arrived with impossible lengths", pack, {
        codec: codecId,
        rawLength: chunk.rawLength,
        storedLength: chunk.stored.length,
      });
    chunks.push(chunk);
    at = end;
  }
  if (at !== pack.length) throw invalid("a pack goes on after its last chunk", pack);
  return chunks;
}

function invalid(
  what: string,
  pack: Uint8Array,
  details: Readonly<Record<string, number>> = {},
): AntipodeError {
  return new AntipodeError("MESSAGE_INVALID", what, { lengthBytes: pack.length, ...details });
}

/** Fingerprints one after the other, as lists on the wire have them. */
export function joinFingerprints(fingerprints: readonly Fingerprint[]): Uint8Array {
  const bytes = new Uint8Array(fingerprints.length * FINGERPRINT_SIZE_BYTES);
  let at = 0;
  for (const fingerprint of fingerprints) {
    bytes.set(fingerprint, at);
    at += FINGERPRINT_SIZE_BYTES;
  }
  return bytes;
}

/**
 * Inverse of `joinFingerprints`; views of the bytes.
 * @throws AntipodeError `MESSAGE_INVALID` when it is no whole number of fingerprints, or more than `countMax`
 */
export function splitFingerprints(bytes: Uint8Array, countMax: number): readonly Fingerprint[] {
  const count = bytes.length / FINGERPRINT_SIZE_BYTES;
  if (!Number.isInteger(count) || count > countMax)
    throw new AntipodeError("MESSAGE_INVALID", "a list of fingerprints has a wrong length", {
      lengthBytes: bytes.length,
      countMax,
    });
  const fingerprints: Fingerprint[] = [];
  for (let at = 0; at < bytes.length; at += FINGERPRINT_SIZE_BYTES)
    fingerprints.push(bytes.subarray(at, at + FINGERPRINT_SIZE_BYTES));
  return fingerprints;
}
