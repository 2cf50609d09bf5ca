/**
 * A site's chunk space in memory, with the contract of ChunkSpace: what is read is checked, what is
 * stored is there when the promise resolves and not before. Tests lose and rot chunks in it, hold
 * its answers back, and count what was asked of it.
 */

import { toHex } from "../../services/base/bytes.ts";
import { AntipodeError } from "../../services/base/errors.ts";
import { CHUNK_SIZE_BYTES } from "../../services/base/units.ts";
import { type Codec, codecLz4, codecPlain } from "../../services/platform/codec.ts";
import type {
  ChunkSpace,
  Fingerprint,
  FingerprintHex,
  StoredChunk,
} from "../../services/stargate/chunks.ts";

export interface MemoryChunkSpace extends ChunkSpace {
  readonly chunks: Map<FingerprintHex, StoredChunk>;
  /** How often what was asked for, in fingerprints; `storeCalls` in calls. */
  readonly counts: {
    nodesRead: number;
    chunksRead: number;
    stored: number;
    storeCalls: number;
    asked: number;
  };
  /** Puts a plain chunk in, compressed where that is smaller; `undefined` for an all-zero one. */
  put(raw: Uint8Array): Fingerprint | undefined;
  lose(fingerprint: Fingerprint): void;
  /** Flips a bit of the stored bytes: reading it fails its check, as on a disk. */
  rot(fingerprint: Fingerprint): void;
  /** Every `store` waits for this before it takes effect; for tests of order and of crashes. */
  beforeStore: (chunks: readonly StoredChunk[]) => Promise<void>;
}

/** An empty space. */
export function createMemoryChunkSpace(codec: Codec): MemoryChunkSpace {
  const chunks = new Map<FingerprintHex, StoredChunk>();
  const rotten = new Set<FingerprintHex>();
  const counts = { nodesRead: 0, chunksRead: 0, stored: 0, storeCalls: 0, asked: 0 };

  const find = (fingerprint: Fingerprint): StoredChunk => {
    const name = toHex(fingerprint);
    const chunk = chunks.get(name);
    if (chunk === undefined)
      throw new AntipodeError("CHUNK_NOT_FOUND", "no copy of a chunk", { fingerprint: name });
    if (rotten.has(name))
      throw new AntipodeError("CHUNK_CORRUPT", "no good copy of a chunk", { fingerprint: name });
    counts[chunk.rawLength === CHUNK_SIZE_BYTES ? "chunksRead" : "nodesRead"] += 1;
    return chunk;
  };

  const space: MemoryChunkSpace = {
    chunks,
    counts,
    beforeStore: () => Promise.resolve(),
    put(raw) {
      if (raw.every((byte) => byte === 0)) return undefined;
      const fingerprint = codec.sha256(raw);
      const packed = codec.compress(raw);
      chunks.set(toHex(fingerprint), {
        fingerprint,
        codec: packed === undefined ? codecPlain : codecLz4,
        rawLength: raw.length,
        stored: packed ?? raw.slice(),
      });
      return fingerprint;
    },
    lose: (fingerprint) => void chunks.delete(toHex(fingerprint)),
    rot: (fingerprint) => void rotten.add(toHex(fingerprint)),
    read: (fingerprints) =>
      Promise.resolve().then(() => fingerprints.map((f) => plainOf(codec, find(f)))),
    readStored: (fingerprints) => Promise.resolve().then(() => fingerprints.map(find)),
    async store(added) {
      counts.storeCalls += 1;
      const copies = added.map((chunk) => ({ ...chunk, stored: chunk.stored.slice() }));
      await space.beforeStore(added);
      let duplicateCount = 0;
      let duplicateBytes = 0;
      for (const chunk of copies) {
        const name = toHex(chunk.fingerprint);
        if (chunks.has(name)) {
          duplicateCount += 1;
          duplicateBytes += chunk.stored.length;
          continue;
        }
        chunks.set(name, { ...chunk, fingerprint: chunk.fingerprint.slice() });
        counts.stored += 1;
      }
      return { duplicateCount, duplicateBytes };
    },
    present: (fingerprints) =>
      Promise.resolve().then(() => {
        counts.asked += fingerprints.length;
        return fingerprints.map((f) => chunks.has(toHex(f)));
      }),
    locate: (fingerprints) =>
      Promise.resolve(
        fingerprints.map((f) => (chunks.has(toHex(f)) && !rotten.has(toHex(f)) ? "yes" : "no")),
      ),
  };
  return space;
}

/** Plain bytes of a stored chunk. */
function plainOf(codec: Codec, chunk: StoredChunk): Uint8Array {
  return chunk.codec === codecLz4 ? codec.decompress(chunk.stored, chunk.rawLength) : chunk.stored;
}
