/**
 * A branch made ready for judging: its writes as the history that the guest's audit works on, with
 * places in the run's one order as positions, so that order across writers, vDisks and operators is
 * exact; and what a slot shows, told apart into a write of the branch, what the branch began with,
 * and damage.
 */

import { equalBytes } from "../../../services/base/bytes.ts";
import {
  type History,
  type HistoryWrite,
  judgeSlot,
  type Slot,
  type SlotVerdict,
} from "../../../services/guest/index.ts";
import type { Branch, GroupVdisk, RunRecord, SlotReader, WriteRecord } from "./contracts.ts";

type Damage = "torn" | "rot" | "misdirected" | "ghost" | "refused-visible" | "base-lost";

/** What one slot shows. */
export type Sight =
  /** Index of a write of the branch. */
  | { readonly kind: "write"; readonly index: number }
  /** What was there when the branch began: zeros, or the block of its base. */
  | { readonly kind: "base" }
  | { readonly kind: "damage"; readonly damage: Damage; readonly text: string };

export class BranchView {
  readonly branch: Branch;
  /** Same indices as `branch.writes`. Positions are `Instant.order`. */
  readonly history: History;
  readonly slots: readonly Slot[];
  readonly #otherRuns: ReadonlySet<number>;
  readonly #vdisks: ReadonlyMap<number, GroupVdisk>;
  readonly #base: SlotReader | undefined;

  constructor(record: RunRecord, branch: Branch) {
    this.branch = branch;
    this.history = historyOf(branch);
    this.slots = branch.vdisks.flatMap(({ id, slots }) =>
      Array.from({ length: slots }, (_, lba) => ({ vdiskId: id, lba })),
    );
    this.#otherRuns = new Set(
      record.branches.map((other) => other.runId).filter((runId) => runId !== branch.runId),
    );
    this.#vdisks = new Map(branch.vdisks.map((vdisk) => [vdisk.id, vdisk]));
    this.#base = baseReader(record, branch);
  }

  write(index: number): WriteRecord | undefined {
    return this.branch.writes[index];
  }

  vdisk(id: number): Pick<GroupVdisk, "name"> {
    return this.#vdisks.get(id) ?? { name: `vDisk ${id}` };
  }

  /** Dense over all vDisks of the branch. */
  slotIndex(slot: Slot): number {
    return (this.history.slotBase.get(slot.vdiskId) ?? 0) + slot.lba;
  }

  has(slot: Slot): boolean {
    return slot.lba < (this.#vdisks.get(slot.vdiskId)?.slots ?? 0);
  }

  async sight(slot: Slot, block: Uint8Array): Promise<Sight> {
    const verdict = judgeSlot(block, slot, { history: this.history, otherRuns: this.#otherRuns });
    if (verdict.kind === "ok") return this.#sightOfWrite(verdict.header.gseq);
    if (this.branch.basePointId === undefined)
      return verdict.kind === "zero" ? { kind: "base" } : damageOf(verdict);
    if (this.#base === undefined) return sightOfUnknownBase(verdict, slot);
    if (equalBytes(block, await this.#base(slot))) return { kind: "base" };
    if (verdict.kind !== "zero") return damageOf(verdict);
    return { kind: "damage", damage: "base-lost", text: "zeros in place of the base's block" };
  }

  #sightOfWrite(gseq: number): Sight {
    const index = this.history.byGseq.get(gseq) ?? -1;
    if (this.branch.writes[index]?.outcome !== "refused") return { kind: "write", index };
    return { kind: "damage", damage: "refused-visible", text: `refused write ${gseq}` };
  }
}

/** Views of all branches by their run, made once per check. */
export function viewBranches(record: RunRecord): ReadonlyMap<number, BranchView> {
  return new Map(record.branches.map((branch) => [branch.runId, new BranchView(record, branch)]));
}

function historyOf(branch: Branch): History {
  const slotBase = new Map<number, number>();
  let slotCount = 0;
  for (const { id, slots } of branch.vdisks) {
    slotBase.set(id, slotCount);
    slotCount += slots;
  }
  const writes = branch.writes.map(historyWriteOf);
  const { runId, cgId, vdisks } = branch;
  return {
    journal: {
      header: { runId, cgId, seed: 0, vdisks },
      records: [],
      isComplete: true,
      validBytes: 0,
    },
    writes,
    byGseq: new Map(writes.map((write, index) => [write.gseq, index])),
    lastMicros: 0,
    slotBase,
    slotCount,
    // The record of a run is in memory: it misses nothing.
    unjournaledSince: () => undefined,
  };
}

function historyWriteOf(write: WriteRecord): HistoryWrite {
  const { gseq, vdiskId, lba, parts, bodySeed, repeatShare, invoked, completed } = write;
  const isAcknowledged = write.outcome === "acknowledged" && completed !== undefined;
  return {
    gseq,
    vdiskId,
    lba,
    parts,
    bodySeed,
    repeatShare,
    invPosition: invoked.order,
    invMicros: Math.round(invoked.ms * 1000),
    ackPosition: isAcknowledged ? completed.order : Number.POSITIVE_INFINITY,
    ackMicros: isAcknowledged ? Math.round(completed.ms * 1000) : undefined,
  };
}

/** The base as it was read, at the branch's own site if it was read there. */
function baseReader(record: RunRecord, branch: Branch): SlotReader | undefined {
  const readings = record.readings.filter(({ pointId }) => pointId === branch.basePointId);
  return (readings.find(({ site }) => site === branch.site) ?? readings[0])?.read;
}

/** Nobody read the base, so every whole block of another run that belongs here may be of it. */
function sightOfUnknownBase(verdict: Exclude<SlotVerdict, { kind: "ok" }>, slot: Slot): Sight {
  if (verdict.kind === "zero") return { kind: "base" };
  const mayBeBase =
    verdict.kind === "misdirected" &&
    verdict.header.vdiskId === slot.vdiskId &&
    verdict.header.lba === slot.lba;
  return mayBeBase ? { kind: "base" } : damageOf(verdict);
}

function damageOf(verdict: Exclude<SlotVerdict, { kind: "ok" | "zero" }>): Sight {
  return { kind: "damage", damage: verdict.kind, text: textOf(verdict) };
}

function textOf(verdict: Exclude<SlotVerdict, { kind: "ok" | "zero" }>): string {
  switch (verdict.kind) {
    case "torn":
      return `sectors of writes ${verdict.sectors.join(" ")} (0 zeros, -1 nobody's)`;
    case "rot":
      return verdict.bits === undefined ? "bytes of no write" : `${verdict.bits} wrong bits`;
    case "misdirected":
    case "ghost": {
      const { runId, gseq, vdiskId, lba } = verdict.header;
      return `write ${gseq} of run ${runId} to vDisk ${vdiskId} slot ${lba}`;
    }
  }
}
