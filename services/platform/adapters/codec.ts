/**
 * Checksums and fingerprints (digests.ts) and compression over lz4-napi.
 *
 * LZ4: lz4-napi puts the raw length as four little-endian bytes before a standard LZ4 block. Here
 * the stored form is the bare block, as `LZ4_compress_default` of the reference library writes and
 * `LZ4_decompress_safe` reads; the raw length lies in the record around it. The prefix is cut off
 * after compression (a view, no copy) and put back before decompression, from the trusted length:
 * so a damaged block can never ask for more memory than `rawLength`.
 */

import * as crypto from "node:crypto";
import { compressSync, uncompressSync } from "lz4-napi";
import { AntipodeError } from "../../base/errors.ts";
import type { Codec, Hasher } from "../codec.ts";
import { asBuffer, asBytes } from "./buffers.ts";
import { createDigests } from "./digests.ts";

const LENGTH_PREFIX_BYTES = 4;

/** Loads the WebAssembly module of XXH64; the rest needs no preparation. */
export async function createCodec(): Promise<Codec> {
  return { ...(await createDigests()), compress, decompress };
}

function compress(raw: Uint8Array): Uint8Array | undefined {
  const prefixed = compressSync(asBuffer(raw));
  if (prefixed.length - LENGTH_PREFIX_BYTES >= raw.length) return undefined;
  return asBytes(prefixed.subarray(LENGTH_PREFIX_BYTES));
}

function decompress(stored: Uint8Array, rawLength: number): Uint8Array {
  const prefixed = Buffer.allocUnsafe(LENGTH_PREFIX_BYTES + stored.length);
  prefixed.writeUInt32LE(rawLength, 0);
  prefixed.set(stored, LENGTH_PREFIX_BYTES);
  let raw: Uint8Array;
  try {
    raw = asBytes(uncompressSync(prefixed));
  } catch (cause) {
    throw new AntipodeError(
      "CHUNK_CORRUPT",
      "the bytes are no LZ4 block",
      { rawLength, storedLength: stored.length },
      cause,
    );
  }
  if (raw.length !== rawLength)
    throw new AntipodeError("CHUNK_CORRUPT", "the LZ4 block has another length than recorded", {
      rawLength,
      foundLength: raw.length,
    });
  return raw;
}

/** SHA-256 over pieces. */
export function createHasher(): Hasher {
  const hash = crypto.createHash("sha256");
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    digest: () => asBytes(hash.digest()),
  };
}
