/** What an audit gathers while it goes over the slots: verdicts, counts of each vDisk, its map. */

import {
  type AuditTally,
  CELL_STATES,
  type NamedWrite,
  PROBLEMS_MAX,
  type SlotMap,
  type SlotProblem,
  type VdiskAudit,
  zeroCounts,
} from "./auditReport.ts";
import { BLOCK_BYTES } from "./block.ts";
import type { Slot } from "./generator.ts";
import type { History, HistoryWrite } from "./history.ts";
import type { JournalVdisk } from "./journal.ts";
import type { SlotVerdict, SlotVerdictName } from "./slotVerdict.ts";

/** Cells of one map: as many as one can tell apart. */
const CELLS_MAX = 4096;

type CellState = "." | "o" | "l" | "s" | "t" | "m" | "g" | "r";

const STATE_OF: Readonly<Record<SlotVerdictName, CellState>> = {
  ok: "o",
  zero: ".",
  torn: "t",
  rot: "r",
  misdirected: "m",
  ghost: "g",
  stale: "s",
};

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class AuditFindings {
  readonly counts: Record<SlotVerdictName, number> = zeroCounts();
  readonly problems: SlotProblem[] = [];
  readonly #vdisks: ReadonlyMap<number, VdiskFindings>;

  constructor(history: History) {
    const { vdisks } = history.journal.header;
    this.#vdisks = new Map(vdisks.map((vdisk) => [vdisk.id, new VdiskFindings(vdisk)]));
    for (const write of history.writes)
      if (write.ackMicros !== undefined)
        this.#vdisks.get(write.vdiskId)?.acknowledge(write.parts * BLOCK_BYTES);
  }

  get vdisks(): readonly VdiskAudit[] {
    return [...this.#vdisks.values()].map((one) => one.tally);
  }

  get maps(): readonly SlotMap[] {
    return [...this.#vdisks.values()].map((one) => one.map());
  }

  add(slot: Slot, verdict: SlotVerdict): void {
    this.counts[verdict.kind] += 1;
    this.#vdisks.get(slot.vdiskId)?.show(slot.lba, verdict.kind);
    if (verdict.kind !== "ok" && verdict.kind !== "zero")
      this.#note(slot, verdict.kind, describe(verdict));
  }

  /** A slot that shows an older write, or zeros, although `missing` had to be there. */
  addStale(slot: Slot, missing: HistoryWrite, shown: HistoryWrite | undefined): void {
    this.#vdisks.get(slot.vdiskId)?.worsen(slot.lba, "s");
    const found = `acknowledged write ${missing.gseq} is missing; it shows`;
    if (shown === undefined) {
      this.#note(slot, "zero", `${found} zeros`);
      return;
    }
    this.counts.ok -= 1;
    this.counts.stale += 1;
    this.#note(slot, "stale", `${found} write ${shown.gseq}`);
  }

  /** A slot whose newest acknowledged write is lost, in order. */
  addLostSlot(slot: Slot): void {
    this.#vdisks.get(slot.vdiskId)?.worsen(slot.lba, "l");
  }

  addLostWrite(write: HistoryWrite, lost: { bytes: number; outOfOrder: boolean }): NamedWrite {
    this.#vdisks.get(write.vdiskId)?.lose(lost);
    return { ...this.name(write), bytes: lost.bytes };
  }

  name(write: HistoryWrite): NamedWrite {
    return {
      gseq: write.gseq,
      vdisk: this.#vdisks.get(write.vdiskId)?.tally.vdisk ?? `vDisk ${write.vdiskId}`,
      lba: write.lba,
      bytes: write.parts * BLOCK_BYTES,
      issuedAtMicros: write.invMicros,
      acknowledgedAtMicros: write.ackMicros,
    };
  }

  #note(slot: Slot, verdict: SlotVerdictName, found: string): void {
    if (this.problems.length >= PROBLEMS_MAX) return;
    const vdisk = this.#vdisks.get(slot.vdiskId)?.tally.vdisk ?? `vDisk ${slot.vdiskId}`;
    this.problems.push({ vdisk, lba: slot.lba, verdict, found });
  }
}

/** Counts and map of one vDisk. */
class VdiskFindings {
  readonly tally: Mutable<VdiskAudit>;
  readonly #slots: number;
  readonly #slotsPerCell: number;
  /** Rank in `CELL_STATES` of the worst slot of each cell. */
  readonly #cells: Uint8Array;

  constructor({ name, slots }: JournalVdisk) {
    const none: AuditTally = {
      acknowledged: 0,
      acknowledgedBytes: 0,
      kept: 0,
      lost: 0,
      lostBytes: 0,
      outOfOrder: 0,
      torn: 0,
      rotten: 0,
    };
    this.tally = { vdisk: name, ...none };
    this.#slots = slots;
    this.#slotsPerCell = Math.max(1, Math.ceil(slots / CELLS_MAX));
    this.#cells = new Uint8Array(Math.ceil(slots / this.#slotsPerCell));
  }

  acknowledge(bytes: number): void {
    this.tally.acknowledged += 1;
    this.tally.acknowledgedBytes += bytes;
    this.tally.kept += 1;
  }

  lose({ bytes, outOfOrder }: { bytes: number; outOfOrder: boolean }): void {
    this.tally.kept -= 1;
    this.tally.lost += 1;
    this.tally.lostBytes += bytes;
    if (outOfOrder) this.tally.outOfOrder += 1;
  }

  show(lba: number, kind: SlotVerdictName): void {
    this.worsen(lba, STATE_OF[kind]);
    if (kind === "torn") this.tally.torn += 1;
    if (kind === "rot" || kind === "misdirected" || kind === "ghost") this.tally.rotten += 1;
  }

  worsen(lba: number, state: CellState): void {
    const cell = Math.floor(lba / this.#slotsPerCell);
    this.#cells[cell] = Math.max(this.#cells[cell] ?? 0, CELL_STATES.indexOf(state));
  }

  map(): SlotMap {
    const cells = Array.from(this.#cells, (rank) => CELL_STATES[rank] ?? ".").join("");
    const { vdisk } = this.tally;
    return { vdisk, slots: this.#slots, slotsPerCell: this.#slotsPerCell, cells };
  }
}

function describe(verdict: SlotVerdict): string {
  switch (verdict.kind) {
    case "ok":
      return `write ${verdict.header.gseq}`;
    case "zero":
      return "zeros";
    case "torn":
      return `sectors of writes ${verdict.sectors.join(" ")} (0 zeros, -1 nobody's)`;
    case "rot":
      return verdict.bits === undefined ? "bytes of no write" : `${verdict.bits} wrong bits`;
    case "misdirected":
      return `block ${verdict.header.lba} of vDisk ${verdict.header.vdiskId}, run ${verdict.header.runId}`;
    case "ghost":
      return `write ${verdict.header.gseq} of run ${verdict.header.runId}, which was never issued here`;
  }
}
