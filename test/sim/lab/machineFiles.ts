/**
 * All files of a simulated machine by their absolute paths. Some folders are disks of their own
 * (`mount`), so that what becomes of one process's disk spares the others'; everything else lies on the
 * machine's. A path belongs to the deepest mount above it.
 */

import type { Disk } from "../../../services/platform/disk.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";

export class MachineFiles {
  /** Absolute path → its disk; "" is the machine's. */
  readonly #mounts = new Map<string, FakeDisk>([["", createFakeDisk()]]);

  /** The disk of this folder alone, made when it has none. */
  mount(path: string): FakeDisk {
    const disk = this.#mounts.get(path) ?? createFakeDisk();
    this.#mounts.set(path, disk);
    return disk;
  }

  /** Files below an absolute path. */
  diskAt(path: string): Disk {
    const { disk, rest } = this.#find(path);
    return rest === "" ? disk : below(disk, rest);
  }

  /** What programs see in a file now; `undefined` when there is none. */
  content(path: string): Uint8Array | undefined {
    const { disk, rest } = this.#find(path);
    return disk.content(rest);
  }

  /** Removes a folder with everything in it. */
  async removeTree(path: string): Promise<void> {
    for (const mount of this.#mounts.keys())
      if (mount === path || mount.startsWith(`${path}/`)) this.#mounts.delete(mount);
    const { disk, rest } = this.#find(path);
    for (const file of disk.paths())
      if (rest === "" || file.startsWith(`${rest}/`)) await disk.remove(file);
  }

  #find(path: string): { readonly disk: FakeDisk; readonly rest: string } {
    for (let mount = path; ; mount = mount.slice(0, mount.lastIndexOf("/"))) {
      const disk = this.#mounts.get(mount);
      if (disk !== undefined) return { disk, rest: path.slice(mount.length + 1) };
    }
  }
}

/** A folder of a disk as a disk. */
function below(disk: Disk, folder: string): Disk {
  const at = (path: string): string => (path === "" ? folder : `${folder}/${path}`);
  return {
    open: (path, mode) => disk.open(at(path), mode),
    exists: (path) => disk.exists(at(path)),
    list: (path) => disk.list(at(path)),
    makeFolder: (path) => disk.makeFolder(at(path)),
    remove: (path) => disk.remove(at(path)),
    rename: (from, to) => disk.rename(at(from), at(to)),
    syncDirectory: (path) => disk.syncDirectory(at(path)),
    space: () => disk.space(),
  };
}
