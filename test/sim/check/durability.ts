/**
 * P1 (I1, I13): what clients of the active site see at the end. Every slot shows its last
 * acknowledged write or a later one of unknown outcome; never a torn, rotten or foreign block, never
 * a write that was refused, and never an older write than one that was acknowledged.
 *
 * Stricter than the prefix condition in one point: a write that was answered with an error is over
 * when the client was told so. If it shows up on top of a write that was issued after that and
 * acknowledged, a block client loses data although nobody lied to it about either write.
 */

import type { Slot } from "../../../services/guest/index.ts";
import { type BranchView, viewBranches } from "./branchView.ts";
import type { FinalImage, RunRecord, Verdict, WitnessItem, WriteRecord } from "./contracts.ts";
import { Examination, endOf, writeItem } from "./examination.ts";

/** Checks every slot of every final image. */
export async function checkDurability(record: RunRecord): Promise<Verdict> {
  const examination = new Examination("P1", "acknowledged writes are there at the end");
  const views = viewBranches(record);
  for (const image of record.finals) {
    const view = views.get(image.runId);
    if (view !== undefined) await checkImage(view, image, examination);
  }
  return examination.conclude("slots of final images");
}

async function checkImage(
  view: BranchView,
  image: FinalImage,
  examination: Examination,
): Promise<void> {
  const newest = newestAcknowledged(view);
  for (const slot of view.slots) {
    examination.examine();
    const sight = await view.sight(slot, await image.read(slot));
    const vdisk = view.vdisk(slot.vdiskId);
    const place = { vdisk: vdisk.name, lba: slot.lba, at: image.at };
    const last = newest[view.slotIndex(slot)];
    if (sight.kind === "damage") {
      const what = `slot ${slot.lba} of ${vdisk.name} shows ${sight.text}`;
      examination.violate(sight.damage, { ...place, what }, expectation(view, slot, last));
      continue;
    }
    if (last === undefined) continue;
    const shown = sight.kind === "write" ? view.write(sight.index) : undefined;
    if (shown !== undefined && endOf(shown) >= last.invoked.order) continue;
    const found: WitnessItem =
      shown === undefined
        ? { ...place, what: `slot ${slot.lba} of ${vdisk.name} shows what it began with` }
        : writeItem(shown, vdisk, slot.lba);
    const kind = shown?.outcome === "indeterminate" ? "came-back" : "lost-write";
    examination.violate(kind, found, writeItem(last, vdisk, slot.lba));
  }
}

/** For each slot the acknowledged write that was issued last. */
function newestAcknowledged(view: BranchView): readonly (WriteRecord | undefined)[] {
  const newest: (WriteRecord | undefined)[] = [];
  for (const write of view.branch.writes) {
    if (write.outcome !== "acknowledged") continue;
    for (let lba = write.lba; lba < write.lba + write.parts; lba++) {
      const index = view.slotIndex({ vdiskId: write.vdiskId, lba });
      const before = newest[index];
      if (before === undefined || before.invoked.order < write.invoked.order) newest[index] = write;
    }
  }
  return newest;
}

function expectation(view: BranchView, slot: Slot, last: WriteRecord | undefined): WitnessItem {
  if (last !== undefined) return writeItem(last, view.vdisk(slot.vdiskId), slot.lba);
  return { what: `nothing was acknowledged there since the branch began in ${view.branch.site}` };
}
