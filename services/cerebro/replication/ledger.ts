/**
 * Arithmetic of byte ledgers. Address space is counted once: logical = zero + unchanged + deduped +
 * unique. What went over the wire adds up over all attempts.
 */

import type { LedgerRecord } from "../state/records.ts";

const fields = [
  "logicalBytes",
  "zeroBytes",
  "unchangedBytes",
  "dedupedBytes",
  "uniqueBytes",
  "compressedBytes",
  "metadataBytes",
  "wireBytes",
  "resentBytes",
  "chunksSent",
] as const satisfies readonly (keyof LedgerRecord)[];

export const emptyLedger: LedgerRecord = {
  logicalBytes: 0,
  zeroBytes: 0,
  unchangedBytes: 0,
  dedupedBytes: 0,
  uniqueBytes: 0,
  compressedBytes: 0,
  metadataBytes: 0,
  wireBytes: 0,
  resentBytes: 0,
  chunksSent: 0,
};

export function addLedgers(a: LedgerRecord, b: LedgerRecord): LedgerRecord {
  const sum = { ...a };
  for (const name of fields) sum[name] = a[name] + b[name];
  return sum;
}

/** Only the fields of a ledger: what came over the wire has more. */
export function ledgerOf(value: LedgerRecord): LedgerRecord {
  const copy = { ...emptyLedger };
  for (const name of fields) copy[name] = value[name];
  return copy;
}

/** What an attempt that broke off has sent: its walk will be counted again, its bytes will not. */
export function spentOf(broken: LedgerRecord): LedgerRecord {
  return { ...broken, logicalBytes: 0, zeroBytes: 0, unchangedBytes: 0, dedupedBytes: 0 };
}

/**
 * The ledger of a task over all attempts. Chunks that an earlier attempt sent are found at the
 * target by the later one, which counts them as deduplicated; they are counted as sent here. An
 * attempt that broke off late was not always recorded to its end: never more than was deduplicated
 * is moved.
 */
export function settle(spent: LedgerRecord, last: LedgerRecord): LedgerRecord {
  const moved = Math.min(spent.uniqueBytes, last.dedupedBytes);
  const sum = addLedgers(spentOf(spent), last);
  return {
    ...sum,
    uniqueBytes: last.uniqueBytes + moved,
    dedupedBytes: last.dedupedBytes - moved,
  };
}

/** The top of a vDisk walks what its subtree tasks have counted: only what it sent is added. */
export function topLedger(ledger: LedgerRecord): LedgerRecord {
  return {
    ...ledger,
    logicalBytes: 0,
    zeroBytes: 0,
    unchangedBytes: 0,
    dedupedBytes: 0,
    uniqueBytes: 0,
  };
}
