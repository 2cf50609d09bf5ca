/**
 * Short interval lists by chunk: a map of extents, each an array of its 64 chunks. One map of all
 * chunks would be 64 times larger and miss the processor's caches at nearly every access.
 */

import type { Lsn } from "../../base/ids.ts";
import { NODE_FANOUT } from "../../base/units.ts";
import { cover, type Interval, removeUpTo } from "./intervals.ts";

interface Extent {
  /** One list a chunk; undefined or empty where there is nothing. */
  readonly chunks: (Interval[] | undefined)[];
  /** Intervals in all of them. */
  count: number;
}

export class ChunkBuckets {
  readonly #extents = new Map<number, Extent>();
  #count = 0;

  /** Intervals in all chunks. */
  get count(): number {
    return this.#count;
  }

  /** Lays an interval, which lies within the chunk, over what the chunk has. */
  cover(chunk: number, interval: Interval): void {
    const index = Math.floor(chunk / NODE_FANOUT);
    let extent = this.#extents.get(index);
    if (extent === undefined) {
      extent = { chunks: new Array<Interval[] | undefined>(NODE_FANOUT).fill(undefined), count: 0 };
      this.#extents.set(index, extent);
    }
    const list = extent.chunks[chunk % NODE_FANOUT];
    if (list === undefined) {
      extent.chunks[chunk % NODE_FANOUT] = [interval];
      this.#grow(extent, 1);
      return;
    }
    const before = list.length;
    cover(list, interval);
    this.#grow(extent, list.length - before);
  }

  /** The chunk's intervals in order, if it has any. */
  at(chunk: number): readonly Interval[] | undefined {
    return this.#extents.get(Math.floor(chunk / NODE_FANOUT))?.chunks[chunk % NODE_FANOUT];
  }

  /** Intervals of the chunks `first` to `last`, in order; cost by what there is, not by the range. */
  within(first: number, last: number): readonly Interval[] {
    const found: Interval[] = [];
    const firstExtent = Math.floor(first / NODE_FANOUT);
    const lastExtent = Math.floor(last / NODE_FANOUT);
    for (const index of this.#extentsWithin(firstExtent, lastExtent)) {
      const chunks = this.#extents.get(index)?.chunks ?? [];
      const from = index === firstExtent ? first % NODE_FANOUT : 0;
      const to = index === lastExtent ? last % NODE_FANOUT : NODE_FANOUT - 1;
      for (let i = from; i <= to; i++) for (const interval of chunks[i] ?? []) found.push(interval);
    }
    return found;
  }

  /** Removes what the chunk has from records up to `lsn`. */
  removeUpTo(chunk: number, lsn: Lsn): void {
    const index = Math.floor(chunk / NODE_FANOUT);
    const extent = this.#extents.get(index);
    const list = extent?.chunks[chunk % NODE_FANOUT];
    if (extent === undefined || list === undefined) return;
    const before = list.length;
    removeUpTo(list, lsn);
    this.#grow(extent, list.length - before);
    if (list.length === 0) extent.chunks[chunk % NODE_FANOUT] = undefined;
    if (extent.count === 0) this.#extents.delete(index);
  }

  #grow(extent: Extent, by: number): void {
    extent.count += by;
    this.#count += by;
  }

  /** Ascending: all of a short range, the filled ones of a long one. */
  #extentsWithin(first: number, last: number): readonly number[] {
    if (first === last) return [first];
    const count = last - first + 1;
    if (count <= this.#extents.size) return Array.from({ length: count }, (_, i) => first + i);
    const filled = [...this.#extents.keys()].filter((index) => index >= first && index <= last);
    return filled.sort((a, b) => a - b);
  }
}
