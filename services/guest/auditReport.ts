/**
 * What an audit found: counts for each vDisk and for the whole group, the pair that proves a violation,
 * and a map of every vDisk. Times are µs of the journal's line, which is the wall clock.
 */

import { type SlotVerdictName, slotVerdicts } from "./slotVerdict.ts";

/** A write as a report names it. */
export interface NamedWrite {
  readonly gseq: number;
  readonly vdisk: string;
  readonly lba: number;
  readonly bytes: number;
  readonly issuedAtMicros: number;
  readonly acknowledgedAtMicros: number | undefined;
}

export interface SlotProblem {
  readonly vdisk: string;
  readonly lba: number;
  readonly verdict: SlotVerdictName;
  /** A sentence with what was found. */
  readonly found: string;
}

/** What the record says was acknowledged, against what is there. */
export interface AuditTally {
  readonly acknowledged: number;
  readonly acknowledgedBytes: number;
  /** Acknowledged writes of which every block is there. */
  readonly kept: number;
  readonly lost: number;
  /** Bytes of the lost writes' blocks that are not there. */
  readonly lostBytes: number;
  /** Lost writes although a write that was issued after their answer is there. */
  readonly outOfOrder: number;
  /** Slots whose sectors are of different writes. */
  readonly torn: number;
  /** Slots with bytes of no write, of another place or of another run. */
  readonly rotten: number;
}

export interface VdiskAudit extends AuditTally {
  readonly vdisk: string;
}

/**
 * States of a map's cell, from harmless to worst: a cell shows the worst of its slots. "." never
 * written, o as it must be, l whole but a newer acknowledged write is lost, s older than it must be,
 * t torn, m of another place, g ghost, r rot.
 */
export const CELL_STATES = ".olstmgr";

export interface SlotMap {
  readonly vdisk: string;
  readonly slots: number;
  readonly slotsPerCell: number;
  /** A letter of `CELL_STATES` for each cell. */
  readonly cells: string;
}

export interface AuditReport {
  /** No damaged, foreign or stale slot, a prefix, and nothing missing that was required. */
  readonly ok: boolean;
  readonly slots: Readonly<Record<SlotVerdictName, number>>;
  readonly problems: readonly SlotProblem[];
  /** P2: the image is a prefix of the acknowledged order over all vDisks of each writer. */
  readonly isPrefix: boolean;
  /** When it is not: `present` was issued after `missing` had been acknowledged. */
  readonly witness: { readonly missing: NamedWrite; readonly present: NamedWrite } | undefined;
  readonly writesIssued: number;
  readonly writesAcknowledged: number;
  readonly writesIncluded: number;
  /** Acknowledged writes of which at least one block is not in the image, in order of issue. */
  readonly lost: readonly NamedWrite[];
  /** Bytes of their blocks that are not in the image. */
  readonly lostBytes: number;
  /** From the oldest lost acknowledgement to the loss of the source; 0 when nothing is lost. */
  readonly rpoMs: number;
  /** From the newest write in the image to the loss of the source. */
  readonly ageMs: number;
  /** Lost writes among those that `requiredBeforeMicros` demands. */
  readonly missingRequired: number;
  /** When the source was lost. */
  readonly failedAtMicros: number;
  /** The prefix point: everything acknowledged before it is there; `undefined` when nothing is lost. */
  readonly completeUntilMicros: number | undefined;
  /** In the order of the record. */
  readonly vdisks: readonly VdiskAudit[];
  readonly maps: readonly SlotMap[];
}

/** Slots that are listed one by one; all are counted. */
export const PROBLEMS_MAX = 100;

/** What is there of a group: the sum over its vDisks. */
export function tallyOf(vdisks: readonly AuditTally[]): AuditTally {
  const sum = (of: (one: AuditTally) => number): number =>
    vdisks.reduce((total, one) => total + of(one), 0);
  return {
    acknowledged: sum((one) => one.acknowledged),
    acknowledgedBytes: sum((one) => one.acknowledgedBytes),
    kept: sum((one) => one.kept),
    lost: sum((one) => one.lost),
    lostBytes: sum((one) => one.lostBytes),
    outOfOrder: sum((one) => one.outOfOrder),
    torn: sum((one) => one.torn),
    rotten: sum((one) => one.rotten),
  };
}

export function zeroCounts(): Record<SlotVerdictName, number> {
  const entries = slotVerdicts.map((name) => [name, 0] as const);
  return Object.fromEntries(entries) as Record<SlotVerdictName, number>;
}

/** Two writers' reports as one: they are independent, so their counts add up. */
export function mergeReports(a: AuditReport, b: AuditReport): AuditReport {
  const slots = zeroCounts();
  for (const name of slotVerdicts) slots[name] = a.slots[name] + b.slots[name];
  return {
    ok: a.ok && b.ok,
    slots,
    problems: [...a.problems, ...b.problems].slice(0, PROBLEMS_MAX),
    isPrefix: a.isPrefix && b.isPrefix,
    witness: a.witness ?? b.witness,
    writesIssued: a.writesIssued + b.writesIssued,
    writesAcknowledged: a.writesAcknowledged + b.writesAcknowledged,
    writesIncluded: a.writesIncluded + b.writesIncluded,
    lost: [...a.lost, ...b.lost],
    lostBytes: a.lostBytes + b.lostBytes,
    rpoMs: Math.max(a.rpoMs, b.rpoMs),
    ageMs: Math.max(a.ageMs, b.ageMs),
    missingRequired: a.missingRequired + b.missingRequired,
    failedAtMicros: Math.max(a.failedAtMicros, b.failedAtMicros),
    completeUntilMicros: earlier(a.completeUntilMicros, b.completeUntilMicros),
    vdisks: [...a.vdisks, ...b.vdisks],
    maps: [...a.maps, ...b.maps],
  };
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
