/**
 * P2 (I2, I3): every recovery point, wherever and whenever it was read, is a prefix of the
 * acknowledged order across all vDisks of its consistency group; it holds everything that was
 * acknowledged before it was asked for, and nothing that was issued after its cut was told.
 *
 * The condition and its proof are the guest's (prefix.ts): O(writes + slots) for a reading, with the
 * places in the run's order as positions. A write that was never acknowledged may be in or not.
 */

import { checkPrefix, SHOWS_DAMAGE, SHOWS_NOTHING } from "../../../services/guest/index.ts";
import { type BranchView, viewBranches } from "./branchView.ts";
import type { PointReading, RecoveryPointRecord, RunRecord, Verdict } from "./contracts.ts";
import { atMs, Examination, momentItem, writeItem } from "./examination.ts";

/** Checks every reading of every recovery point whose branch is on record. */
export async function checkPointPrefixes(record: RunRecord): Promise<Verdict> {
  const examination = new Examination("P2", "recovery points are prefixes");
  const points = new Map(record.points.map((point) => [point.id, point]));
  const judges = new Map(
    [...viewBranches(record)].map(([runId, view]) => [runId, new PointJudge(view, examination)]),
  );
  for (const reading of record.readings) {
    const point = points.get(reading.pointId);
    const judge = point === undefined ? undefined : judges.get(point.runId);
    if (point === undefined || judge === undefined) continue;
    examination.examine();
    await judge.check(point, reading);
  }
  return examination.conclude("readings of recovery points");
}

class PointJudge {
  readonly #view: BranchView;
  readonly #examination: Examination;
  readonly #invPosition: Float64Array;
  readonly #ackPosition: Float64Array;
  readonly #pairWrite: Int32Array;
  readonly #pairSlot: Int32Array;

  constructor(view: BranchView, examination: Examination) {
    this.#view = view;
    this.#examination = examination;
    const { writes } = view.history;
    this.#invPosition = Float64Array.from(writes, (write) => write.invPosition);
    this.#ackPosition = Float64Array.from(writes, (write) => write.ackPosition);
    const pairs = writes.flatMap(({ vdiskId, lba, parts }, index) =>
      Array.from({ length: parts }, (_, part) => ({
        index,
        slot: view.slotIndex({ vdiskId, lba: lba + part }),
      })),
    );
    this.#pairWrite = Int32Array.from(pairs, ({ index }) => index);
    this.#pairSlot = Int32Array.from(pairs, ({ slot }) => slot);
  }

  async check(point: RecoveryPointRecord, reading: PointReading): Promise<void> {
    const visible = await this.#look(point, reading);
    const verdict = checkPrefix({
      invPosition: this.#invPosition,
      ackPosition: this.#ackPosition,
      pairWrite: this.#pairWrite,
      pairSlot: this.#pairSlot,
      visible,
    });
    if (!verdict.holds) {
      const missing = this.#pairItem(
        verdict.oldestMissingPair,
        `is missing in ${nameOf(point, reading)}`,
      );
      const present = this.#writeItem(verdict.newestVisible, undefined, "is in it");
      this.#examination.violate("not-a-prefix", missing, present);
    }
    const requested = point.requested.order;
    const notFresh = verdict.included.findIndex(
      (included, pair) =>
        included === 0 &&
        (this.#ackPosition[this.#pairWrite[pair] ?? 0] ?? 0) < requested &&
        visible[this.#pairSlot[pair] ?? 0] !== SHOWS_DAMAGE,
    );
    if (notFresh >= 0) {
      const missing = this.#pairItem(notFresh, `is missing in ${nameOf(point, reading)}`);
      const asked = momentItem(`${point.name} was asked for after its answer`, point.requested);
      this.#examination.violate("not-fresh", missing, asked);
    }
    const newest = verdict.newestVisible;
    if (newest < 0 || (this.#invPosition[newest] ?? 0) < point.taken.order) return;
    const present = this.#writeItem(newest, undefined, `is in ${nameOf(point, reading)}`);
    const taken = momentItem(`${point.name} had been taken`, point.taken);
    this.#examination.violate("after-the-cut", present, taken);
  }

  /** What every slot shows; damage is a violation by itself, and says nothing about order. */
  async #look(point: RecoveryPointRecord, reading: PointReading): Promise<Int32Array> {
    const visible = new Int32Array(this.#view.slots.length).fill(SHOWS_NOTHING);
    for (const slot of this.#view.slots) {
      const sight = await this.#view.sight(slot, await reading.read(slot));
      const index = this.#view.slotIndex(slot);
      if (sight.kind === "write") visible[index] = sight.index;
      if (sight.kind !== "damage") continue;
      visible[index] = SHOWS_DAMAGE;
      const vdisk = this.#view.vdisk(slot.vdiskId).name;
      const what = `slot ${slot.lba} of ${vdisk} in ${nameOf(point, reading)} shows ${sight.text}`;
      const found = { what, vdisk, lba: slot.lba, at: reading.at };
      const cut = momentItem(
        `no write had left that there when ${point.name} was taken`,
        point.taken,
      );
      this.#examination.violate(sight.damage, found, cut);
    }
    return visible;
  }

  #pairItem(pair: number, suffix: string): ReturnType<typeof writeItem> {
    const slotIndex = this.#pairSlot[pair] ?? 0;
    return this.#writeItem(this.#pairWrite[pair] ?? 0, this.#view.slots[slotIndex]?.lba, suffix);
  }

  #writeItem(index: number, lba: number | undefined, suffix: string): ReturnType<typeof writeItem> {
    const write = this.#view.write(index);
    if (write === undefined) return { what: `a write that is not on record ${suffix}` };
    const item = writeItem(write, this.#view.vdisk(write.vdiskId), lba);
    return { ...item, what: `${item.what} ${suffix}` };
  }
}

function nameOf(point: RecoveryPointRecord, reading: PointReading): string {
  return `${point.name} as read at ${reading.site} ${atMs(reading.at)}`;
}
