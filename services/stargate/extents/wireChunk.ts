/**
 * Chunks as messages and back. A message carries XXH64 of the stored bytes, because TCP's checksum is
 * weak and a proxy on the way computes it anew; whoever receives a chunk checks it before use.
 */

import { equalBytes, viewOf } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import { type Codec, codecLz4, codecPlain } from "../../platform/codec.ts";
import type { StoredChunkMessage } from "../../platform/wire/stargate.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { isStorable } from "./egroupFormat.ts";

/** Bytes that a chunk's message has beside its stored bytes, at most. */
export const WIRE_CHUNK_OVERHEAD_BYTES = 64;

/** The message of a chunk; shares its bytes. */
export function chunkToMessage(codec: Codec, chunk: StoredChunk): StoredChunkMessage {
  return { ...chunk, checksum: checksumOf(codec, chunk.stored) };
}

/**
 * The chunk in a message; shares its bytes. That the bytes are what the fingerprint names is not checked.
 * @throws AntipodeError `CHUNK_CORRUPT` when bytes changed on the way, `MESSAGE_INVALID` when lengths or codec cannot be
 */
export function chunkFromMessage(
  codec: Codec,
  message: Exclude<StoredChunkMessage, undefined>,
): StoredChunk {
  const { fingerprint, rawLength, stored } = message;
  const codecId = message.codec === codecLz4 ? codecLz4 : codecPlain;
  const chunk: StoredChunk = { fingerprint, codec: codecId, rawLength, stored };
  if (codecId !== message.codec || !isStorable(chunk))
    throw new AntipodeError("MESSAGE_INVALID", "a chunk arrived with impossible lengths", {
      codec: message.codec,
      rawLength,
      storedLength: stored.length,
    });
  if (!equalBytes(message.checksum, checksumOf(codec, stored)))
    throw new AntipodeError("CHUNK_CORRUPT", "a chunk's bytes changed on the way", {
      storedLength: stored.length,
    });
  return chunk;
}

function checksumOf(codec: Codec, stored: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, codec.xxh64(stored), true);
  return bytes;
}

/** Fingerprints one after the other, as lists on the wire have them. */
export function joinFingerprints(fingerprints: readonly Fingerprint[]): Uint8Array {
  const bytes = new Uint8Array(fingerprints.length * FINGERPRINT_SIZE_BYTES);
  for (const [i, fingerprint] of fingerprints.entries())
    bytes.set(fingerprint, i * FINGERPRINT_SIZE_BYTES);
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
  return Array.from({ length: count }, (_, i) =>
    bytes.subarray(i * FINGERPRINT_SIZE_BYTES, (i + 1) * FINGERPRINT_SIZE_BYTES),
  );
}
