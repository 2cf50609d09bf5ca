/**
 * P3: a recovery point that an operator was told of stays until somebody asks for its deletion: where it was
 * taken, and at every site to which its replication was told to be complete. Told from what sites list when
 * they are asked for their points.
 *
 * What a site was told while its etcd had lost its data, and has since got them back from before, is gone with
 * what that etcd knew: nobody promises otherwise (FAULT_MODEL.md, "etcd wiped or restored from a backup").
 */

import type {
  Instant,
  PointCatalogue,
  RecoveryPointRecord,
  RunRecord,
  Verdict,
} from "./contracts.ts";
import { atMs, Examination, momentItem } from "./examination.ts";

/** Faults that take back what etcd was told during them. */
const FORGETS = /^(wipe|restore)Etcd/;

/** Checks every list of points against what had been told before it was asked for. */
export function checkKeptPoints(record: RunRecord): Verdict {
  const examination = new Examination("P3", "recovery points stay where they were told to be");
  const deleted = new Set(record.deletedPointIds);
  for (const point of record.points.filter(({ id }) => !deleted.has(id)))
    for (const catalogue of record.catalogues) {
      const told = toldAt(record, point, catalogue);
      if (told === undefined) continue;
      examination.examine();
      if (catalogue.pointIds.includes(point.id)) continue;
      const listed = `${catalogue.site} listed its recovery points without ${point.name}`;
      examination.violate("point-missing", momentItem(listed, catalogue.asked), told);
    }
  return examination.conclude("recovery points in lists");
}

/** Why the point must be in the list, if it must. */
function toldAt(
  record: RunRecord,
  point: RecoveryPointRecord,
  { site, asked }: PointCatalogue,
): ReturnType<typeof momentItem> | undefined {
  const isKept = (from: Instant, until: Instant): boolean =>
    until.order < asked.order && !isForgotten(record, site, from, until);
  if (point.site === site && isKept(point.requested, point.taken))
    return momentItem(`${point.name} was told to be taken ${atMs(point.taken)}`, point.taken);
  const replication = record.replications.find(
    ({ pointId, targetSite, outcome, started, ended }) =>
      pointId === point.id &&
      targetSite === site &&
      outcome === "completed" &&
      ended !== undefined &&
      isKept(started, ended),
  );
  return replication?.ended === undefined
    ? undefined
    : momentItem(`job ${replication.jobId} was told to be done`, replication.ended);
}

function isForgotten(record: RunRecord, site: string, from: Instant, until: Instant): boolean {
  return record.faults.some(
    (fault) =>
      FORGETS.test(fault.what) &&
      fault.sites.includes(site) &&
      fault.from.order < until.order &&
      (fault.until?.order ?? Number.POSITIVE_INFINITY) > from.order,
  );
}
