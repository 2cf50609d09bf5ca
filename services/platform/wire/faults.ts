/**
 * Faults that end with their lease, as every process that keeps some serves them (genesis for processes
 * and disks, wan for links); the contract for other languages is in proto/antipode/faults/v1/faults.proto.
 * What can be broken is the keeper's own; renewing and healing is the same everywhere.
 */

import { field, message, method } from "../../base/wire.ts";

const pkg = (name: string): string => `antipode.faults.v1.${name}`;

/** Who holds faults, and for how long. */
export const FaultLease = message(pkg("FaultLease"), {
  /** Who drills. */
  holder: field.string(1),
  /** Undone this long after the last renewal. */
  ttlMs: field.uint64(2),
});
export const RenewRequest = message(pkg("RenewRequest"), {
  lease: field.message(1, FaultLease),
});
export const RenewResponse = message(pkg("RenewResponse"), {
  /** What the holder still holds. */
  faults: field.repeated(field.string(1)),
});
export const HealRequest = message(pkg("HealRequest"), {
  /** "" for everybody's. */
  holder: field.string(1),
});
export const HealResponse = message(pkg("HealResponse"), {
  /** What was undone. */
  faults: field.repeated(field.string(1)),
});

const service = pkg("FaultService");
export const FaultService = {
  /** Puts off the end of the leases of a holder. */
  renew: method(service, "Renew", "unary", RenewRequest, RenewResponse),
  /** Undoes faults at once. */
  heal: method(service, "Heal", "unary", HealRequest, HealResponse),
} as const;
