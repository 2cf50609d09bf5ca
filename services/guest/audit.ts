/**
 * The verdict on an image: every slot of every vDisk of a writer is judged (slotVerdict.ts), then all
 * of them together (prefix.ts): is the image a prefix of what the writer was told, and which
 * acknowledged writes are not in it? The image is anything that can be read: a recovery point, a
 * remote copy, a disk after a failover.
 */

import { AntipodeError } from "../base/errors.ts";
import { BLOCK_BYTES } from "./block.ts";
import type { Slot } from "./generator.ts";
import { buildHistory, type History, type HistoryWrite } from "./history.ts";
import type { Journal } from "./journal.ts";
import { checkPrefix, type PrefixVerdict, SHOWS_DAMAGE, SHOWS_NOTHING } from "./prefix.ts";
import { judgeSlot, type SlotVerdict, type SlotVerdictName, slotVerdicts } from "./slotVerdict.ts";

/** Slots that are listed one by one; all are counted. */
const PROBLEMS_MAX = 100;
const MICROS_PER_MS = 1000;

export interface AuditInput {
  readonly journal: Journal;
  /** The 4096 bytes of a slot. Called in order of vDisk and lba. */
  readonly readSlot: (slot: Slot) => Promise<Uint8Array>;
  /** When the source was lost, on the journal's time line; by default its newest record. */
  readonly failedAtMicros?: number;
  /** Everything acknowledged before this must be there: the moment a recovery point was asked for. */
  readonly requiredBeforeMicros?: number;
}

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
}

/**
 * Audits an image against the journals of all writers of its vDisks. Writers are independent: order
 * between two of them is not known, so each is checked by itself.
 * @throws AntipodeError of `readSlot`; `INVALID_ARGUMENT` when two inputs are of one run
 */
export async function auditImage(inputs: readonly AuditInput[]): Promise<AuditReport> {
  const runs = inputs.map((input) => input.journal.header.runId);
  if (new Set(runs).size !== runs.length)
    throw new AntipodeError("INVALID_ARGUMENT", "two of the histories are of the same run");
  const reports: AuditReport[] = [];
  for (const input of inputs) {
    const own = input.journal.header.runId;
    reports.push(await auditOne(input, new Set(runs.filter((run) => run !== own))));
  }
  return reports.reduce(merge, emptyReport());
}

async function auditOne(input: AuditInput, otherRuns: ReadonlySet<number>): Promise<AuditReport> {
  const history = buildHistory(input.journal);
  const table = new AuditTable(history);
  const findings = new Findings(history);
  const context = { history, otherRuns };
  for (const vdisk of input.journal.header.vdisks) {
    for (let lba = 0; lba < vdisk.slots; lba++) {
      const slot: Slot = { vdiskId: vdisk.id, lba };
      const verdict = judgeSlot(await input.readSlot(slot), slot, context);
      table.show(slot, verdict);
      findings.add(slot, verdict);
    }
  }
  return conclude(input, table, findings);
}

/** Writes, their slots, and what each slot shows, in columns. */
class AuditTable {
  readonly history: History;
  readonly writes: HistoryWrite[];
  readonly visible: Int32Array;
  readonly pairWrite: Int32Array;
  readonly pairSlot: Int32Array;
  readonly #byGseq: Map<number, number>;

  constructor(history: History) {
    this.history = history;
    this.writes = [...history.writes];
    this.#byGseq = new Map(history.byGseq);
    this.visible = new Int32Array(history.slotCount).fill(SHOWS_NOTHING);
    const pairs = this.writes.reduce((sum, write) => sum + write.parts, 0);
    this.pairWrite = new Int32Array(pairs);
    this.pairSlot = new Int32Array(pairs);
    let pair = 0;
    this.writes.forEach((write, index) => {
      for (let part = 0; part < write.parts; part++, pair++) {
        this.pairWrite[pair] = index;
        this.pairSlot[pair] = this.slotIndex(write.vdiskId, write.lba + part);
      }
    });
  }

  slotIndex(vdiskId: number, lba: number): number {
    return (this.history.slotBase.get(vdiskId) ?? 0) + lba;
  }

  show(slot: Slot, verdict: SlotVerdict): void {
    const index = this.slotIndex(slot.vdiskId, slot.lba);
    if (verdict.kind === "zero") return;
    this.visible[index] = verdict.kind === "ok" ? this.#indexOf(slot, verdict) : SHOWS_DAMAGE;
  }

  /** A write that a lost buffer swallowed joins the table: issued late, outcome unknown. */
  #indexOf(slot: Slot, { header }: SlotVerdict & { kind: "ok" }): number {
    const known = this.#byGseq.get(header.gseq);
    if (known !== undefined) return known;
    const since = this.history.unjournaledSince(header.gseq) ?? 0;
    this.writes.push({
      gseq: header.gseq,
      vdiskId: slot.vdiskId,
      lba: slot.lba - header.part,
      parts: header.parts,
      bodySeed: header.bodySeed,
      repeatShare: header.repeatShare,
      invPosition: since,
      invMicros: this.history.lastMicros,
      ackPosition: Number.POSITIVE_INFINITY,
      ackMicros: undefined,
    });
    this.#byGseq.set(header.gseq, this.writes.length - 1);
    return this.writes.length - 1;
  }
}

/** Counts of verdicts and the first problems. */
class Findings {
  readonly counts: Record<SlotVerdictName, number>;
  readonly problems: SlotProblem[] = [];
  readonly #names: ReadonlyMap<number, string>;

  constructor(history: History) {
    this.counts = zeroCounts();
    this.#names = new Map(history.journal.header.vdisks.map((vdisk) => [vdisk.id, vdisk.name]));
  }

  vdiskName(id: number): string {
    return this.#names.get(id) ?? `vDisk ${id}`;
  }

  add(slot: Slot, verdict: SlotVerdict): void {
    this.counts[verdict.kind] += 1;
    if (verdict.kind !== "ok" && verdict.kind !== "zero")
      this.note(slot, verdict.kind, describe(verdict));
  }

  /** An ok block that had to be newer. */
  addStale(slot: Slot, found: string): void {
    this.counts.ok -= 1;
    this.counts.stale += 1;
    this.note(slot, "stale", found);
  }

  note(slot: Slot, verdict: SlotVerdictName, found: string): void {
    if (this.problems.length >= PROBLEMS_MAX) return;
    this.problems.push({ vdisk: this.vdiskName(slot.vdiskId), lba: slot.lba, verdict, found });
  }
}

function conclude(input: AuditInput, table: AuditTable, findings: Findings): AuditReport {
  const invPosition = Float64Array.from(table.writes, (write) => write.invPosition);
  const ackPosition = Float64Array.from(table.writes, (write) => write.ackPosition);
  const { pairWrite, pairSlot, visible } = table;
  const prefix = checkPrefix({ invPosition, ackPosition, pairWrite, pairSlot, visible });
  const missing = findMissing(input, table, prefix, findings);
  const failedAt = input.failedAtMicros ?? table.history.lastMicros;
  const newest = table.writes[prefix.newestVisible];
  const oldestLost = missing.lost.reduce(
    (oldest, write) => Math.min(oldest, write.acknowledgedAtMicros ?? oldest),
    failedAt,
  );
  const { torn, rot, misdirected, ghost, stale } = findings.counts;
  const badSlots = torn + rot + misdirected + ghost + stale;
  return {
    ok: badSlots === 0 && prefix.holds && missing.required === 0,
    slots: findings.counts,
    problems: findings.problems,
    isPrefix: prefix.holds,
    witness: prefix.holds ? undefined : witnessOf(table, prefix, findings),
    writesIssued: table.history.writes.length,
    writesAcknowledged: table.history.writes.filter((w) => w.ackMicros !== undefined).length,
    writesIncluded: table.history.writes.length - missing.incomplete,
    lost: missing.lost,
    lostBytes: missing.lost.reduce((sum, write) => sum + write.bytes, 0),
    rpoMs: (failedAt - oldestLost) / MICROS_PER_MS,
    ageMs: newest === undefined ? 0 : Math.max(0, failedAt - newest.invMicros) / MICROS_PER_MS,
    missingRequired: missing.required,
  };
}

interface Missing {
  readonly lost: readonly NamedWrite[];
  /** Writes, acknowledged or not, of which a block is missing. */
  readonly incomplete: number;
  readonly required: number;
}

/** Sums the missing blocks of every write, and marks slots that had to be newer as stale. */
function findMissing(
  input: AuditInput,
  table: AuditTable,
  prefix: PrefixVerdict,
  findings: Findings,
): Missing {
  const newestInv = table.writes[prefix.newestVisible]?.invPosition ?? Number.NEGATIVE_INFINITY;
  const requiredBefore = input.requiredBeforeMicros ?? Number.NEGATIVE_INFINITY;
  const staleSlots = new Set<number>();
  const lost: NamedWrite[] = [];
  let incomplete = 0;
  let required = 0;
  for (let pair = 0; pair < table.pairWrite.length; ) {
    const write = table.writes[table.pairWrite[pair] ?? 0];
    if (write === undefined) break;
    const isRequired = write.ackMicros !== undefined && write.ackMicros < requiredBefore;
    let missingBlocks = 0;
    for (const end = pair + write.parts; pair < end; pair++) {
      if (prefix.included[pair] === 1) continue;
      missingBlocks += 1;
      const slotIndex = table.pairSlot[pair] ?? 0;
      if (!isRequired && !(write.ackPosition < newestInv)) continue;
      if (staleSlots.has(slotIndex) || table.visible[slotIndex] === SHOWS_DAMAGE) continue;
      staleSlots.add(slotIndex);
      markStale(table, findings, slotIndex, { write, part: write.parts - (end - pair) });
    }
    if (missingBlocks === 0) continue;
    incomplete += 1;
    if (isRequired) required += 1;
    if (write.ackMicros !== undefined)
      lost.push({ ...nameWrite(write, findings), bytes: missingBlocks * BLOCK_BYTES });
  }
  return { lost, incomplete, required };
}

function markStale(
  table: AuditTable,
  findings: Findings,
  slotIndex: number,
  missing: { write: HistoryWrite; part: number },
): void {
  const { write, part } = missing;
  const slot: Slot = { vdiskId: write.vdiskId, lba: write.lba + part };
  const shown = table.writes[table.visible[slotIndex] ?? SHOWS_NOTHING];
  const found = `acknowledged write ${write.gseq} is missing; it shows`;
  if (shown === undefined) findings.note(slot, "zero", `${found} zeros`);
  else findings.addStale(slot, `${found} write ${shown.gseq}`);
}

function witnessOf(
  table: AuditTable,
  prefix: PrefixVerdict,
  findings: Findings,
): AuditReport["witness"] {
  const missing = table.writes[table.pairWrite[prefix.oldestMissingPair] ?? -1];
  const visible = table.writes[prefix.newestVisible];
  if (missing === undefined || visible === undefined) return undefined;
  return { missing: nameWrite(missing, findings), present: nameWrite(visible, findings) };
}

function nameWrite(write: HistoryWrite, findings: Findings): NamedWrite {
  return {
    gseq: write.gseq,
    vdisk: findings.vdiskName(write.vdiskId),
    lba: write.lba,
    bytes: write.parts * BLOCK_BYTES,
    issuedAtMicros: write.invMicros,
    acknowledgedAtMicros: write.ackMicros,
  };
}

function describe(verdict: SlotVerdict): string {
  switch (verdict.kind) {
    case "ok":
      return `write ${verdict.header.gseq}`;
    case "zero":
      return "zeros";
    case "torn":
      return `sectors of writes ${verdict.sectors.join(" ")} (0 zeros, -1 nobody's)`;
    case "rot":
      return verdict.bits === undefined ? "bytes of no write" : `${verdict.bits} wrong bits`;
    case "misdirected":
      return `block ${verdict.header.lba} of vDisk ${verdict.header.vdiskId}, run ${verdict.header.runId}`;
    case "ghost":
      return `write ${verdict.header.gseq} of run ${verdict.header.runId}, which was never issued here`;
  }
}

function zeroCounts(): Record<SlotVerdictName, number> {
  const entries = slotVerdicts.map((name) => [name, 0] as const);
  return Object.fromEntries(entries) as Record<SlotVerdictName, number>;
}

function emptyReport(): AuditReport {
  return {
    ok: true,
    slots: zeroCounts(),
    problems: [],
    isPrefix: true,
    witness: undefined,
    writesIssued: 0,
    writesAcknowledged: 0,
    writesIncluded: 0,
    lost: [],
    lostBytes: 0,
    rpoMs: 0,
    ageMs: 0,
    missingRequired: 0,
  };
}

function merge(a: AuditReport, b: AuditReport): AuditReport {
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
  };
}
