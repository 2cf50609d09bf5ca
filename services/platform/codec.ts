/**
 * Port: checksums, fingerprints and compression. All synchronous: a chunk is 16 KiB, and handing it
 * to another thread costs more than the work.
 */

/** How stored bytes encode raw bytes; the number is what is on disk and on the wire. */
export const codecPlain = 0;
export const codecLz4 = 1;
export type CodecId = typeof codecPlain | typeof codecLz4;

export interface Codec {
  /** XXH64 with a seed. Two 32-bit halves would be slower to compare; bigint only here. */
  xxh64(bytes: Uint8Array, seed?: bigint): bigint;
  /** SHA-256 of the bytes: 32 bytes. */
  sha256(bytes: Uint8Array): Uint8Array;
  /**
   * LZ4 block (no frame, no length prefix).
   * @returns `undefined` when the result would not be smaller than the input
   */
  compress(raw: Uint8Array): Uint8Array | undefined;
  /**
   * @param rawLength exact length of the result
   * @throws AntipodeError `CHUNK_CORRUPT` when the bytes are no such block
   */
  decompress(stored: Uint8Array, rawLength: number): Uint8Array;
}

/** SHA-256 over many pieces. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Ends the computation: 32 bytes. */
  digest(): Uint8Array;
}

/** Signing of recovery points: Ed25519. Keys are DER bytes (PKCS8 private, SPKI public). */
export interface Signer {
  generate(): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array };
  sign(privateKey: Uint8Array, message: Uint8Array): Uint8Array;
  /** False also when the key is none. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}
