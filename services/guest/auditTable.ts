/** The table that an audit fills: all writes of a history, their slots, and what each slot shows. */

import type { Slot } from "./generator.ts";
import type { History, HistoryWrite } from "./history.ts";
import { SHOWS_DAMAGE, SHOWS_NOTHING } from "./prefix.ts";
import type { SlotVerdict } from "./slotVerdict.ts";

/** Writes, their slots, and what each slot shows, in columns. */
export class AuditTable {
  readonly history: History;
  readonly writes: HistoryWrite[];
  readonly visible: Int32Array;
  readonly pairWrite: Int32Array;
  readonly pairSlot: Int32Array;
  readonly #byGseq: Map<number, number>;

  constructor(history: History) {
    this.history = history;
    this.writes = [...history.writes];
    this.#byGseq = new Map(history.byGseq);
    this.visible = new Int32Array(history.slotCount).fill(SHOWS_NOTHING);
    const pairs = this.writes.reduce((sum, write) => sum + write.parts, 0);
    this.pairWrite = new Int32Array(pairs);
    this.pairSlot = new Int32Array(pairs);
    let pair = 0;
    this.writes.forEach((write, index) => {
      for (let part = 0; part < write.parts; part++, pair++) {
        this.pairWrite[pair] = index;
        this.pairSlot[pair] = this.slotIndex(write.vdiskId, write.lba + part);
      }
    });
  }

  slotIndex(vdiskId: number, lba: number): number {
    return (this.history.slotBase.get(vdiskId) ?? 0) + lba;
  }

  show(slot: Slot, verdict: SlotVerdict): void {
    const index = this.slotIndex(slot.vdiskId, slot.lba);
    if (verdict.kind === "zero") return;
    this.visible[index] = verdict.kind === "ok" ? this.#indexOf(slot, verdict) : SHOWS_DAMAGE;
  }

  /** A write that a lost buffer swallowed joins the table: issued late, outcome unknown. */
  #indexOf(slot: Slot, { header }: SlotVerdict & { kind: "ok" }): number {
    const known = this.#byGseq.get(header.gseq);
    if (known !== undefined) return known;
    const since = this.history.unjournaledSince(header.gseq) ?? 0;
    this.writes.push({
      gseq: header.gseq,
      vdiskId: slot.vdiskId,
      lba: slot.lba - header.part,
      parts: header.parts,
      bodySeed: header.bodySeed,
      repeatShare: header.repeatShare,
      invPosition: since,
      invMicros: this.history.lastMicros,
      ackPosition: Number.POSITIVE_INFINITY,
      ackMicros: undefined,
    });
    this.#byGseq.set(header.gseq, this.writes.length - 1);
    return this.writes.length - 1;
  }
}
