/**
 * Plain bytes of recently used chunks and nodes, bounded in bytes; the least recently used go first.
 * Content-addressed, so an entry is never stale.
 */

import type { FingerprintKey } from "../blockmap/fingerprints.ts";

/** What an entry costs beside its bytes: key, map entry, array header. */
const ENTRY_OVERHEAD_BYTES = 256;

/** See the file's header. */
export class ChunkCache {
  readonly #bytesMax: number;
  /** In order of last use. */
  readonly #entries = new Map<FingerprintKey, Uint8Array>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: FingerprintKey): Uint8Array | undefined {
    const raw = this.#entries.get(key);
    if (raw === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, raw);
    return raw;
  }

  /** @param raw not a view of something much larger: the whole buffer stays in memory */
  add(key: FingerprintKey, raw: Uint8Array): void {
    if (this.#entries.has(key)) return;
    this.#entries.set(key, raw);
    this.#bytes += raw.length + ENTRY_OVERHEAD_BYTES;
    for (const [oldest, bytes] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#entries.delete(oldest);
      this.#bytes -= bytes.length + ENTRY_OVERHEAD_BYTES;
    }
  }
}
