/**
 * P8: a failed or slow remote site never slows or fails writes at an asynchronous source. Looked at
 * are writes that lie wholly inside a fault of the links of their site and away from faults of the
 * site's own machines, whose effects are other promises' business.
 */

import type { Branch, FaultRecord, RunRecord, Verdict, WriteRecord } from "./contracts.ts";
import { Examination, momentItem, writeItem } from "./examination.ts";

/** What "not slower" means. */
export interface WriteBound {
  /** No write of a calm site takes longer. */
  readonly latencyMsMax: number;
  /** Median during link faults ÷ median without, at most. */
  readonly medianFactorMax: number;
  /** A site is not calm for this long after a fault of its own. */
  readonly settleMs: number;
}

/** Medians of fewer writes than this are noise. */
export const MEDIAN_OF_MIN = 8;

/** Checks writes of every branch against the link faults of its site. */
export function checkSourceUnharmed(record: RunRecord, bound: WriteBound): Verdict {
  const examination = new Examination("P8", "link faults do not touch writes at the source");
  for (const branch of record.branches) checkBranch(record, branch, bound, examination);
  return examination.conclude("writes during link faults");
}

function checkBranch(
  record: RunRecord,
  branch: Branch,
  bound: WriteBound,
  examination: Examination,
): void {
  const { site } = branch;
  const links = record.faults.filter(({ link }) => link?.from === site || link?.to === site);
  const local = record.faults.filter(({ sites }) => sites.includes(site));
  const calmMs: number[] = [];
  const cutMs: { readonly ms: number; readonly write: WriteRecord }[] = [];
  for (const write of branch.writes) {
    const end = write.completed?.ms ?? Number.POSITIVE_INFINITY;
    if (local.some((fault) => overlaps(fault, write.invoked.ms - bound.settleMs, end))) continue;
    const fault = links.find((link) => isInside(link, write));
    const ms = end - write.invoked.ms;
    if (fault === undefined) {
      const isClear = !links.some((link) => overlaps(link, write.invoked.ms, end));
      if (isClear && write.outcome === "acknowledged") calmMs.push(ms);
      continue;
    }
    examination.examine();
    cutMs.push({ ms, write });
    const kind = kindOf(write, ms, bound);
    if (kind !== undefined)
      examination.violate(
        kind,
        itemOf(branch, write),
        momentItem(`only ${fault.what} was wrong`, fault.from),
      );
  }
  compareMedians({ branch, calmMs, cutMs, bound, examination });
}

function kindOf(write: WriteRecord, ms: number, bound: WriteBound): string | undefined {
  if (write.completed !== undefined && write.outcome !== "acknowledged") return "failed-while-cut";
  return ms > bound.latencyMsMax ? "slow-while-cut" : undefined;
}

function compareMedians(parts: {
  readonly branch: Branch;
  readonly calmMs: readonly number[];
  readonly cutMs: readonly { readonly ms: number; readonly write: WriteRecord }[];
  readonly bound: WriteBound;
  readonly examination: Examination;
}): void {
  const { branch, calmMs, cutMs, bound, examination } = parts;
  if (calmMs.length < MEDIAN_OF_MIN || cutMs.length < MEDIAN_OF_MIN) return;
  const calm = calmMs.toSorted((a, b) => a - b)[Math.floor(calmMs.length / 2)] ?? 0;
  const middle = cutMs.toSorted((a, b) => a.ms - b.ms)[Math.floor(cutMs.length / 2)];
  if (middle === undefined || middle.ms <= calm * bound.medianFactorMax) return;
  examination.violate("slower-while-cut", itemOf(branch, middle.write), {
    what: `the median during link faults is ${middle.ms} ms, without ${calm} ms`,
  });
}

function itemOf(branch: Branch, write: WriteRecord): ReturnType<typeof writeItem> {
  const vdisk = branch.vdisks.find(({ id }) => id === write.vdiskId);
  return writeItem(write, vdisk ?? { name: `vDisk ${write.vdiskId}` });
}

function overlaps(fault: FaultRecord, fromMs: number, untilMs: number): boolean {
  return fault.from.ms <= untilMs && (fault.until?.ms ?? Number.POSITIVE_INFINITY) >= fromMs;
}

/** A write that is never answered is inside when it was issued during the fault. */
function isInside(fault: FaultRecord, write: WriteRecord): boolean {
  const until = fault.until?.order ?? Number.POSITIVE_INFINITY;
  const end = write.completed?.order ?? write.invoked.order;
  return write.invoked.order > fault.from.order && end < until;
}
