/**
 * One file of the fake disk: what programs see (the page cache) and what a loss of power leaves.
 *
 * Unsynced changes are known by sector of 512 bytes. A failed sync drops them from the to-do list
 * without making them durable, as Linux does: the cache still shows the new bytes, and a later sync
 * succeeds although they never reached the disk.
 */

import type { Prng } from "../../services/base/prng.ts";

const SECTOR_BYTES = 512;

/**
 * What a loss of power does to unsynced bytes and sizes: nothing of them arrived, all arrived, each
 * sector on its own did, did not or did in part, or everything did up to some byte after the synced end.
 */
export type CrashMode = "lost" | "kept" | "random" | "tornTail";

/** Bytes of one file, cached and durable. Names of it live in the disk. */
export class FakeFile {
  #cached = new Uint8Array(0);
  #durable = new Uint8Array(0);
  #size = 0;
  #durableSize = 0;
  readonly #dirty = new Set<number>();

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
    this.#size = Math.max(this.#size, end);
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
    for (const sector of this.#dirty) this.#persist(sector, SECTOR_BYTES);
    this.#dirty.clear();
    this.#setDurableSize(this.#size);
  }

  /** A sync that failed: what was unsynced will never be, and nobody is told again. */
  failSync(): void {
    this.#dirty.clear();
  }

  /** Loses power: from here on the file is what the disk holds. */
  crash(mode: CrashMode, prng: Prng): void {
    const oldDurableSize = this.#durableSize;
    if (mode === "kept") this.sync();
    else if (mode === "random") {
      for (const sector of this.#dirty) this.#persistPartly(sector, prng);
      this.#setDurableSize(between(oldDurableSize, this.#size, prng));
    } else if (mode === "tornTail") {
      for (const sector of this.#dirty) this.#persist(sector, SECTOR_BYTES);
      this.#setDurableSize(between(oldDurableSize, this.#size, prng));
    }
    this.#dirty.clear();
    this.#size = this.#durableSize;
    this.#cached = this.#durable.slice(0, this.#size);
    this.#durable = this.#cached.slice();
  }

  /** Rot: changes bytes in the cache and on the disk alike. */
  corrupt(position: number, mask: number): void {
    const flip = (bytes: Uint8Array): void => {
      if (position < bytes.length) bytes[position] = (bytes[position] ?? 0) ^ mask;
    };
    flip(this.#cached);
    flip(this.#durable);
  }

  /** What a loss of all unsynced bytes would leave. */
  durableContent(): Uint8Array {
    const content = new Uint8Array(this.#durableSize);
    content.set(this.#durable.subarray(0, this.#durableSize));
    return content;
  }

  #touch(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++)
      this.#dirty.add(sector);
  }

  /** Puts the first `length` bytes of a sector on the disk. */
  #persist(sector: number, length: number): void {
    const from = sector * SECTOR_BYTES;
    const to = Math.min(from + length, this.#cached.length);
    if (to <= from) return;
    if (to > this.#durable.length) this.#durable = grown(this.#durable, to);
    this.#durable.set(this.#cached.subarray(from, to), from);
  }

  #persistPartly(sector: number, prng: Prng): void {
    const fate = prng.below(3);
    if (fate === 0) this.#persist(sector, SECTOR_BYTES);
    else if (fate === 1) this.#persist(sector, prng.below(SECTOR_BYTES));
  }

  #setDurableSize(sizeBytes: number): void {
    if (sizeBytes > this.#durable.length) this.#durable = grown(this.#durable, sizeBytes);
    // What lies beyond the end is nothing: a file that grows again shows zeros there.
    this.#durable.fill(0, sizeBytes);
    this.#durableSize = sizeBytes;
  }
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
