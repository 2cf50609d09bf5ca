/**
 * Chunks as they cross the wire between sites, in packs with a checksum. The receiver believes
 * nothing: it checks the pack, takes every chunk apart and recomputes its SHA-256 before anything is
 * stored (P7, P10).
 */

import { isAllZero, toHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { CHUNK_SIZE_BYTES } from "../../base/units.ts";
import { type Codec, codecPlain } from "../../platform/codec.ts";
import { sameFingerprint } from "../blockmap/fingerprints.ts";
import { decodeNode, type MapNode, NODE_SIZE_BYTES_MAX, NodeError } from "../blockmap/node.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";

/** A chunk that has proved to be what its fingerprint names. */
export interface CheckedChunk extends StoredChunk {
  /** Set for a block-map node: its decoded form. A data chunk is always CHUNK_SIZE_BYTES long. */
  readonly node: MapNode | undefined;
}

/**
 * Checks a chunk of a pack that came over the wire.
 * @throws AntipodeError `MESSAGE_INVALID` when it is neither data nor a node, `FINGERPRINT_MISMATCH` when
 * its bytes are not what its fingerprint names
 */
export function checkChunk(codec: Codec, chunk: StoredChunk): CheckedChunk {
  const { rawLength } = chunk;
  if (rawLength !== CHUNK_SIZE_BYTES && rawLength > NODE_SIZE_BYTES_MAX)
    throw new AntipodeError("MESSAGE_INVALID", "neither as long as a data chunk nor as a node", {
      rawLength,
    });
  const raw = plainOf(codec, chunk);
  if (rawLength !== CHUNK_SIZE_BYTES) return { ...chunk, node: nodeOf(raw) };
  if (isAllZero(raw))
    throw new AntipodeError("MESSAGE_INVALID", "the all-zero chunk has no fingerprint");
  return { ...chunk, node: undefined };
}

/**
 * Plain bytes of a stored chunk, if they are what its fingerprint names.
 * @throws AntipodeError `FINGERPRINT_MISMATCH`
 */
export function plainOf(codec: Codec, chunk: StoredChunk): Uint8Array {
  const raw = decompressed(codec, chunk);
  if (raw.length !== chunk.rawLength)
    throw mismatch(chunk.fingerprint, "a chunk has another length than it says");
  if (!sameFingerprint(codec.sha256(raw), chunk.fingerprint))
    throw mismatch(chunk.fingerprint, "a chunk's bytes are not what its fingerprint names");
  return raw;
}

function decompressed(codec: Codec, chunk: StoredChunk): Uint8Array {
  if (chunk.codec === codecPlain) return chunk.stored;
  try {
    return codec.decompress(chunk.stored, chunk.rawLength);
  } catch (cause) {
    if (!(cause instanceof AntipodeError)) throw cause;
    throw mismatch(chunk.fingerprint, "a chunk cannot be decompressed", cause);
  }
}

function nodeOf(raw: Uint8Array): MapNode {
  try {
    return decodeNode(raw);
  } catch (cause) {
    if (!(cause instanceof NodeError)) throw cause;
    throw new AntipodeError(
      "MESSAGE_INVALID",
      `neither a data chunk nor a node: ${cause.message}`,
      {},
      cause,
    );
  }
}

function mismatch(fingerprint: Fingerprint, what: string, cause?: unknown): AntipodeError {
  return new AntipodeError(
    "FINGERPRINT_MISMATCH",
    what,
    { fingerprint: toHex(fingerprint) },
    cause,
  );
}

/** Cuts chunks, in order, into frames of about `bytesMax` stored bytes, one chunk at least. */
export function cutFrames(
  chunks: readonly StoredChunk[],
  bytesMax: number,
): readonly (readonly StoredChunk[])[] {
  const frames: StoredChunk[][] = [];
  let frame: StoredChunk[] = [];
  let bytes = 0;
  for (const chunk of chunks) {
    if (frame.length > 0 && bytes + chunk.stored.length > bytesMax) {
      frames.push(frame);
      frame = [];
      bytes = 0;
    }
    frame.push(chunk);
    bytes += chunk.stored.length;
  }
  if (frame.length > 0) frames.push(frame);
  return frames;
}

/** Stored bytes of some chunks. */
export function storedBytesOf(chunks: readonly StoredChunk[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.stored.length;
  return bytes;
}
