/**
 * Bytes that arrived in chunks and are taken in fields: the input side of a stream protocol. A field
 * that lies in one chunk is a view of it; only one that is split over chunks is copied.
 *
 * Who pushes bounds what is buffered: it stops reading the stream while it does not take.
 */

import { assert } from "./assert.ts";

export class ByteQueue {
  #chunks: Uint8Array[] = [];
  /** Index of the head in `#chunks`; what is before it has been taken. */
  #first = 0;
  #head: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#head.buffer);
  #at = 0;
  #length = 0;

  /** Bytes pushed and not taken yet. */
  get length(): number {
    return this.#length;
  }

  /** Appends a chunk, which must not change any more. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#length += chunk.length;
    if (this.#at === this.#head.length) this.#setHead(chunk);
    else this.#chunks.push(chunk);
  }

  /** True when `count` bytes are there; then they are in one piece, for `u16`, `u32` and `take`. */
  ensure(count: number): boolean {
    if (this.#head.length - this.#at >= count) return true;
    if (this.#length < count) return false;
    const joined = new Uint8Array(count);
    this.copyInto(joined, 0);
    this.#length += count;
    if (this.#at < this.#head.length) {
      // The rest of the head stays queued behind what was joined.
      const rest = this.#head.subarray(this.#at);
      if (this.#first > 0) this.#chunks[--this.#first] = rest;
      else this.#chunks.unshift(rest);
    }
    this.#setHead(joined);
    return true;
  }

  /** Unsigned 16 bits, big-endian, `at` bytes ahead; after `ensure`. */
  u16(at: number): number {
    return this.#view.getUint16(this.#at + at);
  }

  /** Unsigned 32 bits, big-endian, `at` bytes ahead; after `ensure`. */
  u32(at: number): number {
    return this.#view.getUint32(this.#at + at);
  }

  /** Takes `count` bytes as a view; after `ensure(count)`. */
  take(count: number): Uint8Array {
    assert(this.#head.length - this.#at >= count, "bytes to take are in one piece");
    const taken = this.#head.subarray(this.#at, this.#at + count);
    this.#advance(count);
    return taken;
  }

  /** True when the next `count` bytes lie in one chunk already. */
  isWhole(count: number): boolean {
    return this.#head.length - this.#at >= count;
  }

  /** Copies what is there to `target` from `start` until the target is full; says how many bytes. */
  copyInto(target: Uint8Array, start: number): number {
    let at = start;
    while (at < target.length && this.#length > 0) {
      const count = Math.min(this.#head.length - this.#at, target.length - at);
      target.set(this.#head.subarray(this.#at, this.#at + count), at);
      at += count;
      this.#advance(count);
    }
    return at - start;
  }

  /** Drops up to `count` bytes; says how many. */
  skip(count: number): number {
    let left = count;
    while (left > 0 && this.#length > 0) {
      const step = Math.min(this.#head.length - this.#at, left);
      this.#advance(step);
      left -= step;
    }
    return count - left;
  }

  #advance(count: number): void {
    this.#at += count;
    this.#length -= count;
    if (this.#at < this.#head.length) return;
    const next = this.#chunks[this.#first];
    if (next === undefined) return;
    this.#first += 1;
    if (this.#first === this.#chunks.length) {
      this.#chunks = [];
      this.#first = 0;
    }
    this.#setHead(next);
  }

  #setHead(chunk: Uint8Array): void {
    this.#head = chunk;
    this.#view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#at = 0;
  }
}
