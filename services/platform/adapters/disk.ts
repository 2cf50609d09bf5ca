/**
 * The real disk: files below one folder, over Node's FileHandle (whose `close` waits for operations
 * under way, so that a file descriptor is never used by two files).
 *
 * Writes are positional and gathered (pwritev), at most 1024 parts a call as POSIX guarantees;
 * a short write goes on where it stopped. `sync` is fdatasync, which also carries the size.
 */

import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { type Disk, type DiskFile, namesOfPath, type OpenMode } from "../disk.ts";

/** IOV_MAX of Linux and macOS. */
const WRITE_PARTS_MAX = 1024;
/** A read of more than this first asks for the file's size, so that no one allocates beyond it. */
const READ_UNCHECKED_BYTES_MAX = 1024 * 1024;

const FLAGS: Readonly<Record<OpenMode, string>> = { read: "r", write: "r+", create: "wx+" };

/**
 * Files below a folder, which is made when it does not exist.
 * @param root absolute path
 */
export function createDisk(root: string): Disk {
  assert(root.startsWith("/"), "a disk's root is an absolute path");
  const at = (path: string): string => join(root, ...namesOfPath(path));
  return {
    open: (path, mode) =>
      attempt("open", path, async () => {
        const handle = await open(at(path), FLAGS[mode]);
        return fileOver(handle, path);
      }),
    exists: (path) =>
      attempt("stat", path, async () => (await unlessMissing(stat(at(path)))) !== undefined),
    list: (folder) =>
      attempt("list", folder, async () =>
        ((await unlessMissing(readdir(at(folder)))) ?? []).sort(),
      ),
    makeFolder: (folder) =>
      attempt("make folder", folder, () => makeFolder(root, namesOfPath(folder))),
    remove: (path) => attempt("remove", path, () => rm(at(path), { force: true })),
    rename: (from, to) => attempt("rename", from, () => rename(at(from), at(to))),
    syncDirectory: (folder) => attempt("sync folder", folder, () => syncFolder(at(folder))),
    space: () =>
      attempt("statfs", "", async () => {
        const { bavail, blocks, bsize } = await statfs(root);
        return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
      }),
  };
}

function fileOver(handle: FileHandle, path: string): DiskFile {
  return {
    read: (position, length) => attempt("read", path, () => readFully(handle, position, length)),
    write: (position, parts) => attempt("write", path, () => writeFully(handle, position, parts)),
    sync: () => attempt("sync", path, () => handle.datasync()),
    truncate: (sizeBytes) => attempt("truncate", path, () => handle.truncate(sizeBytes)),
    sizeBytes: () => attempt("stat", path, async () => (await handle.stat()).size),
    close: () => attempt("close", path, () => handle.close()),
  };
}

async function readFully(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array> {
  let wanted = length;
  if (length > READ_UNCHECKED_BYTES_MAX)
    wanted = Math.max(0, Math.min(length, (await handle.stat()).size - position));
  // Not from Buffer's shared pool: whoever keeps a few bytes must not keep a neighbour's pool alive.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
  let filled = 0;
  while (filled < wanted) {
    const { bytesRead } = await handle.read(bytes, filled, wanted - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled === wanted ? bytes : bytes.subarray(0, filled);
}

async function writeFully(
  handle: FileHandle,
  position: number,
  parts: readonly Uint8Array[],
): Promise<void> {
  let at = position;
  let rest = parts.filter((part) => part.length > 0);
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest.slice(0, WRITE_PARTS_MAX), at);
    // A device that takes nothing and reports no error would otherwise be asked for ever.
    if (bytesWritten === 0) throw new Error("the system wrote nothing");
    at += bytesWritten;
    rest = withoutFirst(rest, bytesWritten);
  }
}

/** The parts that remain after `count` bytes of them were written. */
function withoutFirst(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  for (const [index, part] of parts.entries()) {
    if (left < part.length) return [part.subarray(left), ...parts.slice(index + 1)];
    left -= part.length;
  }
  return [];
}

/**
 * Makes the folder and syncs every folder on the way, also those that exist: a crash may have come
 * between an earlier creation and its sync.
 */
async function makeFolder(root: string, names: readonly string[]): Promise<void> {
  const whole = join(root, ...names);
  await mkdir(whole, { recursive: true });
  await syncFolder(dirname(root));
  let path = root;
  await syncFolder(path);
  for (const name of names) {
    path = join(path, name);
    await syncFolder(path);
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw error;
  }
}

async function attempt<T>(operation: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof AntipodeError) throw error;
    const errno = errnoOf(error);
    const code = errno === "ENOSPC" || errno === "EDQUOT" ? "DISK_FULL" : "DISK_FAILED";
    throw new AntipodeError(
      code,
      `cannot ${operation} "${path}": ${errno}`,
      { operation, path, errno },
      error,
    );
  }
}

/** The system's name of the failure, e.g. `EIO`, or the message where there is none. */
function errnoOf(error: unknown): string {
  if (error instanceof Error)
    return "code" in error && typeof error.code === "string" ? error.code : error.message;
  return String(error);
}
