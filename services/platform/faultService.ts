/**
 * FaultService over the leases of a keeper (faultLeases.ts): renewing and healing, which is the same for
 * every kind of fault. What can be broken, each keeper declares in a method of its own.
 */

import type { Infer } from "../base/wire.ts";
import type { FaultLeases, Lease } from "./faultLeases.ts";
import { type Binding, serveUnary } from "./rpc.ts";
import { type FaultLease, FaultService } from "./wire/faults.ts";

/** A lease as it came; one that is absent has no holder, which no keeper takes. */
export function leaseOf(lease: Infer<typeof FaultLease> | undefined): Lease {
  return lease ?? { holder: "", ttlMs: 0 };
}

/** What every keeper of faults serves. */
export function faultBindings(
  faults: Pick<FaultLeases<object>, "renew" | "heal">,
): readonly Binding[] {
  return [
    serveUnary(FaultService.renew, async ({ lease }) => ({
      faults: await faults.renew(leaseOf(lease)),
    })),
    serveUnary(FaultService.heal, async ({ holder }) => ({ faults: await faults.heal(holder) })),
  ];
}
