/**
 * Decides what the self-verifying writer writes next. Pure and seeded: one seed and one order of
 * answers give one sequence.
 *
 * Rules that the audit relies on:
 * G1 a slot has at most one write outstanding, so the order of its writes is total;
 * G2 a slot whose write ended without an answer is written no more until it has been read back;
 * G3 gseq and wseq grow with every write; `dep` is the highest gseq acknowledged before it.
 *
 * Rules that make faults visible: after an acknowledgement, with probability `pairShare`, a write to
 * another vDisk follows that depends on it (this is what shows a group that is not cut at one
 * instant); a hot set is overwritten again and again; sizes are 4 to 64 KiB.
 */

import { assert, present } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import { BLOCK_BYTES, fillBlock } from "./block.ts";

export interface GeneratorConfig {
  readonly runId: number;
  readonly cgId: number;
  readonly writerId: number;
  /** Slots of 4 KiB from the start of each vDisk. */
  readonly vdisks: readonly { readonly id: number; readonly slots: number }[];
  readonly firstGseq: number;
  readonly mix?: Partial<WriteMix>;
}

export interface WriteMix {
  /** Part of the slots that is hot, and part of the writes that goes there. */
  readonly hotSlotsShare: number;
  readonly hotWritesShare: number;
  readonly pairShare: number;
  /** About the part that compression takes away, 0 to 1. */
  readonly repeatShare: number;
  /** Sizes in blocks of 4 KiB, equally likely. */
  readonly sizesBlocks: readonly number[];
}

const mixDefaults: WriteMix = {
  hotSlotsShare: 0.1,
  hotWritesShare: 0.5,
  pairShare: 0.5,
  repeatShare: 0.5,
  sizesBlocks: [1, 1, 2, 8, 16],
};

export interface PlannedWrite {
  readonly gseq: number;
  readonly wseq: number;
  readonly vdiskId: number;
  readonly lba: number;
  readonly parts: number;
  readonly bodySeed: number;
  readonly dep: number;
  readonly ioId: number;
  readonly repeatShare: number;
}

export interface Slot {
  readonly vdiskId: number;
  readonly lba: number;
}

/** Slots of all vDisks together: five bytes of memory each, so 20 MiB. */
export const GENERATOR_SLOTS_MAX = 4 * 1024 * 1024;
/** Blocks of one write: 64 KiB. */
export const WRITE_BLOCKS_MAX = 16;
/** Random places tried before saying that nothing is free. */
const TRIES_MAX = 64;
/** Dependent writes that wait because their vDisk cannot be written now. */
const FOLLOW_UPS_MAX = 1024;

const FREE = 0;
const BUSY = 1;
const QUARANTINED = 2;

interface VdiskState {
  readonly id: number;
  readonly slots: number;
  readonly state: Uint8Array;
  readonly versions: Uint32Array;
}

export class WriteGenerator {
  readonly #config: GeneratorConfig;
  readonly #mix: WriteMix;
  readonly #prng: Prng;
  readonly #vdisks: readonly VdiskState[];
  readonly #byId: ReadonlyMap<number, VdiskState>;
  /** Ids of vDisks just acknowledged, each to be followed by a write elsewhere. */
  readonly #followUps: number[] = [];
  #nextGseq: number;
  #nextWseq = 1;
  #ackedGseq = 0;
  #quarantined = 0;

  constructor(config: GeneratorConfig, prng: Prng) {
    this.#config = config;
    this.#mix = { ...mixDefaults, ...config.mix };
    this.#prng = prng;
    this.#nextGseq = config.firstGseq;
    this.#vdisks = config.vdisks.map(({ id, slots }) => ({
      id,
      slots,
      state: new Uint8Array(slots),
      versions: new Uint32Array(slots),
    }));
    this.#byId = new Map(this.#vdisks.map((vdisk) => [vdisk.id, vdisk]));
    const total = this.#vdisks.reduce((sum, vdisk) => sum + vdisk.slots, 0);
    assert(total <= GENERATOR_SLOTS_MAX, "the slots fit the generator's memory");
    assert(this.#byId.size === config.vdisks.length, "vDisk ids are distinct");
    const { sizesBlocks } = this.#mix;
    assert(
      sizesBlocks.length > 0 && sizesBlocks.every((n) => n >= 1 && n <= WRITE_BLOCKS_MAX),
      "sizes are 1 to 16 blocks",
    );
  }

  /** Slots whose state is unknown. */
  get quarantined(): number {
    return this.#quarantined;
  }

  /**
   * The next write, its slots taken; `undefined` when nothing can be written now.
   * @param canWrite whether a vDisk has a connection
   */
  next(canWrite: (vdiskId: number) => boolean): PlannedWrite | undefined {
    const usable = this.#vdisks.filter((vdisk) => vdisk.slots > 0 && canWrite(vdisk.id));
    if (usable.length === 0) return undefined;
    const after = this.#followUps.shift();
    const others = after === undefined ? usable : usable.filter((vdisk) => vdisk.id !== after);
    const choice = others.length > 0 ? others : usable;
    const vdisk = present(choice[this.#prng.below(choice.length)], "a vDisk was chosen");
    const place = this.#findPlace(vdisk);
    if (place === undefined) return undefined;
    return this.#take(vdisk, place);
  }

  /** The bytes of a planned write. Call it once, while its slots are taken. */
  fill(write: PlannedWrite, issuedNs: number): Uint8Array {
    const { runId, cgId, writerId } = this.#config;
    const vdisk = this.#vdisk(write.vdiskId);
    const bytes = new Uint8Array(write.parts * BLOCK_BYTES);
    for (let part = 0; part < write.parts; part++) {
      const version = vdisk.versions[write.lba + part] ?? 0;
      fillBlock(bytes.subarray(part * BLOCK_BYTES, (part + 1) * BLOCK_BYTES), {
        ...write,
        runId,
        cgId,
        writerId,
        lba: write.lba + part,
        part,
        version,
        previousVersion: version - 1,
        issuedNs,
        bodySeed: partSeed(write.bodySeed, part),
      });
    }
    return bytes;
  }

  onAcked(write: PlannedWrite): void {
    this.#mark(write, FREE);
    this.#ackedGseq = Math.max(this.#ackedGseq, write.gseq);
    if (this.#prng.unit() >= this.#mix.pairShare) return;
    this.#followUps.push(write.vdiskId);
    if (this.#followUps.length > FOLLOW_UPS_MAX) this.#followUps.shift();
  }

  /** The write may or may not have happened: its slots are left alone. */
  onUnknown(write: PlannedWrite): void {
    this.#mark(write, QUARANTINED);
    this.#quarantined += write.parts;
  }

  /** The slot has been read back and holds a whole block or zeros: it may be written again. */
  onReadBack(slot: Slot): void {
    const { state } = this.#vdisk(slot.vdiskId);
    if (state[slot.lba] !== QUARANTINED) return;
    state[slot.lba] = FREE;
    this.#quarantined -= 1;
  }

  /** Takes over a write of an earlier session, so that versions go on. */
  onEarlierWrite(write: { vdiskId: number; lba: number; parts: number }): void {
    const { versions } = this.#vdisk(write.vdiskId);
    for (let lba = write.lba; lba < write.lba + write.parts; lba++)
      versions[lba] = (versions[lba] ?? 0) + 1;
  }

  #findPlace(vdisk: VdiskState): { lba: number; parts: number } | undefined {
    const { sizesBlocks, hotSlotsShare, hotWritesShare } = this.#mix;
    const wanted = sizesBlocks[this.#prng.below(sizesBlocks.length)] ?? 1;
    const hotSlots = Math.max(1, Math.floor(vdisk.slots * hotSlotsShare));
    const span = this.#prng.unit() < hotWritesShare ? hotSlots : vdisk.slots;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      // The second half of the tries takes anything: better a small write than none.
      const isLate = tries >= TRIES_MAX / 2;
      const parts = isLate ? 1 : Math.min(wanted, span);
      const lba = this.#prng.below((isLate ? vdisk.slots : span) - parts + 1);
      if (isFree(vdisk.state, lba, parts)) return { lba, parts };
    }
    return undefined;
  }

  #take(vdisk: VdiskState, place: { lba: number; parts: number }): PlannedWrite {
    const write: PlannedWrite = {
      gseq: this.#nextGseq++,
      wseq: this.#nextWseq++,
      vdiskId: vdisk.id,
      lba: place.lba,
      parts: place.parts,
      bodySeed: this.#prng.uint32(),
      dep: this.#ackedGseq,
      ioId: (this.#nextWseq - 1) >>> 0,
      repeatShare: Math.round(this.#mix.repeatShare * 255),
    };
    this.#mark(write, BUSY);
    this.onEarlierWrite(write);
    return write;
  }

  #mark(write: PlannedWrite, state: number): void {
    const vdisk = this.#vdisk(write.vdiskId);
    const expected = state === BUSY ? FREE : BUSY;
    for (let lba = write.lba; lba < write.lba + write.parts; lba++) {
      assert(vdisk.state[lba] === expected, "a slot has one write outstanding (G1)");
      vdisk.state[lba] = state;
    }
  }

  #vdisk(id: number): VdiskState {
    return present(this.#byId.get(id), "the vDisk is one of the group");
  }
}

/** Seed of one block of a write. */
export function partSeed(bodySeed: number, part: number): number {
  return (bodySeed + Math.imul(part, 0x9e3779b1)) >>> 0;
}

function isFree(state: Uint8Array, lba: number, parts: number): boolean {
  for (let i = lba; i < lba + parts; i++) if (state[i] !== FREE) return false;
  return true;
}
