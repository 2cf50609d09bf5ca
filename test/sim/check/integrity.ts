/**
 * P7 (I5, I13): bytes that fail their check are never returned, and never replicated. Every block
 * that any client, recovery point or final image showed is whole and carries the identity of a write
 * to its own place. Shown only by runs in which a medium lied.
 */

import { type BranchView, viewBranches } from "./branchView.ts";
import type { FaultRecord, Instant, RunRecord, SlotReader, Verdict } from "./contracts.ts";
import { Examination, momentItem } from "./examination.ts";

/** Torn, rotten, stale and misdirected sectors. */
const MEDIA_FAULTS: ReadonlySet<string> = new Set(["F5", "F7", "F8"]);

/** Looks at every block on record. */
export async function checkIntegrity(record: RunRecord): Promise<Verdict> {
  const examination = new Examination("P7", "damaged bytes are never returned");
  const media = record.faults.filter(({ kind }) => MEDIA_FAULTS.has(kind));
  const views = viewBranches(record);
  const runOfPoint = new Map(record.points.map(({ id, runId }) => [id, runId]));
  const looker = new Looker(examination, media);
  for (const { runId, vdiskId, lba, result, completed, client } of record.reads) {
    const view = views.get(runId);
    if (view === undefined || !("block" in result)) continue;
    const source = { view, who: `client ${client}`, at: completed };
    await looker.look(source, { vdiskId, lba }, result.block);
  }
  for (const { pointId, read, site, at } of record.readings) {
    const view = views.get(runOfPoint.get(pointId) ?? -1);
    if (view !== undefined)
      await looker.lookAtAll({ view, who: `${pointId} at ${site}`, at }, read);
  }
  for (const { runId, read, at } of record.finals) {
    const view = views.get(runId);
    if (view !== undefined) await looker.lookAtAll({ view, who: "the final image", at }, read);
  }
  return examination.conclude("blocks", media.length === 0 ? "no medium lied" : undefined);
}

interface Source {
  readonly view: BranchView;
  readonly who: string;
  readonly at: Instant;
}

class Looker {
  readonly #examination: Examination;
  readonly #media: readonly FaultRecord[];

  constructor(examination: Examination, media: readonly FaultRecord[]) {
    this.#examination = examination;
    this.#media = media;
  }

  async lookAtAll(source: Source, read: SlotReader): Promise<void> {
    for (const slot of source.view.slots) await this.look(source, slot, await read(slot));
  }

  async look(
    { view, who, at }: Source,
    slot: { vdiskId: number; lba: number },
    block: Uint8Array,
  ): Promise<void> {
    this.#examination.examine();
    const sight = await view.sight(slot, block);
    // A write that was refused, or is missing, is whole: P1 and P2 judge it.
    if (sight.kind !== "damage") return;
    if (sight.damage === "refused-visible" || sight.damage === "base-lost") return;
    const vdisk = view.vdisk(slot.vdiskId).name;
    const found = momentItem(`${who} showed slot ${slot.lba} of ${vdisk} as ${sight.text}`, at);
    const fault = this.#media.findLast(({ from }) => from.order < at.order);
    const against =
      fault === undefined
        ? { what: "its checks had to refuse that" }
        : momentItem(`its checks had to refuse what came of ${fault.what}`, fault.from);
    this.#examination.violate(sight.damage, { ...found, vdisk, lba: slot.lba }, against);
  }
}
