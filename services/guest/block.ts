/**
 * The self-verifying block: 4096 bytes that say which write they are. Little-endian.
 *
 * | off | len | field | answers |
 * | 0 | 4 | magic `SVWB` | ours? |
 * | 4 | 2 | format (1) | |
 * | 6 | 2 | flags: bits 8-15 share of the body that repeats, in 255ths; the rest 0 | |
 * | 8 | 8 | runId | ghost of an earlier run |
 * | 16 | 4 | vdiskId | another vDisk's block |
 * | 20 | 4 | writerId | |
 * | 24 | 8 | lba, in 4 KiB | misdirected |
 * | 32 | 8 | gseq: number of the write in the whole group | identity, order |
 * | 40 | 8 | wseq: number of the write of this writer | program order |
 * | 48 | 4+4 | version and previous version of this slot | lost update |
 * | 56 | 8 | time of issue, ns of the writer's monotonic clock | loss in time |
 * | 64 | 8 | dep: highest gseq acknowledged when it was issued | happens-before |
 * | 72 | 4+2+2 | ioId, part, parts | torn write of many blocks |
 * | 80 | 4 | bodySeed | the expected bytes |
 * | 84 | 4 | crc32 of bytes 0-83 | |
 * | 88 | 4 | crc32 of bytes 96-4095 | |
 * | 92 | 4 | cgId | |
 * | 96 | 4000 | body from bodySeed, in lanes of 32 bytes | |
 * | 512k | 4 | gseq XOR k, for k = 1 to 7 | which sector is from which write |
 *
 * A share of the lanes repeats lane 0, spread evenly, so that blocks compress by about that share.
 */

import { viewOf } from "../base/bytes.ts";
import { crc32 } from "../base/crc32.ts";

/** Bytes of a block, and of the slot of a disk that it fills. */
export const BLOCK_BYTES = 4096;
/** A disk may tear a block between sectors of this size. */
export const BLOCK_SECTOR_BYTES = 512;
export const BLOCK_SECTORS = BLOCK_BYTES / BLOCK_SECTOR_BYTES;

const MAGIC = 0x42575653; // "SVWB"
const FORMAT = 1;
const HEADER_CRC_AT = 84;
const BODY_CRC_AT = 88;
const BODY_AT = 96;
const LANE_WORDS = 8;
const LANES = (BLOCK_BYTES - BODY_AT) / (4 * LANE_WORDS);
const TWO_32 = 0x1_0000_0000;

/** Every field that a block carries. 64-bit fields are safe integers, `issuedNs` up to rounding. */
export interface BlockFields {
  readonly runId: number;
  readonly vdiskId: number;
  readonly writerId: number;
  readonly lba: number;
  readonly gseq: number;
  readonly wseq: number;
  readonly version: number;
  readonly previousVersion: number;
  readonly issuedNs: number;
  readonly dep: number;
  readonly ioId: number;
  readonly part: number;
  readonly parts: number;
  readonly bodySeed: number;
  readonly cgId: number;
  /** 0 to 255: share of the body that repeats, in 255ths. */
  readonly repeatShare: number;
}

/** Writes a block over the first 4096 bytes of `out`. */
export function fillBlock(out: Uint8Array, fields: BlockFields): void {
  const view = viewOf(out);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, FORMAT, true);
  view.setUint16(6, fields.repeatShare << 8, true);
  setU64(view, 8, fields.runId);
  view.setUint32(16, fields.vdiskId, true);
  view.setUint32(20, fields.writerId, true);
  setU64(view, 24, fields.lba);
  setU64(view, 32, fields.gseq);
  setU64(view, 40, fields.wseq);
  view.setUint32(48, fields.version, true);
  view.setUint32(52, fields.previousVersion, true);
  setU64(view, 56, fields.issuedNs);
  setU64(view, 64, fields.dep);
  view.setUint32(72, fields.ioId, true);
  view.setUint16(76, fields.part, true);
  view.setUint16(78, fields.parts, true);
  view.setUint32(80, fields.bodySeed, true);
  view.setUint32(HEADER_CRC_AT, crc32(out.subarray(0, HEADER_CRC_AT)), true);
  view.setUint32(92, fields.cgId, true);
  fillBody(view, fields);
  view.setUint32(BODY_CRC_AT, crc32(out.subarray(BODY_AT, BLOCK_BYTES)), true);
}

/** The header's fields, or `undefined` when its magic, format or CRC does not hold. */
export function readBlockHeader(block: Uint8Array): BlockFields | undefined {
  const view = viewOf(block);
  const holds =
    block.length === BLOCK_BYTES &&
    view.getUint32(0, true) === MAGIC &&
    view.getUint16(4, true) === FORMAT &&
    view.getUint32(HEADER_CRC_AT, true) === crc32(block.subarray(0, HEADER_CRC_AT));
  if (!holds) return undefined;
  return {
    repeatShare: view.getUint16(6, true) >>> 8,
    runId: getU64(view, 8),
    vdiskId: view.getUint32(16, true),
    writerId: view.getUint32(20, true),
    lba: getU64(view, 24),
    gseq: getU64(view, 32),
    wseq: getU64(view, 40),
    version: view.getUint32(48, true),
    previousVersion: view.getUint32(52, true),
    issuedNs: getU64(view, 56),
    dep: getU64(view, 64),
    ioId: view.getUint32(72, true),
    part: view.getUint16(76, true),
    parts: view.getUint16(78, true),
    bodySeed: view.getUint32(80, true),
    cgId: view.getUint32(92, true),
  };
}

/**
 * Does everything behind the checked header belong to it: body, sector stamps, the last header word?
 * @param header what `readBlockHeader` returned for the same block
 */
export function isBodyIntact(block: Uint8Array, header: BlockFields): boolean {
  const view = viewOf(block);
  if (view.getUint32(BODY_CRC_AT, true) !== crc32(block.subarray(BODY_AT))) return false;
  for (let k = 1; k < BLOCK_SECTORS; k++)
    if (view.getUint32(k * BLOCK_SECTOR_BYTES, true) !== stampOf(header.gseq, k)) return false;
  return true;
}

/** The write that sector k (1 to 7) claims to be of: the low 32 bits of its gseq. */
export function sectorStamp(block: Uint8Array, k: number): number {
  return (viewOf(block).getUint32(k * BLOCK_SECTOR_BYTES, true) ^ k) >>> 0;
}

/** Body words by xorshift32; lanes that repeat are copies of the first. */
function fillBody(view: DataView, fields: BlockFields): void {
  let state = (fields.bodySeed ^ 0x9e3779b9) | 0 || 1;
  const share = fields.repeatShare;
  let carried = 0;
  for (let lane = 0; lane < LANES; lane++) {
    const at = BODY_AT + lane * 4 * LANE_WORDS;
    carried += lane === 0 ? 0 : share;
    if (carried >= 255) {
      carried -= 255;
      for (let word = 0; word < 4 * LANE_WORDS; word += 4)
        view.setInt32(at + word, view.getInt32(BODY_AT + word, true), true);
      continue;
    }
    for (let word = 0; word < 4 * LANE_WORDS; word += 4) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      view.setInt32(at + word, state, true);
    }
  }
  for (let k = 1; k < BLOCK_SECTORS; k++)
    view.setUint32(k * BLOCK_SECTOR_BYTES, stampOf(fields.gseq, k), true);
}

function stampOf(gseq: number, k: number): number {
  return ((gseq % TWO_32) ^ k) >>> 0;
}

/** Not `readU64`: bytes of a rotten disk are no bug, so nothing is asserted of them. */
function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, Math.floor(value / TWO_32), true);
}
