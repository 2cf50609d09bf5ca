/**
 * Deleting a recovery point: refused while a job uses it. Deleting frees no bytes by itself; what
 * nothing else refers to is collected later.
 */

import { AntipodeError } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Site } from "../site.ts";
import { cerebroKeys, type HoldRecord, type JobRecord, type PdRecord } from "../state/records.ts";
import {
  commit,
  deleteKey,
  listRecords,
  putRecord,
  readRecord,
  unchanged,
} from "../state/store.ts";
import { findPoint, listPoints } from "./points.ts";

/** Ids of the open jobs that hold a recovery point. A hold ends with its job, whatever is left of it. */
export async function holdersOf(site: Site, pointId: string): Promise<readonly string[]> {
  const holds = await listRecords<HoldRecord>(site.coordinator, cerebroKeys.holdsOf(pointId));
  const holders: string[] = [];
  for (const { value } of holds) {
    const job = await readRecord<JobRecord>(site.coordinator, cerebroKeys.job(value.jobId));
    if (job !== undefined && !isEnded(job.value.state)) holders.push(value.jobId);
  }
  return holders;
}

/**
 * @throws AntipodeError `RECOVERY_POINT_NOT_FOUND`, `RECOVERY_POINT_HELD`
 */
export async function deletePoint(
  site: Site,
  term: Term,
  order: { readonly pd: string; readonly recoveryPoint: string },
): Promise<void> {
  const point = await findPoint(site.coordinator, order.pd, order.recoveryPoint);
  const { id, name, protectionDomain } = point.value;
  const holders = await holdersOf(site, id);
  if (holders.length > 0)
    throw new AntipodeError(
      "RECOVERY_POINT_HELD",
      `the recovery point ${name} is used by the job ${holders.join(", ")}`,
      { recoveryPoint: id },
    );
  const when = [unchanged(point)];
  const then = [deleteKey(point.key), deleteKey(cerebroKeys.received(id))];
  const pd = await readRecord<PdRecord>(site.coordinator, cerebroKeys.pd(protectionDomain));
  if (pd?.value.newestPointId === id) {
    const others = await listPoints(site.coordinator, protectionDomain);
    const newest = others.findLast((other) => other.value.id !== id)?.value;
    const headed: PdRecord = {
      ...pd.value,
      newestPointId: newest?.id ?? "",
      newestPointName: newest?.name ?? "",
    };
    when.push(unchanged(pd));
    then.push(putRecord(pd.key, headed));
  }
  await commit(site.coordinator, term, when, then);
}
