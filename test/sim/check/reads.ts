/**
 * P1 while the run goes on: a client reads what clients were told. For each slot the writes are a
 * register: a read shows no write that was over before one which was issued later and acknowledged
 * before the read began, and none that was issued after the read had ended.
 */

import { type BranchView, viewBranches } from "./branchView.ts";
import type { ReadRecord, RunRecord, Verdict, WitnessItem, WriteRecord } from "./contracts.ts";
import { Examination, endOf, momentItem, writeItem } from "./examination.ts";

/** Checks every read that returned a block. O((reads + writes) log writes). */
export async function checkReads(record: RunRecord): Promise<Verdict> {
  const examination = new Examination("P1", "clients read what they were told");
  const views = viewBranches(record);
  const registers = new Map<number, readonly SlotRegister[]>();
  for (const read of record.reads) {
    const view = views.get(read.runId);
    if (view === undefined || !view.has(read) || !("block" in read.result)) continue;
    const slots = registers.get(read.runId) ?? registersOf(view);
    registers.set(read.runId, slots);
    examination.examine();
    const register = slots[view.slotIndex(read)];
    if (register !== undefined)
      await checkRead({ view, read, block: read.result.block, register, examination });
  }
  return examination.conclude("reads of clients");
}

async function checkRead(parts: {
  readonly view: BranchView;
  readonly read: ReadRecord;
  readonly block: Uint8Array;
  readonly register: SlotRegister;
  readonly examination: Examination;
}): Promise<void> {
  const { view, read, register, examination } = parts;
  const vdisk = view.vdisk(read.vdiskId);
  const name = `client ${read.client}'s read of ${vdisk.name} slot ${read.lba}`;
  const sight = await view.sight(read, parts.block);
  const last = register.newestBefore(read.invoked.order);
  const against: WitnessItem =
    last === undefined
      ? momentItem("nothing was acknowledged there before it began", read.invoked)
      : writeItem(last, vdisk, read.lba);
  if (sight.kind === "damage") {
    const found = momentItem(`${name} showed ${sight.text}`, read.completed);
    examination.violate(sight.damage, found, against);
    return;
  }
  const shown = sight.kind === "write" ? view.write(sight.index) : undefined;
  if (shown !== undefined && shown.invoked.order > read.completed.order) {
    const found = momentItem(`${name} ended`, read.completed);
    examination.violate("read-before-it-was-written", writeItem(shown, vdisk, read.lba), found);
  }
  if (last === undefined || (shown !== undefined && endOf(shown) >= last.invoked.order)) return;
  const showed = shown === undefined ? "what was there at first" : `write ${shown.gseq}`;
  const found = momentItem(`${name} began after that and showed ${showed}`, read.invoked);
  examination.violate("stale-read", { ...found, ...(shown && { gseq: shown.gseq }) }, against);
}

/** The acknowledged writes of one slot, by when they were acknowledged. */
class SlotRegister {
  readonly #ackOrders: number[] = [];
  /** Up to here the one that was issued last. */
  readonly #newest: WriteRecord[] = [];

  /** In order of acknowledgement. */
  add(write: WriteRecord): void {
    const before = this.#newest.at(-1);
    const isNewer = before === undefined || before.invoked.order < write.invoked.order;
    this.#ackOrders.push(endOf(write));
    this.#newest.push(isNewer ? write : before);
  }

  /** Of those acknowledged before this moment, the one that was issued last. */
  newestBefore(order: number): WriteRecord | undefined {
    let low = 0;
    let high = this.#ackOrders.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ackOrders[middle] ?? 0) < order) low = middle + 1;
      else high = middle;
    }
    return this.#newest[low - 1];
  }
}

function registersOf(view: BranchView): readonly SlotRegister[] {
  const registers = view.slots.map(() => new SlotRegister());
  const acknowledged = view.branch.writes.filter(({ outcome }) => outcome === "acknowledged");
  acknowledged.sort((a, b) => endOf(a) - endOf(b));
  for (const write of acknowledged)
    for (let lba = write.lba; lba < write.lba + write.parts; lba++)
      registers[view.slotIndex({ vdiskId: write.vdiskId, lba })]?.add(write);
  return registers;
}
