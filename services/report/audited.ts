/**
 * The report of an audit in the form of the result of a run: also what `antipode audit --json` prints.
 * Times become Unix ms.
 */

import { type AuditReport, type AuditTally, tallyOf } from "../guest/index.ts";
import type { Audit } from "./result.ts";

const MICROS_PER_MS = 1000;
/** Bad blocks that are told in words; all are counted. */
const PROBLEMS_MAX = 20;

type NamedWrite = AuditReport["lost"][number];

/** What is kept of a report: everything but the list of each lost write. */
export function auditOf(report: AuditReport): Audit {
  const group = tallyOf(report.vdisks);
  const byAnswer = [...report.lost].sort((a, b) => answeredAt(a) - answeredAt(b));
  const [first, last] = [byAnswer[0], byAnswer.at(-1)];
  const { witness } = report;
  return {
    ok: report.ok,
    isPrefix: report.isPrefix,
    ...countsOf(group),
    required: report.missingRequired,
    bytes: group.acknowledgedBytes,
    rpoMs: report.rpoMs,
    failedAtMs: ms(report.failedAtMicros),
    ...(report.completeUntilMicros === undefined
      ? {}
      : { completeUntilMs: ms(report.completeUntilMicros) }),
    ...(first === undefined ? {} : { firstLost: named(first) }),
    ...(last === undefined ? {} : { lastLost: named(last) }),
    ...(witness === undefined
      ? {}
      : { witness: { missing: named(witness.missing), present: named(witness.present) } }),
    problems: report.problems
      .slice(0, PROBLEMS_MAX)
      .map(({ vdisk, lba, verdict, found }) => `${vdisk} block ${lba}: ${verdict}, ${found}`),
    vdisks: report.vdisks.map((one) => ({ vdisk: one.vdisk, ...countsOf(one) })),
    maps: report.maps.map(({ vdisk, slots, slotsPerCell, cells }) => ({
      vdisk,
      blocks: slots,
      blocksPerCell: slotsPerCell,
      cells,
    })),
  };
}

function countsOf(tally: AuditTally): Omit<Audit["vdisks"][number], "vdisk"> {
  const { acknowledged, kept, lost, lostBytes, torn, rotten, outOfOrder } = tally;
  return { acknowledged, kept, lost, lostBytes, torn, rotten, outOfOrder };
}

function named(write: NamedWrite): NonNullable<Audit["firstLost"]> {
  const { gseq, vdisk, lba, bytes, issuedAtMicros, acknowledgedAtMicros } = write;
  return {
    gseq,
    vdisk,
    lba,
    bytes,
    issuedAtMs: ms(issuedAtMicros),
    ...(acknowledgedAtMicros === undefined ? {} : { acknowledgedAtMs: ms(acknowledgedAtMicros) }),
  };
}

function answeredAt({ acknowledgedAtMicros }: NamedWrite): number {
  return acknowledgedAtMicros ?? Number.POSITIVE_INFINITY;
}

function ms(micros: number): number {
  return micros / MICROS_PER_MS;
}
