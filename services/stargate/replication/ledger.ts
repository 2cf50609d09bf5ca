/**
 * The byte ledger of a ship while it runs (base/ledger.ts). Chunks are counted by their bytes of address
 * space; the last chunk is clipped to the vDisk's size.
 */

import { type LedgerCounters, ledgerOfCounters, zeroCounters } from "../../base/ledger.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { ShipLedger } from "../../platform/wire/stargate.ts";
import { LEDGER_PERIOD_MS } from "./limits.ts";

/** Counters while a ship runs. */
export type Ledger = { -readonly [Name in keyof LedgerCounters]: number };

/** Where walked address space can end without being sent. */
export type Space = Pick<Ledger, "zeroBytes" | "unchangedBytes" | "dedupedBytes">;

/** All zero. */
export function createLedger(): Ledger {
  return { ...zeroCounters };
}

/** The ledger as a message. */
export function ledgerMessage(ledger: Ledger, done: boolean): ShipLedger {
  return { ...ledgerOfCounters(ledger), done };
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
