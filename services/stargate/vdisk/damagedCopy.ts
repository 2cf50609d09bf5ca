/**
 * What is said when this CVM's copy of a vDisk's oplog cannot be trusted any more (P7): once to people,
 * in the log; and to whoever waits, as an error that sends it to another copy, or that names what is lost
 * when there is none.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { VdiskRecord } from "../../base/siteRecords.ts";
import type { Log } from "../../platform/log.ts";
import type { OplogReplica } from "../oplog/contracts.ts";

/** Does this CVM lack records that it has acknowledged? */
export function isDamaged(replica: OplogReplica): boolean {
  return replica.state().unknownFrom !== undefined;
}

/** The error for requests. @param otherCopies listed peers besides this CVM */
export function damagedCopyError(
  record: VdiskRecord,
  replica: OplogReplica,
  otherCopies: number,
  cause?: unknown,
): AntipodeError {
  const { unknownFrom, lastLsn } = replica.state();
  const details = { vdisk: record.name, lostFromLsn: unknownFrom ?? 0, lastLsn, otherCopies };
  if (otherCopies > 0)
    return new AntipodeError(
      "NOT_OWNER",
      "this CVM's copy of the oplog is damaged or gone: another copy takes over",
      details,
      cause,
    );
  const what =
    unknownFrom === undefined
      ? `the oplog of vDisk "${record.name}" is gone`
      : `record ${unknownFrom} of the oplog of vDisk "${record.name}" is damaged`;
  return new AntipodeError(
    "OPLOG_CORRUPT",
    `${what}, and there is no other copy: what was drained before it and the recovery points are whole`,
    details,
    cause,
  );
}

/** Tells people, when the damage is met. */
export function logDamagedCopy(
  logger: Log,
  record: VdiskRecord,
  replica: OplogReplica,
  otherCopies: number,
): void {
  const { unknownFrom, lastLsn } = replica.state();
  logger.error(
    {
      event: "vdisk.copyDamaged",
      vdisk: record.id,
      name: record.name,
      lostFromLsn: unknownFrom,
      lastLsn,
      otherCopies,
    },
    "this copy of the oplog is damaged",
  );
}
