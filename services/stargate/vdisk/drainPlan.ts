/**
 * What a batch of oplog records makes of the chunks it touches: pure. Records are merged per chunk in
 * LSN order, so that a chunk written ten times is fingerprinted once.
 *
 * For each chunk: a base (what the block map says, zero, or a chunk in the extent store) and patches
 * over it. A base is not read when the patches cover all 32 sectors of the chunk.
 */

import { assert } from "../../base/assert.ts";
import { isAllZero } from "../../base/bytes.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES, SECTOR_SIZE_BYTES } from "../../base/units.ts";
import type { OplogRecord } from "../oplog/contracts.ts";

export interface Patch {
  /** Inside the chunk. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** `undefined`: zeros. */
  readonly data: Uint8Array | undefined;
}

export type ChunkBase =
  | { readonly kind: "map" }
  | { readonly kind: "zero" }
  | { readonly kind: "fingerprint"; readonly fingerprint: Uint8Array };

export interface ChunkPlan {
  base: ChunkBase;
  /** In order of application. */
  patches: Patch[];
  /** Bit i: sector i is covered by patches. */
  sectors: number;
}

const SECTORS = CHUNK_SIZE_BYTES / SECTOR_SIZE_BYTES;
const ALL_SECTORS = 0xffffffff;
assert(SECTORS === 32, "the sectors of a chunk fit a 32-bit mask");

const MAP_BASE: ChunkBase = { kind: "map" };
const ZERO_BASE: ChunkBase = { kind: "zero" };

/** Merges records, oldest first, into one plan a chunk. Markers touch nothing. */
export function planDrain(records: readonly OplogRecord[]): Map<number, ChunkPlan> {
  const plans = new Map<number, ChunkPlan>();
  for (const record of records) {
    if (record.kind === "chunks") replaceChunks(plans, record);
    else if (record.kind !== "marker") patchChunks(plans, record);
  }
  return plans;
}

/** Bytes of the chunk once its base is known; `base` is `undefined` for zero. */
export function composeChunk(plan: ChunkPlan, base: Uint8Array | undefined): Uint8Array {
  const bytes = new Uint8Array(CHUNK_SIZE_BYTES);
  if (base !== undefined) bytes.set(base);
  for (const patch of plan.patches) {
    if (patch.data === undefined)
      bytes.fill(0, patch.offsetBytes, patch.offsetBytes + patch.lengthBytes);
    else bytes.set(patch.data, patch.offsetBytes);
  }
  return bytes;
}

function replaceChunks(plans: Map<number, ChunkPlan>, record: OplogRecord): void {
  const first = record.offsetBytes / CHUNK_SIZE_BYTES;
  const count = record.data.length / FINGERPRINT_SIZE_BYTES;
  for (let i = 0; i < count; i++) {
    const fingerprint = record.data.subarray(
      i * FINGERPRINT_SIZE_BYTES,
      (i + 1) * FINGERPRINT_SIZE_BYTES,
    );
    const base: ChunkBase = isAllZero(fingerprint)
      ? ZERO_BASE
      : { kind: "fingerprint", fingerprint };
    plans.set(first + i, { base, patches: [], sectors: 0 });
  }
}

function patchChunks(plans: Map<number, ChunkPlan>, record: OplogRecord): void {
  const end = record.offsetBytes + record.lengthBytes;
  let at = record.offsetBytes;
  while (at < end) {
    const chunk = Math.floor(at / CHUNK_SIZE_BYTES);
    const offsetBytes = at - chunk * CHUNK_SIZE_BYTES;
    const lengthBytes = Math.min(CHUNK_SIZE_BYTES - offsetBytes, end - at);
    if (record.kind === "zero" && lengthBytes === CHUNK_SIZE_BYTES) {
      plans.set(chunk, { base: ZERO_BASE, patches: [], sectors: 0 });
    } else {
      const skip = at - record.offsetBytes;
      const data =
        record.kind === "write" ? record.data.subarray(skip, skip + lengthBytes) : undefined;
      addPatch(plans, chunk, { offsetBytes, lengthBytes, data });
    }
    at += lengthBytes;
  }
}

function addPatch(plans: Map<number, ChunkPlan>, chunk: number, patch: Patch): void {
  let plan = plans.get(chunk);
  if (plan === undefined) {
    plan = { base: MAP_BASE, patches: [], sectors: 0 };
    plans.set(chunk, plan);
  }
  if (patch.lengthBytes === CHUNK_SIZE_BYTES) plan.patches = [];
  plan.patches.push(patch);
  plan.sectors |= sectorMask(patch);
  if (plan.sectors >>> 0 === ALL_SECTORS) plan.base = ZERO_BASE;
}

/** Sectors that the patch covers wholly. */
function sectorMask(patch: Patch): number {
  const first = Math.ceil(patch.offsetBytes / SECTOR_SIZE_BYTES);
  const end = Math.floor((patch.offsetBytes + patch.lengthBytes) / SECTOR_SIZE_BYTES);
  const count = end - first;
  if (count <= 0) return 0;
  return count === SECTORS ? ALL_SECTORS | 0 : ((1 << count) - 1) << first;
}
