/**
 * A batch: what one write and one sync make durable. Pure: it decides what goes together and lays it
 * out as header pieces and the callers' own data arrays, so that record data are never copied.
 */

import type { Codec } from "../../platform/codec.ts";
import { ENTRY_HEADER_BYTES, entryBytes, type NewEntry, writeEntryHeader } from "./entry.ts";
import type { Segment } from "./segment.ts";

/**
 * Ordinals of a life of a vDisk begin at its first segment's sequence times this: two lives never
 * share one, so an old life that comes back with its files is never taken for the present one. Up to
 * 2^29 segments (32 PiB of log) ordinals are safe integers.
 */
export const ORDINALS_A_LIFE = 2 ** 24;

/** The numbering of one vDisk's entries. */
export interface Slot {
  /** Ordinal of the last entry laid out; 0 when there is none. */
  ordinal: number;
}

/** A change of one replica: entries that are written together, in order. */
export interface Submission {
  readonly slot: Slot;
  readonly entries: readonly NewEntry[];
  /** The entries are synced; the i-th lies at `positions[i]`. */
  readonly commit: (positions: readonly number[], segment: Segment) => void;
  /** They are not, and never will be. */
  readonly undo: () => void;
}

/** A submission in the queue, with who waits for it. */
export interface Waiting {
  readonly submission: Submission;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface Batch {
  readonly hints: readonly Submission[];
  readonly waiting: readonly Waiting[];
  readonly bytes: number;
  readonly waitingBytes: number;
  /** Numbering before this batch, in the order in which it was advanced. */
  readonly ordinalsBefore: (readonly [Slot, number])[];
}

/** The hints, and from the queue's front as much as fits; at least one submission. */
export function formBatch(
  hints: readonly Submission[],
  queue: readonly Waiting[],
  bytesMax: number,
): Batch {
  let hintBytes = 0;
  for (const { entries } of hints)
    for (const { data } of entries) hintBytes += entryBytes(data.length);
  let waitingBytes = 0;
  let count = 0;
  for (const { bytes } of queue) {
    if (count > 0 && waitingBytes + bytes > bytesMax) break;
    waitingBytes += bytes;
    count += 1;
  }
  const waiting = queue.slice(0, count);
  return { hints, waiting, bytes: hintBytes + waitingBytes, waitingBytes, ordinalsBefore: [] };
}

export interface LaidOut {
  /** What to write, one after the other. */
  readonly parts: readonly Uint8Array[];
  /** Each submission with the positions of its entries. */
  readonly placed: readonly (readonly [Submission, readonly number[]])[];
}

/** Numbers the entries and gives the bytes of the batch at a position. */
export function layOut(
  codec: Codec,
  batch: Batch,
  at: { readonly position: number; readonly seed: bigint; readonly sequence: number },
): LaidOut {
  const submissions = [...batch.hints, ...batch.waiting.map(({ submission }) => submission)];
  let arenaBytes = 0;
  for (const { entries } of submissions)
    for (const { data } of entries) arenaBytes += entryBytes(data.length) - data.length;
  const arena = new Uint8Array(arenaBytes);
  const view = new DataView(arena.buffer);
  const parts: Uint8Array[] = [];
  const placed: (readonly [Submission, readonly number[]])[] = [];
  let position = at.position;
  // [pieceStart, arenaAt) of the arena is not in `parts` yet: padding and the headers behind it.
  let pieceStart = 0;
  let arenaAt = 0;
  for (const submission of submissions) {
    const { slot, entries } = submission;
    batch.ordinalsBefore.push([slot, slot.ordinal]);
    const positions: number[] = [];
    for (const entry of entries) {
      const isFirst = slot.ordinal === 0;
      slot.ordinal = (isFirst ? at.sequence * ORDINALS_A_LIFE : slot.ordinal) + 1;
      const { ordinal } = slot;
      const place = { position, seed: at.seed, batchStart: at.position, ordinal, isFirst };
      writeEntryHeader(codec, entry, place, view, arenaAt);
      // A vDisk that comes back after it was forgotten is a new one.
      if (entry.kind === "forget") slot.ordinal = 0;
      positions.push(position);
      arenaAt += ENTRY_HEADER_BYTES;
      const whole = entryBytes(entry.data.length);
      if (entry.data.length > 0) {
        parts.push(arena.subarray(pieceStart, arenaAt), entry.data);
        pieceStart = arenaAt;
        arenaAt += whole - ENTRY_HEADER_BYTES - entry.data.length;
      }
      position += whole;
    }
    placed.push([submission, positions]);
  }
  if (arenaAt > pieceStart) parts.push(arena.subarray(pieceStart, arenaAt));
  return { parts, placed };
}

/** The batch was not written: its numbers are given again. */
export function revertOrdinals(batch: Batch): void {
  for (const [slot, ordinal] of batch.ordinalsBefore.toReversed()) slot.ordinal = ordinal;
}
