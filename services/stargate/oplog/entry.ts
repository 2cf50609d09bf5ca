/**
 * The entry: one thing that the journal remembers, as bytes. FORMAT.md, section "Oplog", describes
 * every byte; this file is the only one that knows them.
 *
 * Two checksums an entry. The header's covers the header with the data's checksum in it, so that an
 * entry whose data rotted still says whose it was and where the next one begins. Both are seeded
 * with the segment's seed (identity and sequence) plus the entry's position: bytes of another
 * segment, of an earlier life of a recycled file, or from another place never pass.
 */

import { assert, present } from "../../base/assert.ts";
import { readU64, toHex, writeU64 } from "../../base/bytes.ts";
import { type Epoch, epoch, type Lsn, lsn, type VdiskId, vdiskId } from "../../base/ids.ts";
import type { Codec } from "../../platform/codec.ts";
import type { RecordKind } from "./contracts.ts";

/** Every entry begins with a header of this size and is padded with zeros to a multiple of 8. */
export const ENTRY_HEADER_BYTES = 88;
/** Entries begin at multiples of this. */
export const ENTRY_ALIGN_BYTES = 8;
/** "OPLE" in the order of the file. */
export const ENTRY_MAGIC = 0x454c504f;
/** Largest data of one entry: twice the 32 MiB that a block client may send at once. */
const ENTRY_DATA_BYTES_MAX = 64 * 1024 * 1024;

const ID_BYTES = 16;
const CHECKED_BYTES = ENTRY_HEADER_BYTES - 8;
const FLAG_DAMAGED = 1;
const FLAG_FIRST = 2;

/** Kinds of entries; the place in the list is the number on disk. */
const KINDS = [
  "none",
  "write",
  "zero",
  "chunks",
  "marker",
  "promise",
  "truncate",
  "reset",
  "trim",
  "forget",
  "checkpoint",
  "close",
] as const;
export type EntryKind = Exclude<(typeof KINDS)[number], "none">;
const NUMBERS = new Map<string, number>(KINDS.map((kind, number) => [kind, number]));
const RECORD_KINDS: ReadonlySet<string> = new Set<RecordKind>([
  "write",
  "zero",
  "chunks",
  "marker",
]);

/**
 * An entry's fields. Where they are not a record's:
 * promise: epoch. truncate: epoch, lsn = last one kept. reset: epoch, lsn = base. trim: lsn = drained.
 * checkpoint: epoch = promised, lsn = last, offset = drained, length = epoch of the last record,
 * ordinal = that of the vDisk's last entry before. forget: nothing. close: nothing, and no vDisk.
 */
export interface EntryFields {
  readonly kind: EntryKind;
  /** Counts the entries of this vDisk without gap, from a number that no other life of it has: proves that none was lost. */
  readonly ordinal: number;
  readonly epoch: Epoch;
  readonly lsn: Lsn;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** checkpoint only: what came after `lsn` is unknown. */
  readonly damaged: boolean;
}

/** An entry to write; the journal gives it its ordinal. */
export interface NewEntry extends Omit<EntryFields, "ordinal"> {
  /** The vDisk's id as bytes. */
  readonly idBytes: Uint8Array;
  readonly data: Uint8Array;
}

/** A header that passed its check; its data lie behind it and are not looked at yet. */
export interface EntryHeader extends EntryFields {
  readonly vdiskId: VdiskId;
  /** The first entry of this vDisk here, or the first since it was forgotten. */
  readonly isFirst: boolean;
  readonly dataLength: number;
  readonly dataXxh64: bigint;
  /** Position of the first entry that was written in one go with this one: all before it is synced. */
  readonly batchStart: number;
}

/** Where and under which seed an entry is written or read. */
export interface EntryPlace {
  readonly position: number;
  readonly seed: bigint;
}

/** What the journal adds to an entry when it is written. */
export interface NewEntryPlace extends EntryPlace {
  readonly batchStart: number;
  readonly ordinal: number;
  readonly isFirst: boolean;
}

/** Bytes that an entry with so much data takes in a segment. */
export function entryBytes(dataLength: number): number {
  return Math.ceil((ENTRY_HEADER_BYTES + dataLength) / ENTRY_ALIGN_BYTES) * ENTRY_ALIGN_BYTES;
}

/** Is an entry of this kind one of the vDisk's records? */
export function isRecordKind(kind: EntryKind): kind is RecordKind {
  return RECORD_KINDS.has(kind);
}

/** Writes the header of `entry` into `view` at `at`; in the segment the data follow it. */
export function writeEntryHeader(
  codec: Codec,
  entry: NewEntry,
  place: NewEntryPlace,
  view: DataView,
  at: number,
): void {
  assert(place.position % ENTRY_ALIGN_BYTES === 0, "an entry lies at a multiple of 8");
  assert(entry.data.length <= ENTRY_DATA_BYTES_MAX, "an entry's data are within their maximum");
  assert(entry.idBytes.length === ID_BYTES, "a vDisk's id has 16 bytes");
  const checked = new Uint8Array(view.buffer, view.byteOffset + at, CHECKED_BYTES);
  const seed = seedAt(place);
  const flags = (entry.damaged ? FLAG_DAMAGED : 0) | (place.isFirst ? FLAG_FIRST : 0);
  view.setUint32(at, ENTRY_MAGIC, true);
  view.setUint16(at + 4, present(NUMBERS.get(entry.kind), "a kind has a number"), true);
  view.setUint16(at + 6, flags, true);
  view.setUint32(at + 8, entry.data.length, true);
  view.setUint32(at + 12, place.batchStart, true);
  checked.set(entry.idBytes, 16);
  writeU64(view, at + 32, place.ordinal);
  writeU64(view, at + 40, entry.epoch);
  writeU64(view, at + 48, entry.lsn);
  writeU64(view, at + 56, entry.offsetBytes);
  writeU64(view, at + 64, entry.lengthBytes);
  view.setBigUint64(at + 72, checksumOf(codec, entry.data, seed), true);
  view.setBigUint64(at + 80, codec.xxh64(checked, seed), true);
}

/** The header at the start of `bytes`, or `undefined` when there is none that passes its check. */
export function readEntryHeader(
  codec: Codec,
  bytes: Uint8Array,
  place: EntryPlace,
): EntryHeader | undefined {
  if (bytes.length < ENTRY_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, ENTRY_HEADER_BYTES);
  if (view.getUint32(0, true) !== ENTRY_MAGIC) return undefined;
  const checked = codec.xxh64(bytes.subarray(0, CHECKED_BYTES), seedAt(place));
  if (checked !== view.getBigUint64(80, true)) return undefined;
  const kind = KINDS[view.getUint16(4, true)];
  assert(kind !== undefined && kind !== "none", "an entry of this version has a known kind");
  return {
    kind,
    damaged: (view.getUint16(6, true) & FLAG_DAMAGED) !== 0,
    isFirst: (view.getUint16(6, true) & FLAG_FIRST) !== 0,
    dataLength: view.getUint32(8, true),
    batchStart: view.getUint32(12, true),
    vdiskId: vdiskId(toHex(bytes.subarray(16, 16 + ID_BYTES))),
    ordinal: readU64(view, 32),
    epoch: epoch(readU64(view, 40)),
    lsn: lsn(readU64(view, 48)),
    offsetBytes: readU64(view, 56),
    lengthBytes: readU64(view, 64),
    dataXxh64: view.getBigUint64(72, true),
  };
}

/** Are these the data that the header was written with? */
export function isDataIntact(
  codec: Codec,
  header: EntryHeader,
  data: Uint8Array,
  place: EntryPlace,
): boolean {
  return (
    data.length === header.dataLength && checksumOf(codec, data, seedAt(place)) === header.dataXxh64
  );
}

function seedAt(place: EntryPlace): bigint {
  return BigInt.asUintN(64, place.seed + BigInt(place.position));
}

/** No data have checksum 0: markers and promises need no second pass. */
function checksumOf(codec: Codec, data: Uint8Array, seed: bigint): bigint {
  return data.length === 0 ? 0n : codec.xxh64(data, seed);
}
