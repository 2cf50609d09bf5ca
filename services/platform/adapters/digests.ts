/**
 * XXH64 over xxhash-wasm and SHA-256 over Node's crypto. Apart from codec.ts, which adds LZ4: its
 * native module costs 9 MiB and 10 ms, and a process that compresses nothing need not load it.
 */

import * as crypto from "node:crypto";
import xxhash from "xxhash-wasm";
import type { Codec } from "../codec.ts";
import { asBytes } from "./buffers.ts";

/** The part of a codec that names and checks bytes. */
type Digests = Pick<Codec, "xxh64" | "sha256">;

/** Loads the WebAssembly module of XXH64; the rest needs no preparation. */
export async function createDigests(): Promise<Digests> {
  const hashes = await xxhash();
  return { xxh64: (bytes, seed) => hashes.h64Raw(bytes, seed), sha256 };
}

/** `crypto.hash` (Node 20.12, 21.7) does in one call what a Hash object does in three. */
const sha256: (bytes: Uint8Array) => Uint8Array =
  typeof crypto.hash === "function"
    ? (bytes) => asBytes(crypto.hash("sha256", bytes, "buffer"))
    : (bytes) => asBytes(crypto.createHash("sha256").update(bytes).digest());
