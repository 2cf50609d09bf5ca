/**
 * The overlay: which undrained record has the newest bytes of each range of a vDisk.
 *
 * Two layers. *Fine*: for each chunk the few intervals inside it, so that a small write touches one
 * short list however many there are; chunks are also what the drain works on.
 * *Coarse*: one sorted list for records of more than `FINE_CHUNKS_MAX` chunks, so that zeroing 1 TiB
 * is one interval and not 64 million. LSNs ascend, so neither layer has to know of the other: a look
 * takes the newer of both.
 *
 * Forgetting follows a queue of the records in order of LSN: each record is visited once, in the
 * chunks that it touched; the cost is that of having applied it, never that of the whole map.
 */

import { assert, present } from "../../base/assert.ts";
import { isAllZero } from "../../base/bytes.ts";
import { type Lsn, lsn } from "../../base/ids.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import type { OplogRecord } from "../oplog/contracts.ts";
import { ChunkBuckets } from "./chunkBuckets.ts";
import {
  type Applied,
  cover,
  firstEndingAfter,
  type Interval,
  type RunSink,
  removeUpTo,
  walkNewest,
} from "./intervals.ts";
import type { Overlay, OverlayRun, OverlaySource } from "./overlayContract.ts";

/** A record that touches more chunks than this is coarse: 256 KiB, so that its list stays short. */
const FINE_CHUNKS_MAX = 16;
/** The queue's front is compacted when this many of its slots are empty, and they are most of it. */
const COMPACT_SLOTS_MIN = 1024;
const NO_FINGERPRINTS = new Uint8Array(0);
const NOTHING: readonly Interval[] = [];
const BELOW: OverlaySource = { kind: "below" };

/** An empty overlay. */
export function createOverlay(): Overlay {
  return new ChunkedOverlay();
}

class ChunkedOverlay implements Overlay {
  readonly #fine = new ChunkBuckets();
  readonly #coarse: Interval[] = [];
  /** Records that are not forgotten, in order; those before the head are gone. */
  #queue: Applied[] = [];
  #queueHead = 0;
  #lastLsn = lsn(0);

  apply(record: OplogRecord): void {
    assert(record.lsn > this.#lastLsn, "records are applied in order");
    this.#lastLsn = record.lsn;
    if (record.kind === "marker" || record.lengthBytes === 0) return;
    const { kind, offsetBytes: start, lengthBytes } = record;
    const end = start + lengthBytes;
    // A copy: the record's data may be a small part of a large network buffer.
    const fingerprints = kind === "chunks" ? record.data.slice() : NO_FINGERPRINTS;
    if (kind === "chunks")
      assert(
        start % CHUNK_SIZE_BYTES === 0 &&
          fingerprints.length * (CHUNK_SIZE_BYTES / FINGERPRINT_SIZE_BYTES) === lengthBytes,
        "a chunks record has one fingerprint for each aligned chunk",
      );
    const applied: Applied = { lsn: record.lsn, kind, start, end, fingerprints };
    this.#queue.push(applied);
    if (isCoarse(applied)) cover(this.#coarse, { start, end, from: applied });
    else this.#applyFine(applied);
  }

  look(offsetBytes: number, lengthBytes: number): readonly OverlayRun[] {
    const range = { start: offsetBytes, end: offsetBytes + lengthBytes };
    const runs = new Runs();
    const first = chunkOf(range.start);
    const last = chunkOf(range.end - 1);
    const fine =
      first === last ? (this.#fine.at(first) ?? NOTHING) : this.#fine.within(first, last);
    walkNewest(range, { fine, coarse: this.#coarse }, runs);
    return runs.finish();
  }

  forget(upTo: Lsn): void {
    for (; this.#queueHead < this.#queue.length; this.#queueHead++) {
      const applied = present(this.#queue[this.#queueHead], "a slot behind the head is filled");
      if (applied.lsn > upTo) break;
      if (isCoarse(applied)) this.#forgetCoarse(applied, upTo);
      else this.#forgetFine(applied, upTo);
    }
    const isMostlyGone = this.#queueHead * 2 >= this.#queue.length;
    if (this.#queueHead < COMPACT_SLOTS_MIN || !isMostlyGone) return;
    this.#queue = this.#queue.slice(this.#queueHead);
    this.#queueHead = 0;
  }

  size(): number {
    return this.#fine.count + this.#coarse.length;
  }

  #applyFine(applied: Applied): void {
    const { start, end } = applied;
    for (let chunk = chunkOf(start); chunk <= chunkOf(end - 1); chunk++) {
      const chunkStart = chunk * CHUNK_SIZE_BYTES;
      const interval = {
        start: Math.max(start, chunkStart),
        end: Math.min(end, chunkStart + CHUNK_SIZE_BYTES),
        from: applied,
      };
      this.#fine.cover(chunk, interval);
    }
  }

  #forgetFine(applied: Applied, upTo: Lsn): void {
    for (let chunk = chunkOf(applied.start); chunk <= chunkOf(applied.end - 1); chunk++)
      this.#fine.removeUpTo(chunk, upTo);
  }

  #forgetCoarse(applied: Applied, upTo: Lsn): void {
    const from = firstEndingAfter(this.#coarse, applied.start);
    let to = from;
    while ((this.#coarse[to]?.start ?? applied.end) < applied.end) to += 1;
    removeUpTo(this.#coarse, upTo, from, to);
  }
}

/** Collects runs, joining neighbours that go on in the same source. */
class Runs implements RunSink {
  readonly #runs: OverlayRun[] = [];
  #start = 0;
  #end = 0;
  #from: Applied | undefined;

  add(start: number, end: number, from: Applied | undefined): void {
    if (this.#end === start && this.#from === from && start > this.#start) {
      this.#end = end;
      return;
    }
    this.#flush();
    this.#start = start;
    this.#end = end;
    this.#from = from;
  }

  finish(): readonly OverlayRun[] {
    this.#flush();
    return this.#runs;
  }

  #flush(): void {
    if (this.#end <= this.#start) return;
    if (this.#from?.kind === "chunks") this.#flushChunks(this.#from);
    else this.#push(this.#start, this.#end, sourceOf(this.#from, this.#start));
  }

  /** Each chunk has its own fingerprint, so each is a run. */
  #flushChunks(from: Applied): void {
    for (let at = this.#start; at < this.#end; ) {
      const chunkStart = chunkOf(at) * CHUNK_SIZE_BYTES;
      const end = Math.min(this.#end, chunkStart + CHUNK_SIZE_BYTES);
      const index = ((chunkStart - from.start) / CHUNK_SIZE_BYTES) * FINGERPRINT_SIZE_BYTES;
      const fingerprint = from.fingerprints.subarray(index, index + FINGERPRINT_SIZE_BYTES);
      this.#push(
        at,
        end,
        isAllZero(fingerprint)
          ? { kind: "zero", lsn: from.lsn }
          : { kind: "chunk", lsn: from.lsn, fingerprint, skip: at - chunkStart },
      );
      at = end;
    }
  }

  #push(start: number, end: number, source: OverlaySource): void {
    this.#runs.push({ offsetBytes: start, lengthBytes: end - start, source });
  }
}

function sourceOf(from: Applied | undefined, at: number): OverlaySource {
  if (from === undefined) return BELOW;
  if (from.kind === "zero") return { kind: "zero", lsn: from.lsn };
  return { kind: "record", lsn: from.lsn, skip: at - from.start };
}

function chunkOf(offsetBytes: number): number {
  return Math.floor(offsetBytes / CHUNK_SIZE_BYTES);
}

function isCoarse({ start, end }: Applied): boolean {
  return chunkOf(end - 1) - chunkOf(start) >= FINE_CHUNKS_MAX;
}
