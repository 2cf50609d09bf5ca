/**
 * The key index over LMDB: one environment a folder.
 *
 * Measured of lmdb 3.5: writes are gathered and committed on another thread, in the order of the
 * calls; a batch is one transaction; its promise resolves after fdatasync, so it survives a crash of
 * the process and a loss of power. Reads see a batch only then; until then this adapter answers from
 * the batches that are under way.
 *
 * LMDB maps its file and trusts it: a file that is not LMDB's crashes the process. Its two meta pages
 * are therefore checked before it is opened. Damage further inside cannot be found from here; the
 * index is rebuilt from the egroups when a reader finds it wrong.
 */

import { mkdir, open as openFile, rm, statfs } from "node:fs/promises";
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
/** Fields of a meta page, which begins with a page header of 24 bytes (mdb.c, struct MDB_meta). */
const META = { magicAt: 24, versionAt: 28, pageSizeAt: 48, lastPageAt: 144 } as const;
const MAGIC = 0xbeefc0de;
const VERSION = 2;

/** For the reason of a failed commit, which the library reports apart. */
const REASON_WAIT_MS_MAX = 1000;
/** With less than this free, a failed commit means that the disk is full: LMDB itself says EIO. */
const FREE_BYTES_MIN = 1024 * 1024;

type Database = RootDatabase<Uint8Array, Uint8Array>;

/** What a batch changes, by name of the key. */
type Layer = ReadonlyMap<string, IndexWrite>;

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
      return indexOver({ database, folder, path }, () => openPaths.delete(path));
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
      // A commit is then LMDB's own, synced before its promise resolves.
      overlappingSync: false,
      eventTurnBatching: false,
      maxDbs: 1,
    });
  } catch (error) {
    throw failure("open", folder, error);
  }
}

/** Both meta pages are LMDB's, and the file holds every page that they speak of. */
async function checkMetaPages(file: string, folder: string): Promise<void> {
  const handle = await openFile(file, "r").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (handle === undefined) return;
  try {
    const { size } = await handle.stat();
    if (size === 0) return;
    const pages = Buffer.alloc(2 * PAGE_BYTES);
    await handle.read(pages, 0, pages.length, 0);
    if (
      isSoundMeta(pages.subarray(0, PAGE_BYTES), size) &&
      isSoundMeta(pages.subarray(PAGE_BYTES), size)
    )
      return;
    throw new AntipodeError("DISK_FAILED", `the index in "${folder}" is no whole LMDB file`, {
      folder,
      reason: "format",
    });
  } finally {
    await handle.close();
  }
}

function isSoundMeta(page: Buffer, fileBytes: number): boolean {
  return (
    page.readUInt32LE(META.magicAt) === MAGIC &&
    page.readUInt32LE(META.versionAt) === VERSION &&
    page.readUInt32LE(META.pageSizeAt) === PAGE_BYTES &&
    (page.readBigUInt64LE(META.lastPageAt) + 1n) * BigInt(PAGE_BYTES) <= BigInt(fileBytes)
  );
}

interface Place {
  readonly database: Database;
  /** As the caller named it. */
  readonly folder: string;
  readonly path: string;
}

function indexOver({ database, folder, path }: Place, onClose: () => void): KeyIndex {
  /** Batches under way, oldest first: one, where the caller waits for each before the next. */
  const layers: Layer[] = [];
  const underWay = new Set<Promise<void>>();

  return {
    get(key) {
      if (layers.length > 0) {
        const written = newestOf(layers, nameOf(key));
        if (written !== undefined) return written.value;
      }
      const stored = database.getBinary(key);
      return stored === undefined ? undefined : asBytes(stored);
    },
    async write(writes) {
      const layer = new Map<string, IndexWrite>();
      for (const one of writes) {
        const { length } = one.key;
        assert(length > 0 && length <= KEY_BYTES_MAX, "an index key has 1 to 511 bytes");
        layer.set(nameOf(one.key), one);
      }
      if (writes.length === 0) return;
      layers.push(layer);
      const done = commit(database, writes, () => {
        layers.splice(layers.indexOf(layer), 1);
      });
      underWay.add(done);
      try {
        await done;
      } catch (error) {
        throw failure("write", folder, error, (await isFull(path)) ? "DISK_FULL" : "DISK_FAILED");
      } finally {
        underWay.delete(done);
      }
    },
    entries: (from) => merged(database, pendingOf(layers), from),
    count: () => countOf(database, pendingOf(layers)),
    async flush() {
      await Promise.allSettled(underWay);
    },
    async close() {
      await database.close();
      onClose();
    },
  };
}

/**
 * One transaction. `batch` gives the promise of the commit; turn-wide batching of the library is off,
 * because it makes one more promise that nobody can watch and whose rejection would end the process.
 */
async function commit(
  database: Database,
  writes: readonly IndexWrite[],
  onSettled: () => void,
): Promise<void> {
  let failed: unknown;
  try {
    await database.batch(() => {
      for (const { key, value } of writes) {
        // These promises are fulfilled constants inside a batch.
        if (value === undefined) void database.remove(key);
        else void database.put(key, value);
      }
    });
    return;
  } catch (error) {
    failed = error;
  } finally {
    // At once, before a reason is waited for: the next batch may settle meanwhile and is newer.
    onSettled();
  }
  throw await reasonOf(failed);
}

/** The library's error only promises the system's: `commitError` rejects with it a little later. */
async function reasonOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && "commitError" in error)) return error;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, REASON_WAIT_MS_MAX);
  });
  try {
    await Promise.race([error.commitError, late]);
    return error;
  } catch (reason) {
    return reason;
  } finally {
    clearTimeout(timer);
  }
}

/** What the newest batch that speaks of a key says. */
function newestOf(layers: readonly Layer[], name: string): IndexWrite | undefined {
  for (let at = layers.length - 1; at >= 0; at--) {
    const written = layers[at]?.get(name);
    if (written !== undefined) return written;
  }
  return undefined;
}

/** All batches under way as one. */
function pendingOf(layers: readonly Layer[]): Layer {
  return new Map(layers.flatMap((layer) => [...layer]));
}

function nameOf(key: Uint8Array): string {
  return asBuffer(key).toString("latin1");
}

/** Stored and pending entries in one order; a pending write hides the stored one. */
function* merged(
  database: Database,
  pending: Layer,
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

function countOf(database: Database, pending: Layer): number {
  const stats: { entryCount?: number } = database.getStats();
  let count = stats.entryCount ?? 0;
  for (const { key, value } of pending.values()) {
    const stored = database.doesExist(key);
    if (stored && value === undefined) count -= 1;
    if (!stored && value !== undefined) count += 1;
  }
  return count;
}

async function isFull(path: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize < FREE_BYTES_MIN;
}

function failure(
  operation: string,
  folder: string,
  error: unknown,
  code: "DISK_FULL" | "DISK_FAILED" = "DISK_FAILED",
): AntipodeError {
  if (error instanceof AntipodeError) return error;
  const message = `cannot ${operation} the index in "${folder}": ${messageOf(error)}`;
  return new AntipodeError(code, message, { operation, folder }, error);
}
