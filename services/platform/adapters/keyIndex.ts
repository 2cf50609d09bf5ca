/**
 * The key index over LMDB: one environment a folder.
 *
 * Measured of lmdb 3.5: writes are gathered and committed on another thread, in the order of the
 * calls; a batch is one transaction; its promise resolves after fdatasync, so it survives a crash of
 * the process and a loss of power. Reads see a batch only then; until then this adapter answers from
 * `pending`, which holds what was written and is not committed.
 *
 * LMDB maps its file and trusts it: a file that is not LMDB's crashes the process. Its two meta pages
 * are therefore checked before it is opened. Damage further inside cannot be found from here; the
 * index is rebuilt from the egroups when a reader finds it wrong.
 */

import { mkdir, open as openFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { open as openDatabase, type RootDatabase } from "lmdb";
import { assert } from "../../base/assert.ts";
import { compareBytes } from "../../base/bytes.ts";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import { namesOfPath } from "../disk.ts";
import type { IndexWrite, KeyIndex, KeyIndexes } from "../keyIndex.ts";
import { asBuffer, asBytes } from "./buffers.ts";

/** LMDB's own limit with pages of 4 KiB, less what the library keeps for itself. */
const KEY_BYTES_MAX = 511;
const PAGE_BYTES = 4096;
/** Where a meta page has its magic: after the page header of 16 bytes. */
const MAGIC_OFFSET = 16;
const MAGIC = 0xbeefc0de;

type Database = RootDatabase<Uint8Array, Uint8Array>;

interface PendingWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
  readonly batch: number;
}

/**
 * Indexes in folders below a root.
 * @param root absolute path, the same as the disk's
 */
export function createKeyIndexes(root: string): KeyIndexes {
  const openPaths = new Set<string>();
  return {
    async open(folder) {
      const path = join(root, ...namesOfPath(folder));
      assert(!openPaths.has(path), "an index is opened once at a time");
      const database = await openChecked(path, folder);
      openPaths.add(path);
      return indexOver(database, folder, () => openPaths.delete(path));
    },
    async destroy(folder) {
      const path = join(root, ...namesOfPath(folder));
      assert(!openPaths.has(path), "an index is closed before it is destroyed");
      for (const name of ["data.mdb", "lock.mdb"])
        await rm(join(path, name), { force: true }).catch((error: unknown) => {
          throw failure("destroy", folder, error);
        });
    },
  };
}

async function openChecked(path: string, folder: string): Promise<Database> {
  try {
    await mkdir(path, { recursive: true });
    await checkMetaPages(join(path, "data.mdb"), folder);
    return openDatabase<Uint8Array, Uint8Array>({
      path,
      noSubdir: false,
      encoding: "binary",
      keyEncoding: "binary",
      pageSize: PAGE_BYTES,
      noMemInit: true,
      maxDbs: 1,
    });
  } catch (error) {
    throw failure("open", folder, error);
  }
}

async function checkMetaPages(file: string, folder: string): Promise<void> {
  const handle = await openFile(file, "r").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (handle === undefined) return;
  try {
    const pages = Buffer.alloc(2 * PAGE_BYTES);
    const { bytesRead } = await handle.read(pages, 0, pages.length, 0);
    if (bytesRead === 0) return;
    const sound = [0, PAGE_BYTES].some(
      (at) => bytesRead >= at + PAGE_BYTES && pages.readUInt32LE(at + MAGIC_OFFSET) === MAGIC,
    );
    if (!sound)
      throw new AntipodeError("DISK_FAILED", `the index in "${folder}" is no LMDB file`, {
        folder,
        reason: "format",
      });
  } finally {
    await handle.close();
  }
}

function indexOver(database: Database, folder: string, onClose: () => void): KeyIndex {
  const pending = new Map<string, PendingWrite>();
  let batches = 0;

  const settle = (batch: number, writes: readonly IndexWrite[]): void => {
    for (const { key } of writes) {
      const name = nameOf(key);
      if (pending.get(name)?.batch === batch) pending.delete(name);
    }
  };
  return {
    get(key) {
      const written = pending.size === 0 ? undefined : pending.get(nameOf(key));
      if (written !== undefined) return written.value;
      const stored = database.getBinary(key);
      return stored === undefined ? undefined : asBytes(stored);
    },
    async write(writes) {
      const batch = ++batches;
      for (const { key, value } of writes) {
        assert(key.length > 0 && key.length <= KEY_BYTES_MAX, "an index key has 1 to 511 bytes");
        pending.set(nameOf(key), { key: key.slice(), value: value?.slice(), batch });
      }
      try {
        await commit(database, writes);
      } catch (error) {
        throw failure("write", folder, error);
      } finally {
        settle(batch, writes);
      }
    },
    entries: (from) => merged(database, pending, from),
    count: () => countOf(database, pending),
    async flush() {
      await database.flushed;
    },
    async close() {
      await database.close();
      onClose();
    },
  };
}

/** One transaction; each put's own promise is the batch's, so that none is left unwatched. */
async function commit(database: Database, writes: readonly IndexWrite[]): Promise<void> {
  const parts: Promise<boolean>[] = [];
  const whole = database.batch(() => {
    for (const { key, value } of writes)
      parts.push(value === undefined ? database.remove(key) : database.put(key, value));
  });
  await Promise.all([whole, ...parts]);
}

function nameOf(key: Uint8Array): string {
  return asBuffer(key).toString("latin1");
}

/** Stored and pending entries in one order; a pending write hides the stored one. */
function* merged(
  database: Database,
  pending: ReadonlyMap<string, PendingWrite>,
  from: Uint8Array,
): Generator<readonly [Uint8Array, Uint8Array]> {
  const written = [...pending.values()]
    .filter((write) => compareBytes(write.key, from) >= 0)
    .sort((a, b) => compareBytes(a.key, b.key));
  let next = 0;
  for (const { key, value } of database.getRange(from.length === 0 ? {} : { start: from })) {
    for (let write = written[next]; write !== undefined; write = written[++next]) {
      const order = compareBytes(write.key, key);
      if (order >= 0) break;
      if (write.value !== undefined) yield [write.key, write.value];
    }
    const same = written[next];
    if (same === undefined || compareBytes(same.key, key) !== 0)
      yield [asBytes(key), asBytes(value)];
  }
  for (const write of written.slice(next))
    if (write.value !== undefined) yield [write.key, write.value];
}

function countOf(database: Database, pending: ReadonlyMap<string, PendingWrite>): number {
  const stats: { entryCount?: number } = database.getStats();
  let count = stats.entryCount ?? 0;
  for (const { key, value } of pending.values()) {
    const stored = database.doesExist(key);
    if (stored && value === undefined) count -= 1;
    if (!stored && value !== undefined) count += 1;
  }
  return count;
}

function failure(operation: string, folder: string, error: unknown): AntipodeError {
  if (error instanceof AntipodeError) return error;
  const reason = messageOf(error);
  const full = /ENOSPC|EDQUOT|No space left|quota/i.test(reason);
  return new AntipodeError(
    full ? "DISK_FULL" : "DISK_FAILED",
    `cannot ${operation} the index in "${folder}": ${reason}`,
    { operation, folder },
    error,
  );
}
