/**
 * The segment file's name and first 128 bytes. A segment names the one before it and where that one
 * ends: what lies before that end was synced (a bad entry there is damage), what lies behind was
 * given up (a batch that met a full disk) and is never read. So recovery never guesses about any
 * segment but the newest.
 *
 * Behind the header come `checkpointCount` checkpoint entries, the state of every replica; header and
 * checkpoint are synced before anything else is written. A newest segment without a whole head is
 * therefore an interrupted start and holds nothing.
 */

import { readU64, utf8, viewOf, writeU64 } from "../../base/bytes.ts";
import type { Codec } from "../../platform/codec.ts";

export const SEGMENT_HEADER_BYTES = 128;
export const OPLOG_FORMAT_VERSION = 1;

const MAGIC = utf8("ANTPOPLG");
const CHECKED_BYTES = SEGMENT_HEADER_BYTES - 8;
const SUFFIX = ".oplog";
const NAME_DIGITS = 16;

export interface SegmentHeader {
  readonly version: number;
  readonly sequence: number;
  /** Sequence of the segment before, 0 when there is none. */
  readonly previousSequence: number;
  /** Where the entries of the segment before end. */
  readonly previousEnd: number;
  readonly checkpointCount: number;
  /** XXH64 of the identity of the CVM's incarnation. */
  readonly identityXxh64: bigint;
}

/** File name of a segment: 16 digits, so that names sort as sequences. */
export function segmentName(sequence: number): string {
  return `${String(sequence).padStart(NAME_DIGITS, "0")}${SUFFIX}`;
}

/** The sequence that a file name stands for, or `undefined` when it is no segment's. */
export function sequenceOf(name: string): number | undefined {
  const match = /^(\d{16})\.oplog$/.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** XXH64 of an identity, as headers carry it. */
export function identityChecksum(codec: Codec, identity: string): bigint {
  return codec.xxh64(utf8(identity), 0n);
}

/** What the checksums of a segment's entries are seeded with. */
export function segmentSeed(codec: Codec, identity: string, sequence: number): bigint {
  return codec.xxh64(utf8(identity), BigInt(sequence));
}

/** The 128 bytes. */
export function encodeSegmentHeader(codec: Codec, header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC, 0);
  view.setUint32(8, header.version, true);
  view.setUint32(12, SEGMENT_HEADER_BYTES, true);
  writeU64(view, 16, header.sequence);
  writeU64(view, 24, header.previousSequence);
  writeU64(view, 32, header.previousEnd);
  view.setUint32(40, header.checkpointCount, true);
  view.setBigUint64(48, header.identityXxh64, true);
  const checksum = codec.xxh64(bytes.subarray(0, CHECKED_BYTES), BigInt(header.sequence));
  view.setBigUint64(CHECKED_BYTES, checksum, true);
  return bytes;
}

/**
 * Reads a header.
 * @param sequence what the file's name says; another one in the header fails the check
 * @returns `undefined` when the bytes are no header of this segment
 */
export function decodeSegmentHeader(
  codec: Codec,
  bytes: Uint8Array,
  sequence: number,
): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const checksum = codec.xxh64(bytes.subarray(0, CHECKED_BYTES), BigInt(sequence));
  if (view.getBigUint64(CHECKED_BYTES, true) !== checksum) return undefined;
  return {
    version: view.getUint32(8, true),
    sequence: readU64(view, 16),
    previousSequence: readU64(view, 24),
    previousEnd: readU64(view, 32),
    checkpointCount: view.getUint32(40, true),
    identityXxh64: view.getBigUint64(48, true),
  };
}
