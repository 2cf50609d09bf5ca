/**
 * A sorted list of byte ranges that do not overlap, each with the record it came from: the part of the
 * overlay that is plain interval arithmetic.
 */

import type { Lsn } from "../../base/ids.ts";

/** A record as the overlay remembers it: its range and what its bytes are, never the bytes. */
export interface Applied {
  readonly lsn: Lsn;
  readonly kind: "write" | "zero" | "chunks";
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** chunks: 32 bytes a chunk; else empty. */
  readonly fingerprints: Uint8Array;
}

/** A range of bytes whose newest source is `from`. */
export interface Interval {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly from: Applied;
}

/** Lists up to this long are searched from the front: most buckets hold a handful. */
const LINEAR_MAX = 8;

/** Index of the first interval that ends after `at`. */
export function firstEndingAfter(list: readonly Interval[], at: number): number {
  let low = 0;
  if (list.length <= LINEAR_MAX) {
    for (const interval of list) {
      if (interval.end > at) return low;
      low += 1;
    }
    return low;
  }
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.end ?? 0) > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Lays an interval over the list: what it covers goes, what sticks out stays. */
export function cover(list: Interval[], over: Interval): void {
  const first = firstEndingAfter(list, over.start);
  const left = list[first];
  if (left === undefined || left.start >= over.end) {
    if (first === list.length) list.push(over);
    else list.splice(first, 0, over);
    return;
  }
  if (left.start === over.start && left.end === over.end) {
    list[first] = over;
    return;
  }
  let after = first;
  let right = left;
  for (let next = list[after]; next !== undefined && next.start < over.end; next = list[after]) {
    right = next;
    after += 1;
  }
  const pieces: Interval[] = [];
  if (left.start < over.start) pieces.push({ start: left.start, end: over.start, from: left.from });
  pieces.push(over);
  if (right.end > over.end) pieces.push({ start: over.end, end: right.end, from: right.from });
  list.splice(first, after - first, ...pieces);
}

/** Removes intervals of records up to `lsn` between indexes `from` and `to` (exclusive). */
export function removeUpTo(list: Interval[], lsn: Lsn, from = 0, to = list.length): void {
  let kept = from;
  for (let i = from; i < to; i++) {
    const interval = list[i];
    if (interval !== undefined && interval.from.lsn > lsn) list[kept++] = interval;
  }
  if (kept < to) list.splice(kept, to - kept);
}

/** Takes the pieces of a walk. */
export interface RunSink {
  /** @param from the record that has these bytes; undefined when none has */
  add(start: number, end: number, from: Applied | undefined): void;
}

/**
 * Walks a range over two lists at once and names the newer source of every piece.
 * @param sink gets pieces that cover [start, end) in order
 */
export function walkNewest(
  range: { readonly start: number; readonly end: number },
  lists: { readonly fine: readonly Interval[]; readonly coarse: readonly Interval[] },
  sink: RunSink,
): void {
  let at = range.start;
  let fineAt = 0;
  let coarseAt = firstEndingAfter(lists.coarse, range.start);
  while (at < range.end) {
    while ((lists.fine[fineAt]?.end ?? range.end) <= at) fineAt += 1;
    while ((lists.coarse[coarseAt]?.end ?? range.end) <= at) coarseAt += 1;
    const fine = lists.fine[fineAt];
    const coarse = lists.coarse[coarseAt];
    const end = Math.min(range.end, boundary(fine, at), boundary(coarse, at));
    const inFine = fine !== undefined && fine.start <= at ? fine.from : undefined;
    const inCoarse = coarse !== undefined && coarse.start <= at ? coarse.from : undefined;
    sink.add(at, end, newer(inFine, inCoarse));
    at = end;
  }
}

/** Where the next change of this interval lies, seen from `at`. */
function boundary(interval: Interval | undefined, at: number): number {
  if (interval === undefined) return Number.POSITIVE_INFINITY;
  return interval.start > at ? interval.start : interval.end;
}

function newer(a: Applied | undefined, b: Applied | undefined): Applied | undefined {
  if (a === undefined) return b;
  return b === undefined || a.lsn > b.lsn ? a : b;
}
