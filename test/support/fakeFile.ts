/**
 * One file of the fake disk: what programs see (the page cache) and what a loss of power leaves.
 *
 * Unsynced changes are known by sector of 512 bytes. A failed sync drops them from the to-do list
 * without making them durable, as Linux does: the cache still shows the new bytes, and a later sync
 * succeeds although they never reached the disk.
 *
 * There is one array of bytes, the cache's. What the disk holds is the same, except in sectors that are
 * dirty or phantom, whose durable bytes are kept aside; zeros are kept as nothing, so a file that only
 * grows keeps nothing aside. Beyond the size the array is zeros.
 */

import { equalBytes } from "../../services/base/bytes.ts";
import type { Prng } from "../../services/base/prng.ts";

export const SECTOR_BYTES = 512;
/** The first array of a file; later ones are four times as large, then grow by steps. */
const ARRAY_BYTES_MIN = 16 * 1024;
const ARRAY_STEP_BYTES = 1024 * 1024;

/**
 * What a loss of power does to unsynced bytes and sizes: nothing of them arrived, all arrived, each
 * sector on its own did, did not or did in part, everything did up to some byte after the synced end,
 * or of each file only its last write did: a disk that wrote in the wrong order.
 */
export type CrashMode = "lost" | "kept" | "random" | "tornTail" | "newest";

/** Bytes of one file, cached and durable. Names of it live in the disk. */
export class FakeFile {
  /** A whole number of sectors. */
  #cached = new Uint8Array(0);
  #size = 0;
  #durableSize = 0;
  /** From here on the disk's bytes are zeros. */
  #durableEnd = 0;
  /** No sector beyond this byte is dirty. */
  #dirtyEnd = 0;
  readonly #dirty = new Set<number>();
  /** Sectors that the cache shows as nobody will ever write them to the disk. */
  readonly #phantom = new Set<number>();
  /** Durable bytes of dirty and phantom sectors where they are not all zeros. */
  readonly #aside = new Map<number, Uint8Array>();
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
    this.#reach(end);
    this.#touch(position, end);
    this.#cached.set(bytes, position);
    this.#newest = { from: position, to: end };
    this.#size = Math.max(this.#size, end);
  }

  /** A write that the disk acknowledges and forgets: only the cache knows of it, and the size. */
  writeToCacheOnly(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    this.#reach(end);
    // A sector is lost whole: also what an earlier unsynced write had put in it.
    for (const sector of sectorsOf(position, end)) {
      if (!this.#dirty.delete(sector)) this.#setAside(sector);
      this.#phantom.add(sector);
    }
    this.#cached.set(bytes, position);
    this.#size = Math.max(this.#size, end);
  }

  /** At least this long, with zeros where nothing was written. */
  growTo(sizeBytes: number): void {
    if (sizeBytes > this.#size) this.truncate(sizeBytes);
  }

  truncate(sizeBytes: number): void {
    this.#reach(sizeBytes);
    if (sizeBytes < this.#size) {
      this.#touch(sizeBytes, this.#size);
      this.#cached.fill(0, sizeBytes, this.#size);
    }
    this.#size = sizeBytes;
  }

  sync(): void {
    if (this.#aside.size > 0) for (const sector of this.#dirty) this.#aside.delete(sector);
    this.#dirty.clear();
    this.#durableEnd = Math.max(this.#durableEnd, this.#dirtyEnd);
    this.#dirtyEnd = 0;
    this.#newest = undefined;
    this.#setDurableSize(this.#size);
  }

  /** A sync that failed: what was unsynced will never be, and nobody is told again. */
  failSync(): void {
    for (const sector of this.#dirty) this.#phantom.add(sector);
    this.#dirty.clear();
    this.#dirtyEnd = 0;
    this.#newest = undefined;
  }

  /** Memory is short: clean pages are forgotten and read from the disk again. */
  dropCache(): void {
    for (const sector of [...this.#phantom]) {
      const from = sector * SECTOR_BYTES;
      const shown = Math.min(SECTOR_BYTES, this.#size - from);
      // Beyond the end nothing is shown; what the disk holds there stays aside.
      if (shown > 0) this.#cached.set(this.#durableOf(sector).subarray(0, shown), from);
      if (shown < SECTOR_BYTES) continue;
      this.#durableEnd = Math.max(this.#durableEnd, from + SECTOR_BYTES);
      this.#phantom.delete(sector);
      this.#aside.delete(sector);
    }
  }

  /** Loses power: from here on the file is what the disk holds. */
  crash(mode: CrashMode, prng: Prng): void {
    const oldDurableSize = this.#durableSize;
    if (mode === "kept") this.sync();
    else if (mode === "random") {
      for (const sector of [...this.#dirty]) this.#persistPartly(sector, prng);
      this.#durableSize = between(oldDurableSize, this.#size, prng);
    } else if (mode === "tornTail") {
      for (const sector of [...this.#dirty]) this.#persist(sector);
      this.#durableSize = between(oldDurableSize, this.#size, prng);
    } else if (mode === "newest" && this.#newest !== undefined) {
      const { from, to } = this.#newest;
      for (const sector of sectorsOf(from, Math.min(to, this.#size))) this.#persist(sector);
      this.#durableSize = Math.max(oldDurableSize, Math.min(to, this.#size));
    }
    for (const sectors of [this.#dirty, this.#phantom]) {
      for (const sector of sectors)
        this.#cached.set(this.#durableOf(sector), sector * SECTOR_BYTES);
      sectors.clear();
    }
    this.#aside.clear();
    this.#dirtyEnd = 0;
    this.#newest = undefined;
    this.#size = this.#durableSize;
    this.#reach(this.#size);
    this.#cached.fill(0, this.#size);
    this.#durableEnd = this.#size;
  }

  /**
   * Rot: changes a byte in the cache and on the disk alike.
   * @returns what puts the byte back, unless its sector was written since
   */
  corrupt(position: number, mask: number): () => void {
    const sector = Math.floor(position / SECTOR_BYTES);
    const from = sector * SECTOR_BYTES;
    const flip = (bytes: Uint8Array, at: number): void => {
      bytes[at] = (bytes[at] ?? 0) ^ mask;
    };
    const flipBoth = (): void => {
      this.#separate(position, position + 1);
      flip(this.#cached, position);
      if (position < this.#durableSize) flip(this.#durableOf(sector), position - from);
    };
    flipBoth();
    const damaged = this.#cached.slice(from, from + SECTOR_BYTES);
    let isUndone = false;
    return () => {
      const now = this.#cached.subarray(from, from + damaged.length);
      if (!isUndone && equalBytes(now, damaged)) flipBoth();
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
    this.#separate(position, end);
    const before = this.#readDurable(position, end);
    this.#writeDurable(position, damaged);
    if (shown === "now") this.#cached.set(damaged, position);
    let isUndone = false;
    return () => {
      if (isUndone) return;
      isUndone = true;
      this.#separate(position, end);
      if (equalBytes(this.#readDurable(position, end), damaged))
        this.#writeDurable(position, before);
      if (equalBytes(this.#cached.subarray(position, end), damaged))
        this.#cached.set(before, position);
    };
  }

  /** What a loss of all unsynced bytes would leave. */
  durableContent(): Uint8Array {
    return this.#readDurable(0, this.#durableSize);
  }

  /** The array holds so many bytes. */
  #reach(end: number): void {
    const { length } = this.#cached;
    if (end <= length) return;
    const wanted = length + Math.max(ARRAY_BYTES_MIN, Math.min(3 * length, ARRAY_STEP_BYTES));
    const larger = new Uint8Array(Math.ceil(Math.max(end, wanted) / SECTOR_BYTES) * SECTOR_BYTES);
    larger.set(this.#cached);
    this.#cached = larger;
  }

  /** Before bytes change: their sectors are dirty, and what the disk holds of them is kept. */
  #touch(from: number, to: number): void {
    const first = Math.floor(from / SECTOR_BYTES);
    // Nothing is kept of what the disk has as zeros: of all that a journal appends.
    const kept = Math.min(to, this.#durableEnd);
    if (first * SECTOR_BYTES < kept) this.#setAsideClean(first, Math.ceil(kept / SECTOR_BYTES));
    for (let sector = first; sector * SECTOR_BYTES < to; sector++) {
      if (this.#phantom.size > 0) this.#phantom.delete(sector);
      this.#dirty.add(sector);
    }
    this.#dirtyEnd = Math.max(this.#dirtyEnd, to);
  }

  /** One copy for all of them: a sector that is overwritten has neighbours that are too. */
  #setAsideClean(first: number, end: number): void {
    const start = first * SECTOR_BYTES;
    const copy = this.#cached.slice(start, end * SECTOR_BYTES);
    for (let sector = first; sector < end; sector++) {
      if (this.#dirty.has(sector) || this.#phantom.has(sector)) continue;
      const at = sector * SECTOR_BYTES - start;
      this.#aside.set(sector, copy.subarray(at, at + SECTOR_BYTES));
    }
  }

  /** Of a sector that is as on the disk. */
  #setAside(sector: number): void {
    if (this.#phantom.has(sector)) return;
    const from = sector * SECTOR_BYTES;
    if (from < this.#durableEnd)
      this.#aside.set(sector, this.#cached.slice(from, from + SECTOR_BYTES));
  }

  /** From now on cache and disk can differ there. */
  #separate(from: number, to: number): void {
    for (const sector of sectorsOf(from, to)) {
      if (this.#dirty.has(sector)) continue;
      this.#setAside(sector);
      this.#phantom.add(sector);
    }
  }

  /** The disk's bytes of a dirty or phantom sector, to be read or changed. */
  #durableOf(sector: number): Uint8Array {
    const known = this.#aside.get(sector);
    if (known !== undefined) return known;
    const zeros = new Uint8Array(SECTOR_BYTES);
    this.#aside.set(sector, zeros);
    return zeros;
  }

  #readDurable(from: number, to: number): Uint8Array {
    const content = new Uint8Array(to - from);
    content.set(this.#cached.subarray(from, to));
    for (const sectors of [this.#dirty, this.#phantom])
      for (const sector of sectors) {
        const start = sector * SECTOR_BYTES;
        const [first, last] = [Math.max(from, start), Math.min(to, start + SECTOR_BYTES)];
        if (last > first)
          content.set(this.#durableOf(sector).subarray(first - start, last - start), first - from);
      }
    return content;
  }

  /** Into sectors that are dirty or phantom. */
  #writeDurable(from: number, bytes: Uint8Array): void {
    const to = from + bytes.length;
    for (const sector of sectorsOf(from, to)) {
      const start = sector * SECTOR_BYTES;
      const [first, last] = [Math.max(from, start), Math.min(to, start + SECTOR_BYTES)];
      this.#durableOf(sector).set(bytes.subarray(first - from, last - from), first - start);
    }
  }

  /** The sector is on the disk as the cache shows it. */
  #persist(sector: number): void {
    this.#dirty.delete(sector);
    this.#phantom.delete(sector);
    this.#aside.delete(sector);
  }

  #persistPartly(sector: number, prng: Prng): void {
    const fate = prng.below(3);
    if (fate === 0) this.#persist(sector);
    else if (fate === 1) {
      const from = sector * SECTOR_BYTES;
      const length = prng.below(SECTOR_BYTES);
      this.#durableOf(sector).set(this.#cached.subarray(from, from + length));
    }
  }

  #setDurableSize(sizeBytes: number): void {
    // What lies beyond the end is nothing: a file that grows again shows zeros there.
    for (const [sector, bytes] of this.#aside) {
      const from = sector * SECTOR_BYTES;
      if (from + SECTOR_BYTES > sizeBytes) bytes.fill(0, Math.max(0, sizeBytes - from));
    }
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

/** A whole number from the smaller to the larger of both, each included. */
function between(a: number, b: number, prng: Prng): number {
  return Math.min(a, b) + prng.below(Math.abs(a - b) + 1);
}
