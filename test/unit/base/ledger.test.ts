/** The byte ledger: one sum, in which address space is counted once. */

import { describe, expect, it } from "vitest";
import {
  addLedgers,
  type ByteLedger,
  emptyLedger,
  ledgerOf,
  ledgerOfCounters,
} from "../../../services/base/ledger.ts";
import { TransferLedger } from "../../../services/platform/wire/cerebro.ts";
import { ShipLedger } from "../../../services/platform/wire/stargate.ts";

/** Every field another power of ten, so that no two can be mistaken for each other. */
const digits: ByteLedger = ledgerOfCounters({
  zeroBytes: 1,
  unchangedBytes: 10,
  dedupedBytes: 100,
  uniqueBytes: 1000,
  compressedBytes: 1e4,
  metadataBytes: 1e5,
  wireBytes: 1e6,
  resentBytes: 1e7,
  chunksSent: 1e8,
});

describe("a byte ledger", () => {
  it("sums the four ways of address space, and nothing else, to the logical bytes", () => {
    expect(digits.logicalBytes).toBe(1111);
  });

  it("adds field by field", () => {
    const names = Object.keys(emptyLedger) as (keyof ByteLedger)[];
    const sum = addLedgers(addLedgers(digits, emptyLedger), digits);
    expect(names).toHaveLength(10);
    for (const name of names) expect(sum[name], name).toBe(2 * digits[name]);
    expect(emptyLedger.logicalBytes, "a sum leaves its terms as they are").toBe(0);
  });

  it("is cut out of a message that has more", () => {
    expect(ledgerOf({ ...digits, done: true } as ByteLedger)).toEqual(digits);
  });

  it.each([
    ["ShipLedger", ShipLedger],
    ["TransferLedger", TransferLedger],
  ])("travels whole as %s", (_name, message) => {
    const sent = { ...digits, done: true };
    expect(ledgerOf(message.decode(message.encode(sent)))).toEqual(digits);
  });
});
