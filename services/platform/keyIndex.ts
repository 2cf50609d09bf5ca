/**
 * Port: an ordered local key-value index (LMDB in adapters/keyIndex.ts). It may lose its newest
 * batches in a crash but is never torn: what it holds is a prefix of the batches written. Whoever
 * uses it can rebuild the rest from files that are synced.
 */

export interface IndexWrite {
  readonly key: Uint8Array;
  /** `undefined` removes the key. */
  readonly value: Uint8Array | undefined;
}

export interface KeyIndex {
  /** Sees every batch whose `write` was called, at once; so do `entries` and `count`. */
  get(key: Uint8Array): Uint8Array | undefined;
  /**
   * Applies all writes together; resolves when they would survive a crash of the process. Keys have
   * 1 to 511 bytes, and must not change until it settles. Rejects with AntipodeError `DISK_FULL` or `DISK_FAILED`; nothing is applied then.
   */
  write(batch: readonly IndexWrite[]): Promise<void>;
  /** Entries from `from` (inclusive) in byte order of the key. */
  entries(from: Uint8Array): Iterable<readonly [Uint8Array, Uint8Array]>;
  /** Number of keys; may be off by the batches under way. */
  count(): number;
  /** Resolves when everything written would survive a power loss. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface KeyIndexes {
  /**
   * Opens or creates the index in this folder of the disk's root.
   * @throws AntipodeError `DISK_FAILED` when what is there is no index: destroy it and rebuild
   */
  open(folder: string): Promise<KeyIndex>;
  /** Throws the folder's index away, so that it is rebuilt. */
  destroy(folder: string): Promise<void>;
}
