/**
 * Open files of egroups for reading. Keeps the most recently used ones open, at most
 * `FILES_OPEN_MAX`; a file in use is never closed under its reader.
 */

import { assert } from "../../base/assert.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import { egroupFileName } from "./egroupFormat.ts";

/** A quarter of the usual limit of 1024 file descriptors a process. */
const FILES_OPEN_MAX = 256;

interface OpenFile {
  readonly file: Promise<DiskFile>;
  users: number;
}

/** Readers of the egroups in one folder. */
export class EgroupFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  /** In order of last use. */
  readonly #open = new Map<number, OpenFile>();

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** Path of an egroup's file on the disk. */
  path(egroup: number): string {
    return `${this.#folder}/${egroupFileName(egroup)}`;
  }

  /**
   * Lends the file for one use.
   * @returns what `use` returns, or "missing" when there is no such file
   * @throws AntipodeError `DISK_FAILED`, and what `use` throws
   */
  async lend<T>(egroup: number, use: (file: DiskFile) => Promise<T>): Promise<T | "missing"> {
    const known = this.#open.get(egroup);
    const entry = known ?? { file: this.#disk.open(this.path(egroup), "read"), users: 0 };
    this.#open.delete(egroup);
    this.#open.set(egroup, entry);
    entry.users += 1;
    let file: DiskFile;
    try {
      file = await entry.file;
    } catch (error) {
      if (this.#open.get(egroup) === entry) this.#open.delete(egroup);
      if (!(await this.#disk.exists(this.path(egroup)))) return "missing";
      throw error;
    }
    try {
      return await use(file);
    } finally {
      entry.users -= 1;
      await this.#closeUnused();
    }
  }

  async #closeUnused(): Promise<void> {
    for (const [egroup, entry] of this.#open) {
      if (this.#open.size <= FILES_OPEN_MAX) return;
      if (entry.users > 0) continue;
      this.#open.delete(egroup);
      await (await entry.file).close();
    }
  }

  /** Closes all; no file may be in use. */
  async close(): Promise<void> {
    const entries = [...this.#open.values()];
    this.#open.clear();
    for (const entry of entries) {
      assert(entry.users === 0, "no egroup is being read when its store closes");
      await (await entry.file).close();
    }
  }
}
