/**
 * A disk that fails on order: full, read, write or sync errors, slow syncs. Pure, over the disk port; who
 * orders it is told in adapters/faultableDisk.ts. Without an order every call goes straight through.
 *
 * A full disk takes what needs no more room: bytes inside a file's present size, and removals. What fails
 * here, fails with the codes and details of the real disk, so that nobody above can tell the two apart.
 */

import { checkedJson, parseJson } from "../base/checkedJson.ts";
import { AntipodeError } from "../base/errors.ts";
import type { Clock } from "./clock.ts";
import type { Disk, DiskFile } from "./disk.ts";

export const diskFaultKinds = ["full", "readError", "writeError", "syncError", "slowSync"] as const;

/** What a disk is ordered to do. */
export interface DiskFault {
  readonly kind: (typeof diskFaultKinds)[number];
  /** By how much every sync is late, with `slowSync`; else 0. */
  readonly delayMs: number;
}

/** The environment variable that names the order file of a process; without it no order reaches its disk. */
export const DISK_FAULTS_VARIABLE = "ANTIPODE_DISK_FAULTS";

/** No order may hold a sync for longer: a stuck disk is an error, not a slow one. */
export const SYNC_DELAY_MS_MAX = 60_000;

/** The order as the keeper writes it. */
export function formatDiskFault({ kind, delayMs }: DiskFault): string {
  return `${JSON.stringify({ version: 1, kind, delayMs })}\n`;
}

/** @throws AntipodeError `FORMAT_UNSUPPORTED` that names the wrong key */
export function parseDiskFault(text: string | Uint8Array): DiskFault {
  const name = "the order to a disk";
  const file = checkedJson(parseJson(text, name, "FORMAT_UNSUPPORTED"), name, "FORMAT_UNSUPPORTED");
  const { kind, delayMs } = file.ofVersion(1).object(["version", "kind", "delayMs"]);
  return { kind: kind.oneOf(diskFaultKinds), delayMs: delayMs.integer(0, SYNC_DELAY_MS_MAX) };
}

/**
 * The same disk, failing as it is told.
 * @param ordered what it is told now, looked at with every call
 */
export function failingDisk(
  disk: Disk,
  ordered: () => DiskFault | undefined,
  clock: Pick<Clock, "sleep">,
): Disk {
  const is = (kind: DiskFault["kind"]): boolean => ordered()?.kind === kind;
  const refuseRoom = (operation: string, path: string): void => {
    if (is("full")) throw failure("ENOSPC", operation, path);
  };
  const refuseWrite = (operation: string, path: string): void => {
    if (is("writeError")) throw failure("EIO", operation, path);
  };
  const beforeSync = async (operation: string, path: string): Promise<void> => {
    const fault = ordered();
    if (fault?.kind === "syncError") throw failure("EIO", operation, path);
    if (fault?.kind === "slowSync") await clock.sleep(fault.delayMs);
  };
  const over = (file: DiskFile, path: string): DiskFile => ({
    async read(position, length) {
      if (is("readError")) throw failure("EIO", "read", path);
      return file.read(position, length);
    },
    async write(position, parts) {
      refuseWrite("write", path);
      if (is("full")) {
        const end = parts.reduce((sum, part) => sum + part.length, position);
        if (end > (await file.sizeBytes())) refuseRoom("write", path);
      }
      return file.write(position, parts);
    },
    async sync() {
      await beforeSync("sync", path);
      return file.sync();
    },
    async truncate(sizeBytes) {
      refuseWrite("truncate", path);
      if (is("full") && sizeBytes > (await file.sizeBytes())) refuseRoom("truncate", path);
      return file.truncate(sizeBytes);
    },
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
  });
  return {
    async open(path, mode) {
      if (mode === "create") {
        refuseRoom("open", path);
        refuseWrite("open", path);
      }
      return over(await disk.open(path, mode), path);
    },
    exists: (path) => disk.exists(path),
    list: (folder) => disk.list(folder),
    async makeFolder(folder) {
      // One that is there needs no room: every start makes its folders sure.
      if (!(await disk.exists(folder))) {
        refuseRoom("make folder", folder);
        refuseWrite("make folder", folder);
      }
      return disk.makeFolder(folder);
    },
    remove: (path) => disk.remove(path),
    async rename(from, to) {
      refuseWrite("rename", from);
      return disk.rename(from, to);
    },
    async syncDirectory(folder) {
      await beforeSync("sync folder", folder);
      return disk.syncDirectory(folder);
    },
    async space() {
      const space = await disk.space();
      return is("full") ? { ...space, freeBytes: 0 } : space;
    },
  };
}

function failure(errno: "ENOSPC" | "EIO", operation: string, path: string): AntipodeError {
  return new AntipodeError(
    errno === "ENOSPC" ? "DISK_FULL" : "DISK_FAILED",
    `cannot ${operation} "${path}": ${errno}`,
    { operation, path, errno, injected: true },
  );
}
