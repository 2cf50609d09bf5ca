/** The lock of one lab: whoever starts, ends or repairs it holds it meanwhile, one process at a time. */

import { AntipodeError } from "../base/errors.ts";
import type { Disk } from "../platform/disk.ts";
import { type Lock, takeLock } from "./lock.ts";
import type { LabWorld } from "./world.ts";

/** Its file in the lab's directory. */
export const LAB_LOCK = "lab.lock";
/** A `lab up` or `lab down` of another process takes seconds: it is not waited for. */
const LOCK_WAIT_MS = 500;

/**
 * Takes the lock of the lab in a directory.
 * @param disk rooted at the directory
 * @param waitMs how long a living holder is waited for
 * @throws AntipodeError `LAB_RUNNING` that names the process that holds it
 */
export async function takeLabLock(
  world: LabWorld,
  { directory, disk }: { readonly directory: string; readonly disk: Disk },
  waitMs = LOCK_WAIT_MS,
): Promise<Lock> {
  const outcome = await takeLock(world, disk, LAB_LOCK, waitMs);
  if (outcome.kind === "held") return outcome.lock;
  throw new AntipodeError(
    "LAB_RUNNING",
    `process ${outcome.holderPid} is changing the lab in ${directory} right now`,
    { directory, pid: outcome.holderPid },
  );
}
