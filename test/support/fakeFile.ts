/**
 * One file of the fake disk: what programs see (the page cache) and what a loss of power leaves.
 *
 * Unsynced changes are known by sector of 512 bytes. A failed sync drops them from the to-do list
 * without making them durable, as Linux does: the cache still shows the new bytes, and a later sync
 * succeeds although they never reached the disk.
 */

import type { Prng } from "../../services/base/prng.ts";

export const SECTOR_BYTES = 512;

/**
 * What a loss of power does to unsynced bytes and sizes: nothing of them arrived, all arrived, each
 * sector on its own did, did not or did in part, everything did up to some byte after the synced end,
 * or of each file only its last write did: a disk that wrote in the wrong order.
 */
export type CrashMode = "lost" | "kept" | "random" | "tornTail" | "newest";

/** Bytes of one file, cached and durable. Names of it live in the disk. */
export class FakeFile {
  #cached = new Uint8Array(0);
  #durable = new Uint8Array(0);
  #size = 0;
  #durableSize = 0;
  /** From here on the disk's bytes are zeros. */
  #durableEnd = 0;
  readonly #dirty = new Set<number>();
  /** Sectors that the cache shows as nobody will ever write them to the disk. */
  readonly #phantom = new Set<number>();
  /** Where the last unsynced write lies, in bytes. */
  #newest: { readonly from: number; readonly to: number } | undefined;

  get sizeBytes(): number {
    return this.#size;
  }

  read(position: number, length: number): Uint8Array {
    const end = Math.min(position + length, this.#size);
    return end <= position ? new Uint8Array(0) : this.#cached.slice(position, end);
  }

  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    if (end > this.#cached.length) this.#cached = grown(this.#cached, end);
    this.#cached.set(bytes, position);
    this.#touch(position, end);
    this.#newest = { from: position, to: end };
    this.#size = Math.max(this.#size, end);
  }

  /** A write that the disk acknowledges and forgets: only the cache knows of it, and the size. */
  writeToCacheOnly(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    if (end > this.#cached.length) this.#cached = grown(this.#cached, end);
    this.#cached.set(bytes, position);
    // A sector is lost whole: also what an earlier unsynced write had put in it.
    for (const sector of sectorsOf(position, end)) {
      this.#dirty.delete(sector);
      this.#phantom.add(sector);
    }
    this.#size = Math.max(this.#size, end);
  }

  /** At least this long, with zeros where nothing was written. */
  growTo(sizeBytes: number): void {
    if (sizeBytes > this.#size) this.truncate(sizeBytes);
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes > this.#cached.length) this.#cached = grown(this.#cached, sizeBytes);
    if (sizeBytes < this.#size) {
      this.#cached.fill(0, sizeBytes, this.#size);
      this.#touch(sizeBytes, this.#size);
    }
    this.#size = sizeBytes;
  }

  sync(): void {
    this.#persistDirty();
    this.#dirty.clear();
    this.#newest = undefined;
    this.#setDurableSize(this.#size);
  }

  /** A sync that failed: what was unsynced will never be, and nobody is told again. */
  failSync(): void {
    for (const sector of this.#dirty) this.#phantom.add(sector);
    this.#dirty.clear();
    this.#newest = undefined;
  }

  /** Memory is short: clean pages are forgotten and read from the disk again. */
  dropCache(): void {
    for (const sector of this.#phantom) {
      const from = sector * SECTOR_BYTES;
      const to = Math.min(from + SECTOR_BYTES, this.#cached.length);
      if (to <= from) continue;
      this.#cached.fill(0, from, to);
      this.#cached.set(this.#durable.subarray(from, Math.min(to, this.#durable.length)), from);
    }
    this.#phantom.clear();
  }

  /** Loses power: from here on the file is what the disk holds. */
  crash(mode: CrashMode, prng: Prng): void {
    const oldDurableSize = this.#durableSize;
    if (mode === "kept") this.sync();
    else if (mode === "random") {
      for (const sector of this.#dirty) this.#persistPartly(sector, prng);
      this.#setDurableSize(between(oldDurableSize, this.#size, prng));
    } else if (mode === "tornTail") {
      this.#persistDirty();
      this.#setDurableSize(between(oldDurableSize, this.#size, prng));
    } else if (mode === "newest" && this.#newest !== undefined) {
      const { from, to } = this.#newest;
      for (const sector of sectorsOf(from, Math.min(to, this.#size)))
        this.#persist(sector, SECTOR_BYTES);
      this.#setDurableSize(Math.max(oldDurableSize, Math.min(to, this.#size)));
    }
    this.#dirty.clear();
    this.#phantom.clear();
    this.#newest = undefined;
    this.#size = this.#durableSize;
    this.#cached = this.#durable.slice(0, this.#size);
    this.#durable = this.#cached.slice();
    this.#durableEnd = this.#size;
  }

  /**
   * Rot: changes a byte in the cache and on the disk alike.
   * @returns what puts the byte back, unless its sector was written since
   */
  corrupt(position: number, mask: number): () => void {
    const flip = (bytes: Uint8Array): void => {
      if (position < bytes.length) bytes[position] = (bytes[position] ?? 0) ^ mask;
    };
    const flipBoth = (): void => {
      flip(this.#cached);
      flip(this.#durable);
    };
    const from = position - (position % SECTOR_BYTES);
    this.#durableEnd = Math.max(this.#durableEnd, position + 1);
    flipBoth();
    const damaged = this.#cached.slice(from, from + SECTOR_BYTES);
    let isUndone = false;
    return () => {
      const now = this.#cached.subarray(from, from + damaged.length);
      if (!isUndone && now.every((byte, i) => byte === damaged[i])) flipBoth();
      isUndone = true;
    };
  }

  /**
   * Other bytes lie there than were written: in both places, or on the disk only, where they show when
   * the cache is dropped or power fails. Nothing is done beyond the end of the file.
   * @returns what puts the bytes back where nobody has written since
   */
  damage(position: number, bytes: Uint8Array, shown: "now" | "later"): () => void {
    const end = Math.min(position + bytes.length, this.#size, this.#durableSize);
    if (end <= position) return () => undefined;
    const damaged = bytes.slice(0, end - position);
    const before = this.#durable.slice(position, end);
    this.#durable.set(damaged, position);
    this.#durableEnd = Math.max(this.#durableEnd, end);
    if (shown === "now") this.#cached.set(damaged, position);
    else for (const sector of sectorsOf(position, end)) this.#phantom.add(sector);
    let isUndone = false;
    return () => {
      if (isUndone) return;
      isUndone = true;
      for (const place of [this.#cached, this.#durable]) {
        const now = place.subarray(position, end);
        if (now.length === damaged.length && now.every((byte, i) => byte === damaged[i]))
          now.set(before);
      }
    };
  }

  /** What a loss of all unsynced bytes would leave. */
  durableContent(): Uint8Array {
    const content = new Uint8Array(this.#durableSize);
    content.set(this.#durable.subarray(0, this.#durableSize));
    return content;
  }

  #touch(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++) {
      this.#dirty.add(sector);
      if (this.#phantom.size > 0) this.#phantom.delete(sector);
    }
  }

  /** Neighbours in one copy: a sync of a journal is one run of sectors. */
  #persistDirty(): void {
    let first = 0;
    let next = 0;
    for (const sector of this.#dirty) {
      if (sector !== next) {
        this.#persist(first, (next - first) * SECTOR_BYTES);
        first = sector;
      }
      next = sector + 1;
    }
    this.#persist(first, (next - first) * SECTOR_BYTES);
  }

  /** Puts `length` bytes from a sector's first on the disk. */
  #persist(sector: number, length: number): void {
    const from = sector * SECTOR_BYTES;
    const to = Math.min(from + length, this.#cached.length);
    if (to <= from) return;
    if (to > this.#durable.length) this.#durable = grown(this.#durable, to);
    this.#durable.set(this.#cached.subarray(from, to), from);
    this.#durableEnd = Math.max(this.#durableEnd, to);
  }

  #persistPartly(sector: number, prng: Prng): void {
    const fate = prng.below(3);
    if (fate === 0) this.#persist(sector, SECTOR_BYTES);
    else if (fate === 1) this.#persist(sector, prng.below(SECTOR_BYTES));
  }

  #setDurableSize(sizeBytes: number): void {
    if (sizeBytes > this.#durable.length) this.#durable = grown(this.#durable, sizeBytes);
    // What lies beyond the end is nothing: a file that grows again shows zeros there.
    if (this.#durableEnd > sizeBytes) this.#durable.fill(0, sizeBytes, this.#durableEnd);
    this.#durableEnd = Math.min(this.#durableEnd, sizeBytes);
    this.#durableSize = sizeBytes;
  }
}

function sectorsOf(from: number, to: number): readonly number[] {
  const sectors: number[] = [];
  for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++)
    sectors.push(sector);
  return sectors;
}

function grown(bytes: Uint8Array<ArrayBuffer>, atLeast: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(atLeast, bytes.length * 2));
  larger.set(bytes);
  return larger;
}

/** A whole number from the smaller to the larger of both, each included. */
function between(a: number, b: number, prng: Prng): number {
  return Math.min(a, b) + prng.below(Math.abs(a - b) + 1);
}
