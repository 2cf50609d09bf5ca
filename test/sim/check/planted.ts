/**
 * What a planted violation is, and the few things that all of them need: a mutation of a correct
 * record, told of what kind the witness must be and which two things it must name.
 */

import { present } from "../../../services/base/assert.ts";
import type { Prng } from "../../../services/base/prng.ts";
import { BLOCK_BYTES, type Slot } from "../../../services/guest/index.ts";
import type { Branch, RunRecord, SlotReader, Verdict, Witness, WriteRecord } from "./contracts.ts";
import type { Draft } from "./modelRun.ts";

/** Looks at the witness; throws or returns false when it names the wrong things. */
export type WitnessTest = (witness: Witness) => boolean;

export interface Planted {
  readonly name: string;
  /** The witness must be of one of these kinds. */
  readonly kinds: readonly string[];
  /**
   * Changes the record so that it is wrong in this way.
   * @returns how to tell the right witness, or `undefined` when this record has no place for it
   */
  readonly plant: (record: Draft<RunRecord>, prng: Prng) => Promise<WitnessTest | undefined>;
}

/** A checker, and the lies that it must find. */
export interface Suspect {
  readonly check: (record: RunRecord) => Promise<Verdict> | Verdict;
  readonly planted: readonly Planted[];
}

/** One of the list, or `undefined` when it is empty. */
export function pick<T>(list: readonly T[], prng: Prng): T | undefined {
  return list.length === 0 ? undefined : list[prng.below(list.length)];
}

/** The same reader, except for one slot. */
export function patched(read: SlotReader, slot: Slot, block: Uint8Array): SlotReader {
  return (asked) =>
    asked.vdiskId === slot.vdiskId && asked.lba === slot.lba ? Promise.resolve(block) : read(asked);
}

/** What every slot of a branch held before its first write. */
export function initialReader(record: RunRecord, branch: Branch): SlotReader {
  if (branch.basePointId === undefined) return () => Promise.resolve(new Uint8Array(BLOCK_BYTES));
  const base = record.readings.find(({ pointId }) => pointId === branch.basePointId);
  return present(base, "the base of a model branch was read").read;
}

export function branchOf(record: Draft<RunRecord>, runId: number): Draft<Branch> {
  const branch = record.branches.find((one) => one.runId === runId);
  return present(branch, "the branch is on record");
}

/** Writes that cover a slot, in order of issue. */
export function writesTo(branch: Branch, slot: Slot): readonly WriteRecord[] {
  return branch.writes.filter(
    (write) =>
      write.vdiskId === slot.vdiskId && write.lba <= slot.lba && slot.lba < write.lba + write.parts,
  );
}

export function slotsOf(branch: Branch): readonly Slot[] {
  return branch.vdisks.flatMap(({ id, slots }) =>
    Array.from({ length: slots }, (_, lba) => ({ vdiskId: id, lba })),
  );
}

export function isAcknowledged(write: WriteRecord): boolean {
  return write.outcome === "acknowledged";
}
