/**
 * Reads a segment back, entry by entry, and says what can be believed.
 *
 * Why a bad entry is sometimes the end and sometimes damage: only the last batch of the newest
 * segment can be unsynced. Every entry names the start of its batch, and a batch is written only when
 * the one before is synced; so everything before the largest batch start found was synced, and is
 * damaged if it does not pass. From there on the first bad entry is the torn end of the log.
 * (Rot in the last synced batch looks the same as a torn end; a clean close writes one more batch.)
 */

import type { Codec } from "../../platform/codec.ts";
import type { DiskFile } from "../../platform/disk.ts";
import {
  ENTRY_ALIGN_BYTES,
  ENTRY_HEADER_BYTES,
  ENTRY_MAGIC,
  type EntryHeader,
  entryBytes,
  isDataIntact,
  readEntryHeader,
} from "./entry.ts";

/** One step of a scan, in order of position. */
export type ScanItem =
  | {
      readonly kind: "entry";
      readonly header: EntryHeader;
      readonly position: number;
      /** Did the data pass their check? */
      readonly intact: boolean;
    }
  /** Bytes that are no entries: whatever was here, of any vDisk, is lost. */
  | { readonly kind: "lost"; readonly position: number };

export interface ScanRequest {
  readonly codec: Codec;
  readonly file: DiskFile;
  readonly seed: bigint;
  readonly from: number;
  /** Exclusive. */
  readonly end: number;
}

const WINDOW_BYTES = 1024 * 1024;

/** Every entry with a good header in [from, end), with the gaps between them; the bytes after the last entry are no item. */
export async function scanSegment(request: ScanRequest): Promise<readonly ScanItem[]> {
  const { codec, seed, end } = request;
  const window = new Window(request.file, end);
  const items: ScanItem[] = [];
  let at = request.from;
  while (at + ENTRY_HEADER_BYTES <= end) {
    const place = { position: at, seed };
    const header = readEntryHeader(codec, await window.bytes(at, ENTRY_HEADER_BYTES), place);
    if (header === undefined || at + entryBytes(header.dataLength) > end) {
      const next = await findHeader(request, window, at + ENTRY_ALIGN_BYTES);
      if (next === undefined) break;
      items.push({ kind: "lost", position: at });
      at = next;
      continue;
    }
    const data = await window.bytes(at + ENTRY_HEADER_BYTES, header.dataLength);
    items.push({
      kind: "entry",
      header,
      position: at,
      intact: isDataIntact(codec, header, data, place),
    });
    at += entryBytes(header.dataLength);
  }
  return items;
}

/** Position behind the last entry of a scan. */
export function endOfScan(items: readonly ScanItem[], from: number): number {
  const last = items.at(-1);
  return last?.kind === "entry" ? last.position + entryBytes(last.header.dataLength) : from;
}

/** A segment whose end the next one names: all before it was synced, nothing behind it counts. */
export function believeSealed(
  items: readonly ScanItem[],
  from: number,
  sealedEnd: number,
): readonly ScanItem[] {
  const believed = items.filter((item) => item.position < sealedEnd);
  const end = endOfScan(believed, from);
  return end < sealedEnd && believed.at(-1)?.kind !== "lost"
    ? [...believed, { kind: "lost", position: end }]
    : believed;
}

/** Everything before this was synced: the last batch begins here. */
export function syncedEndOf(items: readonly ScanItem[]): number {
  let syncedEnd = 0;
  for (const item of items)
    if (item.kind === "entry") syncedEnd = Math.max(syncedEnd, item.header.batchStart);
  return syncedEnd;
}

/** The newest segment: up to the first bad entry that was not proven to be synced. */
export function believeNewest(items: readonly ScanItem[]): readonly ScanItem[] {
  const syncedEnd = syncedEndOf(items);
  const torn = items.findIndex(
    (item) => item.position >= syncedEnd && (item.kind === "lost" || !item.intact),
  );
  return torn < 0 ? items : items.slice(0, torn);
}

async function findHeader(
  request: ScanRequest,
  window: Window,
  from: number,
): Promise<number | undefined> {
  const { codec, seed, end } = request;
  for (let at = from; at + ENTRY_HEADER_BYTES <= end; ) {
    const bytes = await window.atLeast(at, ENTRY_HEADER_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const last = Math.min(bytes.length, end - at) - ENTRY_HEADER_BYTES;
    let i = 0;
    for (; i <= last; i += ENTRY_ALIGN_BYTES) {
      if (view.getUint32(i, true) !== ENTRY_MAGIC) continue;
      const header = readEntryHeader(codec, bytes.subarray(i), { position: at + i, seed });
      if (header !== undefined && at + i + entryBytes(header.dataLength) <= end) return at + i;
    }
    at += i;
  }
  return undefined;
}

/** A moving window over the file, so that a scan reads each byte about once, and 1 MiB at a time. */
class Window {
  readonly #file: DiskFile;
  readonly #end: number;
  #start = 0;
  #held: Uint8Array = new Uint8Array(0);

  constructor(file: DiskFile, end: number) {
    this.#file = file;
    this.#end = end;
  }

  /** Exactly these bytes; zeros where the file has ended since. */
  async bytes(position: number, length: number): Promise<Uint8Array> {
    const from = await this.atLeast(position, length);
    return from.subarray(0, length);
  }

  /** From `position` on, `length` bytes or more. */
  async atLeast(position: number, length: number): Promise<Uint8Array> {
    if (position < this.#start || position + length > this.#start + this.#held.length) {
      const wanted = Math.min(Math.max(length, WINDOW_BYTES), this.#end - position);
      const read = await this.#file.read(position, wanted);
      this.#held = read.length >= length ? read : padded(read, length);
      this.#start = position;
    }
    return this.#held.subarray(position - this.#start);
  }
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const whole = new Uint8Array(length);
  whole.set(bytes);
  return whole;
}
