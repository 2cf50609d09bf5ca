/**
 * Port: files. Paths are relative to the root that the adapter was made for, with "/" between names.
 *
 * Contract, as a crash can show it:
 * - bytes written are safe only after `sync()` of the file resolved;
 * - a created, renamed or removed name is safe only after `syncDirectory` of its folder resolved;
 * - when `sync()` rejects, the file's unsynced bytes must be taken as lost, and the disk as failed:
 *   calling it again proves nothing.
 *
 * Errors: AntipodeError `DISK_FULL` (no space, no quota) or `DISK_FAILED` (anything else, with the
 * system's name of it in `details.errno`); `INVALID_ARGUMENT` for a path that leaves the root.
 */

import { AntipodeError } from "../base/errors.ts";

export interface DiskFile {
  /** Bytes present from `position`, at most `length`; fewer only at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Writes all parts one after the other from `position`; the file grows as needed. */
  write(position: number, parts: readonly Uint8Array[]): Promise<void>;
  /** Makes all bytes written so far, and the size, survive a power loss. */
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}

/** `read` and `write` need the file; `create` makes a new one and fails when it exists. */
export type OpenMode = "read" | "write" | "create";

export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  exists(path: string): Promise<boolean>;
  /** Names (not paths) in a folder, sorted; empty when there is no such folder. */
  list(folder: string): Promise<readonly string[]>;
  /** Creates the folder and its parents; harmless when they exist. Synced. */
  makeFolder(folder: string): Promise<void>;
  /** Removes a file; harmless when it does not exist. */
  remove(path: string): Promise<void>;
  /** Replaces `to` at once. */
  rename(from: string, to: string): Promise<void>;
  syncDirectory(folder: string): Promise<void>;
  /** Free and total space where the root lies. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

/**
 * The names of a path below the root; "" is the root itself. For adapters.
 * @throws AntipodeError `INVALID_ARGUMENT` when the path is absolute, has empty names, or leaves the root
 */
export function namesOfPath(path: string): readonly string[] {
  if (path === "") return [];
  const names = path.split("/");
  if (names.some((name) => name === "" || name === "." || name === ".." || name.includes("\0")))
    throw new AntipodeError("INVALID_ARGUMENT", `"${path}" is no path inside the disk's root`, {
      path,
    });
  return names;
}

/** The whole file, or `undefined` when it does not exist. */
export async function readWhole(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    return await file.read(0, await file.sizeBytes());
  } finally {
    await file.close();
  }
}

/** Replaces a small file so that a crash leaves the old content or the new, never a mixture. */
export async function replaceWhole(disk: Disk, path: string, content: Uint8Array): Promise<void> {
  const slash = path.lastIndexOf("/");
  const temporary = `${path}.new`;
  await disk.remove(temporary);
  const file = await disk.open(temporary, "create");
  try {
    await file.write(0, [content]);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(slash < 0 ? "" : path.slice(0, slash));
}
