/**
 * P3 (I4, I5): a recovery point never changes, and is the same at every site: the same vDisks, sizes
 * and roots as when it was taken, and byte for byte the same content in every reading, before faults
 * and after, here and there. Roots and bytes are compared apart: a root that is right over wrong
 * bytes is the worst kind of wrong.
 */

import { equalBytes } from "../../../services/base/bytes.ts";
import type {
  Branch,
  PointReading,
  PointVdisk,
  RecoveryPointRecord,
  RunRecord,
  Verdict,
  WitnessItem,
} from "./contracts.ts";
import { atMs, Examination, momentItem } from "./examination.ts";

/** Compares every reading with the point's own record and with the first reading of the point. */
export async function checkReplicas(record: RunRecord): Promise<Verdict> {
  const examination = new Examination("P3", "recovery points are equal everywhere and for ever");
  let comparisons = 0;
  const branches = new Map(record.branches.map((branch) => [branch.runId, branch]));
  for (const point of record.points) {
    const readings = record.readings.filter(({ pointId }) => pointId === point.id);
    const first = readings[0];
    for (const reading of readings) {
      examination.examine();
      checkCatalogue(point, reading, examination);
      const branch = branches.get(point.runId);
      if (first === undefined || reading === first || branch === undefined) continue;
      comparisons += 1;
      await compareContent({ point, branch, first, reading, examination });
    }
  }
  const vacuous = comparisons === 0 ? "no recovery point was read twice" : undefined;
  return examination.conclude("readings of recovery points", vacuous);
}

/** The site's list of vDisks against the one that was told when the point was taken. */
function checkCatalogue(
  point: RecoveryPointRecord,
  reading: PointReading,
  examination: Examination,
): void {
  const there = new Map(reading.vdisks.map((vdisk) => [vdisk.vdiskId, vdisk]));
  const expected = new Set(point.vdisks.map(({ vdiskId }) => vdiskId));
  for (const vdisk of point.vdisks) {
    const other = there.get(vdisk.vdiskId);
    const kind = differenceOf(vdisk, other);
    if (kind === undefined) continue;
    examination.violate(kind, vdiskItem(point, reading, other), {
      what: `${point.site} took it with ${textOf(vdisk)} ${atMs(point.taken)}`,
      at: point.taken,
    });
  }
  for (const extra of reading.vdisks.filter(({ vdiskId }) => !expected.has(vdiskId)))
    examination.violate("vdisk-too-many", vdiskItem(point, reading, extra), {
      what: `${point.site} took it without that vDisk ${atMs(point.taken)}`,
      at: point.taken,
    });
}

function differenceOf(vdisk: PointVdisk, other: PointVdisk | undefined): string | undefined {
  if (other === undefined) return "vdisk-missing";
  if (other.root !== vdisk.root) return "root-differs";
  return other.sizeBytes === vdisk.sizeBytes ? undefined : "size-differs";
}

async function compareContent(parts: {
  readonly point: RecoveryPointRecord;
  readonly branch: Branch;
  readonly first: PointReading;
  readonly reading: PointReading;
  readonly examination: Examination;
}): Promise<void> {
  const { point, branch, first, reading, examination } = parts;
  for (const { id, name, slots } of branch.vdisks)
    for (let lba = 0; lba < slots; lba++) {
      const slot = { vdiskId: id, lba };
      if (equalBytes(await first.read(slot), await reading.read(slot))) continue;
      const kind = first.site === reading.site ? "content-changed" : "content-differs";
      const place = `slot ${lba} of ${name} in ${point.name}`;
      examination.violate(
        kind,
        { ...momentItem(`${place} as read at ${reading.site}`, reading.at), vdisk: name, lba },
        { ...momentItem(`it was other bytes at ${first.site}`, first.at), vdisk: name, lba },
      );
      return;
    }
}

function vdiskItem(
  point: RecoveryPointRecord,
  reading: PointReading,
  vdisk: PointVdisk | undefined,
): WitnessItem {
  const shown = vdisk === undefined ? "lacks a vDisk" : `has ${textOf(vdisk)}`;
  return momentItem(`${point.name} at ${reading.site} ${shown}`, reading.at);
}

function textOf({ vdiskId, root, sizeBytes }: PointVdisk): string {
  return `vDisk ${vdiskId} of ${sizeBytes} bytes with root ${root}`;
}
