/**
 * The byte ledger of a ship. Every chunk of walked address space is counted in exactly one of zero,
 * unchanged, deduped and unique, by its bytes of address space (the last chunk is clipped to the
 * vDisk's size), and `logicalBytes` is their sum. Everything else counts what was moved.
 */

import type { Clock, Timer } from "../../platform/clock.ts";
import type { ShipLedger } from "../../platform/wire/stargate.ts";
import { LEDGER_PERIOD_MS } from "./limits.ts";

/** Where walked address space can end. */
export interface Space {
  zeroBytes: number;
  unchangedBytes: number;
  dedupedBytes: number;
}

/** Counters while a ship runs. */
export interface Ledger extends Space {
  uniqueBytes: number;
  compressedBytes: number;
  metadataBytes: number;
  wireBytes: number;
  resentBytes: number;
  chunksSent: number;
}

/** All zero. */
export function createLedger(): Ledger {
  return {
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
}

/** The ledger as a message. */
export function ledgerMessage(ledger: Ledger, done: boolean): ShipLedger {
  const { zeroBytes, unchangedBytes, dedupedBytes, uniqueBytes } = ledger;
  return {
    ...ledger,
    logicalBytes: zeroBytes + unchangedBytes + dedupedBytes + uniqueBytes,
    done,
  };
}

/** Reports a running ledger about four times a second; returns what ends it. */
export function reportLedger(
  ledger: Ledger,
  clock: Clock,
  onLedger: (ledger: ShipLedger) => void,
): () => void {
  let timer: Timer;
  const arm = (): void => {
    timer = clock.after(LEDGER_PERIOD_MS, () => {
      arm();
      onLedger(ledgerMessage(ledger, false));
    });
  };
  arm();
  return () => {
    timer.cancel();
  };
}
