/**
 * Looking up recovery points: by id, or by name inside a protection domain.
 */

import { AntipodeError } from "../../base/errors.ts";
import { type RecoveryPointRecord, siteKeys } from "../../base/siteRecords.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import { listRecords, readRecord, type Stored } from "../state/store.ts";

/** All points of a protection domain ("" for all domains), in order of their arrival here. */
export async function listPoints(
  coordinator: Coordinator,
  pd: string,
): Promise<readonly Stored<RecoveryPointRecord>[]> {
  const all = await listRecords<RecoveryPointRecord>(coordinator, siteKeys.recoveryPoints);
  return all
    .filter((point) => pd === "" || point.value.protectionDomain === pd)
    .toSorted((a, b) => a.createRevision - b.createRevision);
}

/**
 * A recovery point by id, or by name when the domain is given.
 * @throws AntipodeError `RECOVERY_POINT_NOT_FOUND`
 */
export async function findPoint(
  coordinator: Coordinator,
  pd: string,
  idOrName: string,
): Promise<Stored<RecoveryPointRecord>> {
  const byId = /^[0-9a-f]{32}$/.test(idOrName)
    ? await readRecord<RecoveryPointRecord>(coordinator, siteKeys.recoveryPoint(idOrName))
    : undefined;
  if (byId !== undefined && (pd === "" || byId.value.protectionDomain === pd)) return byId;
  const points = pd === "" ? [] : await listPoints(coordinator, pd);
  // Two sites may each have given a name once; the one that came last is meant.
  const byName = points.findLast((point) => point.value.name === idOrName);
  if (byName !== undefined) return byName;
  throw new AntipodeError(
    "RECOVERY_POINT_NOT_FOUND",
    pd === ""
      ? `there is no recovery point with the id ${idOrName}; a name needs its protection domain`
      : `the protection domain ${pd} has no recovery point ${idOrName} here`,
    { pd, recoveryPoint: idOrName },
  );
}
