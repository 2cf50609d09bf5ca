/**
 * A disk that tells when it fails to write or to sync. After that nobody knows which of the newest
 * bytes it holds (a failed sync drops dirty pages, and the next one may succeed), so whoever acts for
 * this disk must stop acting: a CVM that kept its lease with a dead disk would keep others from taking
 * over (P9). To make a file, or to open one for writing, is a write as well. A full disk and failed reads are
 * no such failure: reads are served from other copies.
 */

import { AntipodeError } from "../base/errors.ts";
import type { Disk, DiskFile } from "../platform/disk.ts";

/** The same disk; `onFailed` is called once, with the first failure. */
export function watchDisk(disk: Disk, onFailed: (error: AntipodeError) => void): Disk {
  let failed = false;
  const watched = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (error instanceof AntipodeError && isOfTheDisk(error) && !failed) {
        failed = true;
        onFailed(error);
      }
      throw error;
    }
  };
  const watchedFile = (file: DiskFile): DiskFile => ({
    read: (position, length) => file.read(position, length),
    write: (position, parts) => watched(file.write(position, parts)),
    sync: () => watched(file.sync()),
    truncate: (sizeBytes) => watched(file.truncate(sizeBytes)),
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
  });
  return {
    open: async (path, mode) => {
      const opening = disk.open(path, mode);
      return watchedFile(await (mode === "read" ? opening : watched(opening)));
    },
    exists: (path) => disk.exists(path),
    list: (folder) => disk.list(folder),
    makeFolder: (folder) => disk.makeFolder(folder),
    remove: (path) => disk.remove(path),
    rename: (from, to) => watched(disk.rename(from, to)),
    syncDirectory: (folder) => watched(disk.syncDirectory(folder)),
    space: () => disk.space(),
  };
}

/** A file that is missing, or is there already, is not the disk's failure. */
function isOfTheDisk({ code, details }: AntipodeError): boolean {
  return code === "DISK_FAILED" && details["errno"] !== "ENOENT" && details["errno"] !== "EEXIST";
}
