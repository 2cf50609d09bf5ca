/**
 * P3: a recovery point that an operator was told of stays until somebody asks for its deletion: where it was
 * taken, and at every site to which its replication was told to be complete. Told from what sites list when
 * they are asked for their points.
 */

import type { PointCatalogue, RecoveryPointRecord, RunRecord, Verdict } from "./contracts.ts";
import { atMs, Examination, momentItem } from "./examination.ts";

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
  if (point.site === site && point.taken.order < asked.order)
    return momentItem(`${point.name} was told to be taken ${atMs(point.taken)}`, point.taken);
  const replication = record.replications.find(
    ({ pointId, targetSite, outcome, ended }) =>
      pointId === point.id &&
      targetSite === site &&
      outcome === "completed" &&
      ended !== undefined &&
      ended.order < asked.order,
  );
  return replication?.ended === undefined
    ? undefined
    : momentItem(`job ${replication.jobId} was told to be done`, replication.ended);
}
