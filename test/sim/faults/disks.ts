/**
 * Disks that say what is wrong with them (F9 to F11): full, slow, stuck, failing reads, writes and syncs.
 * A failed sync drops the pages it was to make durable. Disks that lie: media.ts.
 */

import type { FailurePlan } from "../../support/fakeDiskGate.ts";
import { type KindOf, pick } from "../config.ts";
import { type Injector, local, type Target } from "./injection.ts";

const SLOW_MS = [5, 50, 500];
const FOLDERS = ["", "oplog", "egroups"];
const KIB = 1024;

export const diskInjectors: Readonly<Record<KindOf<"disk">, Injector>> = {
  slowDisk: (target) => {
    const { cvm, world, prng } = target;
    const delayMs = pick(prng, SLOW_MS);
    const operation = pick(prng, [undefined, "read", "write", "sync", "syncDirectory"] as const);
    const end = cvm.disk.slow({
      ...{ clock: world.clock, delayMs, jitterMs: delayMs, prng },
      ...(operation !== undefined && { operation }),
    });
    return local(target, `CVM ${cvm.cvm} by ${delayMs} ms, ${operation ?? "everything"}`, end);
  },
  stuckDisk: (target) => {
    const { cvm, prng } = target;
    const operation = pick(prng, ["read", "write", "sync"] as const);
    const pathPart = pick(prng, FOLDERS);
    const end = cvm.disk.stick({ operation, pathPart });
    return local(target, `CVM ${cvm.cvm}, ${operation} ${pathPart}`, end);
  },
  readErrors: (target) => fail(target, { operation: "read", errno: "EIO" }),
  writeErrors: (target) =>
    fail(target, {
      operation: pick(target.prng, ["write", "write", "open", "rename", "truncate"] as const),
      errno: "EIO",
    }),
  failedSyncs: (target) =>
    fail(target, {
      operation: pick(target.prng, ["sync", "sync", "syncDirectory"] as const),
      errno: "EIO",
    }),
  fullDisk: (target) => {
    const { cvm, prng } = target;
    const freeBytes = pick(prng, [0, 1, 4 * KIB, 200 * KIB]);
    return local(
      target,
      `CVM ${cvm.cvm}, ${freeBytes} bytes free`,
      cvm.disk.limitFreeBytes(freeBytes),
    );
  },
};

/** Some operations fail: the first ones, or some later ones, or all until the end. */
function fail(target: Target, plan: Pick<FailurePlan, "operation" | "errno">) {
  const { cvm, prng } = target;
  const pathPart = pick(prng, FOLDERS);
  const times = pick(prng, [1, 1, 5, Number.POSITIVE_INFINITY]);
  const end = cvm.disk.fail({ ...plan, pathPart, times, afterCount: prng.below(20) });
  const what = `CVM ${cvm.cvm}, ${times} ${plan.operation} ${pathPart}`;
  return local(target, what, end);
}
