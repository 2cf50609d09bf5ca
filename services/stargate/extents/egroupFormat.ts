/**
 * The bytes of an egroup file, as services/docs/FORMAT.md describes them: a header, then chunk records
 * one after the other, each at a multiple of 8 bytes. Pure: bytes in, facts out.
 *
 * Every checksum is XXH64 with a seed made of the place: site incarnation, CVM, egroup id and offset.
 * So bytes that are sound by themselves but lie at the wrong place (a misdirected write, a file of
 * another CVM) or at the wrong time (a stale sector) fail their check like flipped bits do. The header
 * of a record covers the fingerprint and the checksum of the stored bytes, so none of them can be
 * exchanged for another's.
 */

import { assert } from "../../base/assert.ts";
import { fromHex, readU64, toHex, viewOf, writeU64 } from "../../base/bytes.ts";
import { FINGERPRINT_SIZE_BYTES, KIB } from "../../base/units.ts";
import { type Codec, type CodecId, codecLz4, codecPlain } from "../../platform/codec.ts";
import type { StoredChunk } from "../chunks.ts";

/** Version of the egroup file as a whole. */
export const EGROUP_FORMAT_VERSION = 1;
export const EGROUP_HEADER_BYTES = 64;
export const RECORD_HEADER_BYTES = 80;
/** Records begin at multiples of this. */
export const RECORD_ALIGN_BYTES = 8;
/** Chunks are 16 KiB and block-map nodes are smaller: four times that bounds what a bad length can ask for. */
export const CHUNK_RAW_BYTES_MAX = 64 * KIB;

/** "APEGROUP" */
const EGROUP_MAGIC = Uint8Array.from([0x41, 0x50, 0x45, 0x47, 0x52, 0x4f, 0x55, 0x50]);
/** "EXRC" read as a little-endian integer. */
export const RECORD_MAGIC = 0x43525845;
const RECORD_VERSION = 1;
const INCARNATION_BYTES = 16;
const EGROUP_CHECK_AT = 56;
const RECORD_STORED_CHECK_AT = 64;
const RECORD_HEADER_CHECK_AT = 72;

/** Whose files these are. */
export interface StoreIdentity {
  /** 32 hexadecimal digits. */
  readonly siteIncarnation: string;
  readonly cvm: number;
}

/** What the header of a record says; every field was covered by a checksum that held. */
export interface RecordHeader {
  readonly fingerprint: Uint8Array;
  readonly codec: CodecId;
  readonly rawLength: number;
  readonly storedLength: number;
  /** Generation of the store when the record was written (garbage collection). */
  readonly generation: number;
  /** Where the group commit began that wrote this record: everything before was synced by then. */
  readonly groupOffset: number;
  readonly storedCheck: bigint;
}

/** What the first bytes of a file turned out to be. */
export type EgroupHeaderCheck =
  | { readonly kind: "ours" }
  | { readonly kind: "damaged" }
  | { readonly kind: "foreign"; readonly siteIncarnation: string; readonly cvm: number }
  | { readonly kind: "unsupported"; readonly version: number };

/** Bytes of file that a record with this many stored bytes takes. */
export function recordSpan(storedLength: number): number {
  const end = RECORD_HEADER_BYTES + storedLength;
  return end + ((RECORD_ALIGN_BYTES - (end % RECORD_ALIGN_BYTES)) % RECORD_ALIGN_BYTES);
}

/** True when a chunk's lengths and codec can be stored at all. */
export function isStorable(chunk: StoredChunk): boolean {
  const { codec, rawLength, stored } = chunk;
  if (chunk.fingerprint.length !== FINGERPRINT_SIZE_BYTES) return false;
  return areLengthsSound(codec, rawLength, stored.length);
}

function areLengthsSound(codec: number, rawLength: number, storedLength: number): boolean {
  if (!Number.isInteger(rawLength) || rawLength < 1 || rawLength > CHUNK_RAW_BYTES_MAX)
    return false;
  if (codec === codecPlain) return storedLength === rawLength;
  return codec === codecLz4 && storedLength > 0 && storedLength < rawLength;
}

/** Seed of everything in one egroup. */
export function egroupSeed(codec: Codec, identity: StoreIdentity, egroup: number): bigint {
  const bytes = new Uint8Array(INCARNATION_BYTES + 4 + 8);
  bytes.set(incarnationBytes(identity), 0);
  const view = viewOf(bytes);
  view.setUint32(INCARNATION_BYTES, identity.cvm, true);
  writeU64(view, INCARNATION_BYTES + 4, egroup);
  return codec.xxh64(bytes, 0n);
}

/** The 64 bytes that a file of this identity and id begins with. */
export function encodeEgroupHeader(
  codec: Codec,
  identity: StoreIdentity,
  egroup: number,
): Uint8Array {
  const bytes = new Uint8Array(EGROUP_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(EGROUP_MAGIC, 0);
  view.setUint32(8, EGROUP_FORMAT_VERSION, true);
  view.setUint32(12, identity.cvm, true);
  bytes.set(incarnationBytes(identity), 16);
  writeU64(view, 32, egroup);
  view.setBigUint64(EGROUP_CHECK_AT, codec.xxh64(bytes.subarray(0, EGROUP_CHECK_AT), 0n), true);
  return bytes;
}

/** Compares the first bytes of a file with what they must be. */
export function checkEgroupHeader(
  codec: Codec,
  identity: StoreIdentity,
  egroup: number,
  bytes: Uint8Array,
): EgroupHeaderCheck {
  if (bytes.length < EGROUP_HEADER_BYTES) return { kind: "damaged" };
  const view = viewOf(bytes);
  if (EGROUP_MAGIC.some((byte, i) => bytes[i] !== byte)) return { kind: "damaged" };
  const check = codec.xxh64(bytes.subarray(0, EGROUP_CHECK_AT), 0n);
  if (view.getBigUint64(EGROUP_CHECK_AT, true) !== check) return { kind: "damaged" };
  const version = view.getUint32(8, true);
  if (version !== EGROUP_FORMAT_VERSION) return { kind: "unsupported", version };
  const cvm = view.getUint32(12, true);
  const siteIncarnation = toHex(bytes.subarray(16, 32));
  const isOurs =
    cvm === identity.cvm &&
    siteIncarnation === toHex(incarnationBytes(identity)) &&
    readU64(view, 32) === egroup;
  return isOurs ? { kind: "ours" } : { kind: "foreign", siteIncarnation, cvm };
}

/** Where a record lies, for its checksums. */
export interface RecordPlace {
  readonly seed: bigint;
  readonly offset: number;
}

/** Bytes with a view of all of them: records are many, a view for each would be most of their cost. */
export interface RecordBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const placeSeed = (place: RecordPlace): bigint => place.seed ^ BigInt(place.offset);

/** What the writer adds to a chunk. */
export interface RecordStamp {
  readonly generation: number;
  readonly groupOffset: number;
}

/**
 * Writes a record's header into `out` at `at`.
 * @param out has `RECORD_HEADER_BYTES` zero bytes from `at`
 */
export function writeRecordHeader(
  codec: Codec,
  place: RecordPlace,
  chunk: StoredChunk,
  stamp: RecordStamp,
  out: RecordBytes,
  at: number,
): void {
  assert(isStorable(chunk), "a chunk to be written has sound lengths");
  assert(place.offset % RECORD_ALIGN_BYTES === 0, "a record begins at a multiple of 8");
  const { bytes, view } = out;
  view.setUint32(at, RECORD_MAGIC, true);
  view.setUint8(at + 4, RECORD_VERSION);
  view.setUint8(at + 5, chunk.codec);
  view.setUint32(at + 8, chunk.rawLength, true);
  view.setUint32(at + 12, chunk.stored.length, true);
  writeU64(view, at + 16, stamp.generation);
  writeU64(view, at + 24, stamp.groupOffset);
  bytes.set(chunk.fingerprint, at + 32);
  const seed = placeSeed(place);
  view.setBigUint64(at + RECORD_STORED_CHECK_AT, codec.xxh64(chunk.stored, seed), true);
  const check = codec.xxh64(bytes.subarray(at, at + RECORD_HEADER_CHECK_AT), seed);
  view.setBigUint64(at + RECORD_HEADER_CHECK_AT, check, true);
}

/** The header at `at`, or `undefined` when what is there is no sound header of this place. */
export function readRecordHeader(
  codec: Codec,
  place: RecordPlace,
  { bytes, view }: RecordBytes,
  at: number,
): RecordHeader | undefined {
  if (bytes.length - at < RECORD_HEADER_BYTES) return undefined;
  if (view.getUint32(at, true) !== RECORD_MAGIC) return undefined;
  const checked = bytes.subarray(at, at + RECORD_HEADER_CHECK_AT);
  const check = codec.xxh64(checked, placeSeed(place));
  if (view.getBigUint64(at + RECORD_HEADER_CHECK_AT, true) !== check) return undefined;
  const codecId = view.getUint8(at + 5);
  const rawLength = view.getUint32(at + 8, true);
  const storedLength = view.getUint32(at + 12, true);
  if (view.getUint8(at + 4) !== RECORD_VERSION || view.getUint16(at + 6, true) !== 0)
    return undefined;
  if (!areLengthsSound(codecId, rawLength, storedLength)) return undefined;
  return {
    fingerprint: bytes.slice(at + 32, at + 32 + FINGERPRINT_SIZE_BYTES),
    codec: codecId === codecLz4 ? codecLz4 : codecPlain,
    rawLength,
    storedLength,
    generation: readU64(view, at + 16),
    groupOffset: readU64(view, at + 24),
    storedCheck: view.getBigUint64(at + RECORD_STORED_CHECK_AT, true),
  };
}

/** True when these are the bytes that the record at this place was written with. */
export function isStoredSound(
  codec: Codec,
  place: RecordPlace,
  header: RecordHeader,
  stored: Uint8Array,
): boolean {
  if (stored.length !== header.storedLength) return false;
  return codec.xxh64(stored, placeSeed(place)) === header.storedCheck;
}

/** File name of an egroup; names sort as ids do. */
export function egroupFileName(egroup: number): string {
  return `${egroup.toString().padStart(12, "0")}.egroup`;
}

/** The id in a file name, or `undefined` when it is not an egroup's. */
export function egroupOfFileName(name: string): number | undefined {
  const digits = /^(\d{12})\.egroup$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function incarnationBytes(identity: StoreIdentity): Uint8Array {
  const bytes = fromHex(identity.siteIncarnation);
  assert(
    bytes !== undefined && bytes.length === INCARNATION_BYTES,
    "a site incarnation is 32 hexadecimal digits",
  );
  return bytes;
}
