/**
 * What one slot of an image shows, judged against the journal. Pure.
 *
 * - ok: a whole block of a write that went to this slot;
 * - zero: all zeros, as before the first write;
 * - torn: sectors of different writes; the map names the write of each (0 zeros, -1 nobody's);
 * - rot: bytes that no write produced;
 * - misdirected: a whole block of this run that belongs to another slot or vDisk;
 * - ghost: a whole block of another run, or of a write that was never issued;
 * - stale: an ok block or zeros, although a newer write had to be there (decided by the audit).
 */

import { equalBytes, isAllZero } from "../base/bytes.ts";
import {
  BLOCK_BYTES,
  BLOCK_SECTOR_BYTES,
  BLOCK_SECTORS,
  type BlockFields,
  fillBlock,
  isBodyIntact,
  readBlockHeader,
  sectorStamp,
} from "./block.ts";
import { partSeed, type Slot } from "./generator.ts";
import { coversSlot, type History, type HistoryWrite } from "./history.ts";

export const slotVerdicts = ["ok", "zero", "torn", "rot", "misdirected", "ghost", "stale"] as const;
export type SlotVerdictName = (typeof slotVerdicts)[number];

export type SlotVerdict =
  | { readonly kind: "ok"; readonly header: BlockFields }
  | { readonly kind: "zero" }
  /** For each sector of 512 bytes the gseq of its write; 0 for zeros, -1 for nobody's bytes. */
  | { readonly kind: "torn"; readonly sectors: readonly number[] }
  /** `bits` that differ from what the header promises; `undefined` when the header is gone too. */
  | { readonly kind: "rot"; readonly bits: number | undefined }
  | { readonly kind: "misdirected"; readonly header: BlockFields }
  | { readonly kind: "ghost"; readonly header: BlockFields };

export interface SlotContext {
  readonly history: History;
  /** Runs of other writers of the same audit: their blocks are misdirected here, no ghosts. */
  readonly otherRuns: ReadonlySet<number>;
}

/** Judges the bytes of one slot. */
export function judgeSlot(block: Uint8Array, slot: Slot, context: SlotContext): SlotVerdict {
  const header = readBlockHeader(block);
  if (header === undefined && isAllZero(block)) return { kind: "zero" };
  if (header === undefined || !isBodyIntact(block, header))
    return judgeDamage(block, slot, header, context.history);
  const { history, otherRuns } = context;
  if (otherRuns.has(header.runId)) return { kind: "misdirected", header };
  if (header.runId !== history.journal.header.runId) return { kind: "ghost", header };
  // No checksum covers cgId, but the run has only one.
  const { cgId } = history.journal.header;
  if (header.cgId !== cgId) return judgeDamage(block, slot, { ...header, cgId }, history);
  if (header.vdiskId !== slot.vdiskId || header.lba !== slot.lba)
    return { kind: "misdirected", header };
  const write = writeBySeq(history, header.gseq);
  if (write === undefined)
    return history.unjournaledSince(header.gseq) === undefined
      ? { kind: "ghost", header }
      : { kind: "ok", header };
  const isIssued =
    coversSlot(write, slot.vdiskId, slot.lba) &&
    header.bodySeed === partSeed(write.bodySeed, slot.lba - write.lba);
  return isIssued ? { kind: "ok", header } : { kind: "ghost", header };
}

function writeBySeq(history: History, gseq: number): HistoryWrite | undefined {
  return history.writes[history.byGseq.get(gseq) ?? -1];
}

/** Names the write of every sector by comparing it with what that write put there. */
function judgeDamage(
  block: Uint8Array,
  slot: Slot,
  header: BlockFields | undefined,
  history: History,
): SlotVerdict {
  const promised = header === undefined ? undefined : regenerate(header);
  const sectors = Array.from({ length: BLOCK_SECTORS }, (_, k) => {
    const bytes = sectorOf(block, k);
    if (promised !== undefined && header !== undefined && equalSector(bytes, promised, k))
      return header.gseq;
    if (isAllZero(bytes)) return 0;
    return k === 0 ? -1 : sourceOfSector(block, k, slot, history);
  });
  const sources = new Set(sectors.filter((source) => source >= 0));
  if (sources.size > 1) return { kind: "torn", sectors };
  const bits = promised === undefined ? undefined : differingBits(block, promised);
  return { kind: "rot", bits };
}

/** The journaled write whose bytes this sector holds, or -1. */
function sourceOfSector(block: Uint8Array, k: number, slot: Slot, history: History): number {
  const write = writeBySeq(history, sectorStamp(block, k));
  if (write === undefined || !coversSlot(write, slot.vdiskId, slot.lba)) return -1;
  // Sectors 1 to 7 depend on seed, share and gseq only; the other fields are in sector 0.
  const expected = regenerate({
    runId: 0,
    cgId: 0,
    writerId: 0,
    wseq: 0,
    version: 0,
    previousVersion: 0,
    issuedNs: 0,
    dep: 0,
    ioId: 0,
    part: 0,
    parts: 0,
    vdiskId: slot.vdiskId,
    lba: slot.lba,
    gseq: write.gseq,
    bodySeed: partSeed(write.bodySeed, slot.lba - write.lba),
    repeatShare: write.repeatShare,
  });
  return equalSector(sectorOf(block, k), expected, k) ? write.gseq : -1;
}

function regenerate(fields: BlockFields): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  fillBlock(block, fields);
  return block;
}

function sectorOf(block: Uint8Array, k: number): Uint8Array {
  return block.subarray(k * BLOCK_SECTOR_BYTES, (k + 1) * BLOCK_SECTOR_BYTES);
}

/** In sector 0 the body's CRC covers later sectors, so it is left out. */
function equalSector(sector: Uint8Array, expected: Uint8Array, k: number): boolean {
  const other = sectorOf(expected, k);
  if (k > 0) return equalBytes(sector, other);
  return (
    equalBytes(sector.subarray(0, 88), other.subarray(0, 88)) &&
    equalBytes(sector.subarray(92), other.subarray(92))
  );
}

function differingBits(block: Uint8Array, expected: Uint8Array): number {
  let bits = 0;
  for (let i = 0; i < block.length; i++)
    for (let rest = (block[i] ?? 0) ^ (expected[i] ?? 0); rest !== 0; rest &= rest - 1) bits += 1;
  return bits;
}
