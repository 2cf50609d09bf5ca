/**
 * The verdict on an image: every slot of every vDisk of a writer is judged (slotVerdict.ts), then all
 * of them together (prefix.ts): is the image a prefix of what the writer was told, and which
 * acknowledged writes are not in it? The image is anything that can be read: a recovery point, a
 * remote copy, a disk after a failover.
 */

import { AntipodeError } from "../base/errors.ts";
import { AuditFindings } from "./auditFindings.ts";
import { type AuditReport, mergeReports, type NamedWrite } from "./auditReport.ts";
import { AuditTable } from "./auditTable.ts";
import { BLOCK_BYTES } from "./block.ts";
import type { Slot } from "./generator.ts";
import { buildHistory } from "./history.ts";
import type { Journal } from "./journal.ts";
import { checkPrefix, type PrefixVerdict, SHOWS_DAMAGE, SHOWS_NOTHING } from "./prefix.ts";
import { judgeSlot } from "./slotVerdict.ts";

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

/**
 * Audits an image against the journals of all writers of its vDisks. Writers are independent: order
 * between two of them is not known, so each is checked by itself.
 * @throws AntipodeError of `readSlot`; `INVALID_ARGUMENT` when two inputs are of one run, or there is none
 */
export async function auditImage(inputs: readonly AuditInput[]): Promise<AuditReport> {
  const runs = inputs.map((input) => input.journal.header.runId);
  if (runs.length === 0) throw new AntipodeError("INVALID_ARGUMENT", "an audit needs a history");
  if (new Set(runs).size !== runs.length)
    throw new AntipodeError("INVALID_ARGUMENT", "two of the histories are of the same run");
  const reports: AuditReport[] = [];
  for (const input of inputs) {
    const own = input.journal.header.runId;
    reports.push(await auditOne(input, new Set(runs.filter((run) => run !== own))));
  }
  return reports.reduce(mergeReports);
}

async function auditOne(input: AuditInput, otherRuns: ReadonlySet<number>): Promise<AuditReport> {
  const history = buildHistory(input.journal);
  const table = new AuditTable(history);
  const findings = new AuditFindings(history);
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

function conclude(input: AuditInput, table: AuditTable, findings: AuditFindings): AuditReport {
  const invPosition = Float64Array.from(table.writes, (write) => write.invPosition);
  const ackPosition = Float64Array.from(table.writes, (write) => write.ackPosition);
  const { pairWrite, pairSlot, visible } = table;
  const prefix = checkPrefix({ invPosition, ackPosition, pairWrite, pairSlot, visible });
  const missing = findMissing(input, table, prefix, findings);
  const failedAt = input.failedAtMicros ?? table.history.lastMicros;
  const newest = table.writes[prefix.newestVisible];
  const oldestLost = missing.lost.reduce(
    (oldest, { acknowledgedAtMicros }) => Math.min(oldest, acknowledgedAtMicros ?? oldest),
    Number.POSITIVE_INFINITY,
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
    rpoMs: Math.max(0, failedAt - oldestLost) / MICROS_PER_MS,
    ageMs: newest === undefined ? 0 : Math.max(0, failedAt - newest.invMicros) / MICROS_PER_MS,
    missingRequired: missing.required,
    failedAtMicros: failedAt,
    completeUntilMicros: missing.lost.length === 0 ? undefined : oldestLost,
    vdisks: findings.vdisks,
    maps: findings.maps,
  };
}

interface Missing {
  readonly lost: readonly NamedWrite[];
  /** Writes, acknowledged or not, of which a block is missing. */
  readonly incomplete: number;
  readonly required: number;
}

/** Sums the missing blocks of every write, and marks slots that had to be newer. */
function findMissing(
  input: AuditInput,
  table: AuditTable,
  prefix: PrefixVerdict,
  findings: AuditFindings,
): Missing {
  const newestInv = table.writes[prefix.newestVisible]?.invPosition ?? Number.NEGATIVE_INFINITY;
  const requiredBefore = input.requiredBeforeMicros ?? Number.NEGATIVE_INFINITY;
  const isMissing = missingPairs(table, prefix);
  const staleSlots = new Set<number>();
  const lost: NamedWrite[] = [];
  let incomplete = 0;
  let required = 0;
  for (let pair = 0; pair < table.pairWrite.length; ) {
    const write = table.writes[table.pairWrite[pair] ?? 0];
    if (write === undefined) break;
    const isRequired = write.ackMicros !== undefined && write.ackMicros < requiredBefore;
    const outOfOrder = write.ackPosition < newestInv;
    let missingBlocks = 0;
    for (const end = pair + write.parts; pair < end; pair++) {
      if (!isMissing(pair)) continue;
      missingBlocks += 1;
      const slotIndex = table.pairSlot[pair] ?? 0;
      const slot = { vdiskId: write.vdiskId, lba: write.lba + write.parts - (end - pair) };
      if (write.ackMicros !== undefined) findings.addLostSlot(slot);
      if (!isRequired && !outOfOrder) continue;
      if (staleSlots.has(slotIndex) || table.visible[slotIndex] === SHOWS_DAMAGE) continue;
      staleSlots.add(slotIndex);
      const shown = table.writes[table.visible[slotIndex] ?? SHOWS_NOTHING];
      findings.addStale(slot, write, shown);
    }
    if (missingBlocks === 0) continue;
    incomplete += 1;
    if (isRequired) required += 1;
    const bytes = missingBlocks * BLOCK_BYTES;
    if (write.ackMicros !== undefined)
      lost.push(findings.addLostWrite(write, { bytes, outOfOrder }));
  }
  return { lost, incomplete, required };
}

/**
 * Which blocks of writes are not there. A damaged slot shows none; what it lacks is its newest
 * acknowledged write and what came after: older ones were overwritten, not lost.
 */
function missingPairs(table: AuditTable, prefix: PrefixVerdict): (pair: number) => boolean {
  const { writes, pairWrite, pairSlot, visible } = table;
  const newestAcked = new Map<number, number>();
  for (let pair = 0; pair < pairWrite.length; pair++) {
    const slot = pairSlot[pair] ?? 0;
    if (visible[slot] !== SHOWS_DAMAGE) continue;
    const write = writes[pairWrite[pair] ?? 0];
    if (write?.ackMicros === undefined) continue;
    newestAcked.set(slot, Math.max(newestAcked.get(slot) ?? 0, write.invPosition));
  }
  return (pair) => {
    if (prefix.included[pair] === 1) return false;
    const slot = pairSlot[pair] ?? 0;
    if (visible[slot] !== SHOWS_DAMAGE) return true;
    return (writes[pairWrite[pair] ?? 0]?.invPosition ?? 0) >= (newestAcked.get(slot) ?? 0);
  };
}

function witnessOf(
  table: AuditTable,
  prefix: PrefixVerdict,
  findings: AuditFindings,
): AuditReport["witness"] {
  const missing = table.writes[table.pairWrite[prefix.oldestMissingPair] ?? -1];
  const visible = table.writes[prefix.newestVisible];
  if (missing === undefined || visible === undefined) return undefined;
  return { missing: findings.name(missing), present: findings.name(visible) };
}
