/**
 * Ledgers over the attempts at a task and the tasks of a job. Address space is counted once, whatever
 * was tried; what went over the wire adds up over all attempts.
 */

import { addLedgers, type ByteLedger } from "../../base/ledger.ts";

/** What an attempt that broke off has sent: its walk will be counted again, its bytes will not. */
export function spentOf(broken: ByteLedger): ByteLedger {
  return { ...broken, logicalBytes: 0, zeroBytes: 0, unchangedBytes: 0, dedupedBytes: 0 };
}

/**
 * The ledger of a task over all attempts. Chunks that an earlier attempt sent are found at the
 * target by the later one, which counts them as deduplicated; they are counted as sent here. An
 * attempt that broke off late was not always recorded to its end: never more than was deduplicated
 * is moved.
 */
export function settle(spent: ByteLedger, last: ByteLedger): ByteLedger {
  const moved = Math.min(spent.uniqueBytes, last.dedupedBytes);
  const sum = addLedgers(spentOf(spent), last);
  return {
    ...sum,
    uniqueBytes: last.uniqueBytes + moved,
    dedupedBytes: last.dedupedBytes - moved,
  };
}

/** The top of a vDisk walks what its subtree tasks have counted: only what it sent is added. */
export function topLedger(ledger: ByteLedger): ByteLedger {
  return {
    ...ledger,
    logicalBytes: 0,
    zeroBytes: 0,
    unchangedBytes: 0,
    dedupedBytes: 0,
    uniqueBytes: 0,
  };
}
