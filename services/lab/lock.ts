/**
 * A lock file: at most one living process holds it. It names its holder by pid and start time, so
 * that one left by a killed process is taken over instead of waiting for ever.
 *
 * The file is created exclusively and then filled: one that is still empty after a moment belonged to
 * a process that died between the two.
 */

import { fromUtf8, toHex, utf8 } from "../base/bytes.ts";
import { codeOf } from "../base/errors.ts";
import { type Disk, readWhole } from "../platform/disk.ts";
import type { ProcessHandle } from "../platform/processes.ts";
import type { LabWorld } from "./world.ts";

const RETRY_INTERVAL_MS = 50;
/** A holder fills the file within this. */
const FILL_MS_MAX = 1000;

export interface Lock {
  release(): Promise<void>;
}

export type LockOutcome =
  | { readonly kind: "held"; readonly lock: Lock }
  | { readonly kind: "busy"; readonly holderPid: number };

/**
 * Takes the lock, waiting at most `waitMs` for a living holder.
 * @param disk the folder must exist
 */
export async function takeLock(
  world: LabWorld,
  disk: Disk,
  file: string,
  waitMs: number,
): Promise<LockOutcome> {
  const startedMs = world.clock.now();
  let emptySinceMs: number | undefined;
  for (;;) {
    if (await create(world, disk, file))
      return { kind: "held", lock: { release: () => disk.remove(file) } };
    const content = await readWhole(disk, file);
    const holder = content === undefined ? undefined : parseHolder(content);
    const now = world.clock.now();
    if (content === undefined) continue; // Released meanwhile.
    if (holder === undefined) {
      emptySinceMs ??= now;
      if (now - emptySinceMs > FILL_MS_MAX) await takeAway(world, disk, file);
    } else if (!(await world.processes.isAlive(holder))) {
      await takeAway(world, disk, file);
      continue;
    }
    if (now - startedMs > Math.max(waitMs, holder === undefined ? 2 * FILL_MS_MAX : 0))
      return { kind: "busy", holderPid: holder?.pid ?? 0 };
    await world.clock.sleep(RETRY_INTERVAL_MS);
  }
}

async function create(world: LabWorld, disk: Disk, file: string): Promise<boolean> {
  const own = await world.processes.find(world.ownPid);
  const holder: ProcessHandle = own?.handle ?? { pid: world.ownPid, startedAt: "" };
  let opened: Awaited<ReturnType<Disk["open"]>>;
  try {
    opened = await disk.open(file, "create");
  } catch (error) {
    if (codeOf(error) === "DISK_FAILED" && (await disk.exists(file))) return false;
    throw error;
  }
  try {
    await opened.write(0, [utf8(JSON.stringify(holder))]);
  } finally {
    await opened.close();
  }
  return true;
}

/** A rename succeeds for one of several who find the holder dead; the others see the next lock. */
async function takeAway(world: LabWorld, disk: Disk, file: string): Promise<void> {
  const grave = `${file}.${toHex(world.random.bytes(8))}`;
  try {
    await disk.rename(file, grave);
  } catch (error) {
    if (codeOf(error) === "DISK_FAILED" && !(await disk.exists(file))) return;
    throw error;
  }
  await disk.remove(grave);
}

function parseHolder(content: Uint8Array): ProcessHandle | undefined {
  try {
    const value = JSON.parse(fromUtf8(content)) as Partial<ProcessHandle> | null;
    return typeof value?.pid === "number" && typeof value.startedAt === "string"
      ? { pid: value.pid, startedAt: value.startedAt }
      : undefined;
  } catch {
    return undefined;
  }
}
