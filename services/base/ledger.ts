/**
 * The byte ledger of a replication: of one ship, one task, one job. Address space that was walked is
 * counted in exactly one of zero, unchanged, deduped and unique, and `logicalBytes` is their sum;
 * everything else counts what was moved. The messages of the same fields are `ShipLedger` and
 * `TransferLedger` in platform/wire.
 */

/** All that is counted. */
export interface LedgerCounters {
  /** Address space that is zero. */
  readonly zeroBytes: number;
  /** Address space that is equal at the base. */
  readonly unchangedBytes: number;
  /** Raw bytes of chunks that the target had. */
  readonly dedupedBytes: number;
  /** Raw bytes of chunks that were sent. */
  readonly uniqueBytes: number;
  /** Those chunks as they are stored (compressed). */
  readonly compressedBytes: number;
  /** Nodes of block maps that were sent, as they are stored. */
  readonly metadataBytes: number;
  /** Everything put on the wire towards the target. */
  readonly wireBytes: number;
  /** Stored bytes that the target had already when they arrived: sent in vain. */
  readonly resentBytes: number;
  readonly chunksSent: number;
}

export interface ByteLedger extends LedgerCounters {
  /** Address space walked. */
  readonly logicalBytes: number;
}

export const zeroCounters: LedgerCounters = {
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

export const emptyLedger: ByteLedger = { logicalBytes: 0, ...zeroCounters };

const FIELDS = Object.keys(emptyLedger) as readonly (keyof ByteLedger)[];

/** The ledger that these counters make. */
export function ledgerOfCounters(counters: LedgerCounters): ByteLedger {
  const { zeroBytes, unchangedBytes, dedupedBytes, uniqueBytes } = counters;
  return { ...counters, logicalBytes: zeroBytes + unchangedBytes + dedupedBytes + uniqueBytes };
}

/** Only the fields of a ledger: what came over the wire has more. */
export function ledgerOf(value: ByteLedger): ByteLedger {
  return addLedgers(emptyLedger, value);
}

/** Field by field. */
export function addLedgers(a: ByteLedger, b: ByteLedger): ByteLedger {
  const sum = { ...emptyLedger };
  for (const name of FIELDS) sum[name] = a[name] + b[name];
  return sum;
}
