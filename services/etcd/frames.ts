/**
 * The framing of the embedded server's files. A frame is what one sync made durable:
 *
 *   offset size
 *        0    4  "EWL1": the last digit is the version of the format
 *        4    4  length of the payload, little endian
 *        8    8  sequence, little endian; frames of a log are dense
 *       16    8  XXH64 of the payload, seeded with the XXH64 of bytes 0 to 15
 *       24    …  payload: a batch of records (records.ts)
 *
 * A frame is written only after the frame before it was synced. So a damaged frame with a good one
 * after it was durable once: that is corruption. A damaged frame with nothing good after it is the
 * torn end of a write that nobody was told of, and is cut off.
 */

import { readU64, viewOf, writeU64 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { Codec } from "../platform/codec.ts";

export type Checksum = Pick<Codec, "xxh64">;

const HEADER_BYTES = 24;
const CHECKED_BYTES = 16;
/** Above the largest state that a core accepts in one batch; a longer frame is damage. */
const PAYLOAD_BYTES_MAX = 512 * MIB;
const MAGIC = [0x45, 0x57, 0x4c] as const;
const VERSION = 0x31;

/** Header and payload, to be written one after the other. */
export function encodeFrame(
  checksum: Checksum,
  sequence: number,
  payload: Uint8Array,
): readonly [Uint8Array, Uint8Array] {
  const header = new Uint8Array(HEADER_BYTES);
  const view = viewOf(header);
  header.set([...MAGIC, VERSION]);
  view.setUint32(4, payload.length, true);
  writeU64(view, 8, sequence);
  view.setBigUint64(16, sumOf(checksum, header, payload), true);
  return [header, payload];
}

/** Bytes that a payload takes in a file. */
export function frameBytes(payload: Uint8Array): number {
  return HEADER_BYTES + payload.length;
}

export interface Frame {
  readonly sequence: number;
  readonly payload: Uint8Array;
  /** Where the next frame begins. */
  readonly endBytes: number;
}

/** The good frames of a file, and whether something that is no frame follows them. */
export interface Scan {
  readonly frames: readonly Frame[];
  readonly endBytes: number;
  readonly torn: boolean;
}

/**
 * Reads a file of frames.
 * @param firstSequence what the first frame must carry
 * @throws AntipodeError `COORDINATOR_CORRUPT` when a damaged frame is followed by a good one,
 *   `FORMAT_UNSUPPORTED` when another version wrote the file
 */
export function scanFrames(
  checksum: Checksum,
  file: { readonly path: string; readonly bytes: Uint8Array },
  firstSequence: number,
): Scan {
  const frames: Frame[] = [];
  let at = 0;
  let sequence = firstSequence;
  for (;;) {
    const frame = frameAt(checksum, file.bytes, at);
    if (frame === undefined || frame.sequence !== sequence) break;
    frames.push(frame);
    at = frame.endBytes;
    sequence += 1;
  }
  const torn = at < file.bytes.length;
  if (torn) refuseDamage(checksum, file, at, sequence);
  return { frames, endBytes: at, torn };
}

/** The frame at an offset when it is whole and its checksum holds. */
function frameAt(checksum: Checksum, bytes: Uint8Array, at: number): Frame | undefined {
  if (bytes.length - at < HEADER_BYTES || !hasMagic(bytes, at)) return undefined;
  if (bytes[at + 3] !== VERSION) return undefined;
  const header = bytes.subarray(at, at + HEADER_BYTES);
  const view = viewOf(header);
  const length = view.getUint32(4, true);
  if (length > PAYLOAD_BYTES_MAX || length > bytes.length - at - HEADER_BYTES) return undefined;
  const payload = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
  if (view.getBigUint64(16, true) !== sumOf(checksum, header, payload)) return undefined;
  return { sequence: readU64(view, 8), payload, endBytes: at + HEADER_BYTES + length };
}

function refuseDamage(
  checksum: Checksum,
  file: { readonly path: string; readonly bytes: Uint8Array },
  at: number,
  sequence: number,
): void {
  const { path, bytes } = file;
  const version = bytes[at + 3] ?? VERSION;
  if (hasMagic(bytes, at) && version !== VERSION && version >= 0x30 && version <= 0x39)
    throw new AntipodeError("FORMAT_UNSUPPORTED", `${path} was written by another version`, {
      path,
      offsetBytes: at,
    });
  for (let next = at; next < bytes.length - HEADER_BYTES; next++) {
    if (!hasMagic(bytes, next)) continue;
    const frame = frameAt(checksum, bytes, next);
    if (frame === undefined || frame.sequence < sequence) continue;
    throw new AntipodeError("COORDINATOR_CORRUPT", `${path} is damaged at byte ${at}`, {
      path,
      offsetBytes: at,
      sequence,
    });
  }
}

function hasMagic(bytes: Uint8Array, at: number): boolean {
  return MAGIC.every((byte, i) => bytes[at + i] === byte);
}

function sumOf(checksum: Checksum, header: Uint8Array, payload: Uint8Array): bigint {
  return checksum.xxh64(payload, checksum.xxh64(header.subarray(0, CHECKED_BYTES)));
}
