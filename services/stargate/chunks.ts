/**
 * Words that Stargate's rooms share: fingerprints, chunks in stored form, and the site's chunk space
 * as everything above the extent store sees it.
 */

import type { CodecId } from "../platform/codec.ts";

/** SHA-256 of a chunk's plain bytes, 32 bytes. The all-zero chunk has none. */
export type Fingerprint = Uint8Array;
/** The same as 64 hexadecimal digits: for maps and sets. */
export type FingerprintHex = string;

/** A chunk as it lies on disk and crosses the wire. */
export interface StoredChunk {
  readonly fingerprint: Fingerprint;
  readonly codec: CodecId;
  readonly rawLength: number;
  readonly stored: Uint8Array;
}

/** What a `store` found and did. */
export interface StoreOutcome {
  /** Chunks that every one of their CVMs had already. */
  readonly duplicateCount: number;
  /** Stored bytes of those. */
  readonly duplicateBytes: number;
}

/** Whether something is there: known to be, denied by everybody who could have it, or somebody did not answer. */
export type Presence = "yes" | "no" | "unknown";

/**
 * All chunks of the site, wherever they lie. Placement: rendezvous hashing of the fingerprint gives
 * every chunk its ordered list of CVMs; the first live ones hold it; a read walks the list.
 */
export interface ChunkSpace {
  /**
   * Plain bytes of chunks or nodes, in the order asked, verified, possibly from cache; not to be changed.
   * @throws AntipodeError when no reachable CVM has a good copy: `PEERS_UNAVAILABLE` (one that may have it does not
   * answer), `CHUNK_NOT_FOUND` (none of the site has it), `CHUNK_CORRUPT`
   */
  read(fingerprints: readonly Fingerprint[]): Promise<readonly Uint8Array[]>;
  /** The same in stored form, checked against its XXH64, for shipping. */
  readStored(fingerprints: readonly Fingerprint[]): Promise<readonly StoredChunk[]>;
  /**
   * Durable on `replicationFactor` live CVMs (all live ones when fewer) when it resolves. Storing what
   * exists costs a look-up. Fingerprints are trusted here: verify what comes from outside first.
   * @param expected "new" when the caller has just asked and knows that they are not there: then nobody
   * is asked again before they are sent. Being wrong costs the sending, nothing else.
   * @throws AntipodeError `PEERS_UNAVAILABLE`, `DISK_FULL`, `DISK_FAILED`
   */
  store(
    chunks: readonly StoredChunk[],
    replicationFactor: number,
    expected?: "new" | "unknown",
  ): Promise<StoreOutcome>;
  /** For each fingerprint: does every CVM that should hold it have it? One that does not answer has not. */
  present(
    fingerprints: readonly Fingerprint[],
    replicationFactor: number,
  ): Promise<readonly boolean[]>;
  /**
   * For each fingerprint: is a good copy anywhere at the site? "no" when every CVM has denied it or shown
   * rot; silence is no answer.
   */
  locate(fingerprints: readonly Fingerprint[]): Promise<readonly Presence[]>;
}
