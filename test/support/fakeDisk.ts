/**
 * A disk in memory that loses what the contract of platform/disk.ts does not promise to keep.
 *
 * Bytes: see fakeFile.ts. Names: every creation, removal and renaming is a pending operation until
 * the folder is synced; a crash keeps each pending one or not, on its own. A file's bytes and its
 * name are durable independently of each other.
 *
 * Every operation resolves in microtasks, after the hook `onOperation` (where a test crashes the
 * world at the n-th operation, or delays it).
 */

import { assert } from "../../services/base/assert.ts";
import { AntipodeError } from "../../services/base/errors.ts";
import { createPrng, type Prng } from "../../services/base/prng.ts";
import { type Disk, type DiskFile, namesOfPath } from "../../services/platform/disk.ts";
import { type CrashMode, FakeFile } from "./fakeFile.ts";

export type DiskOperation =
  | "open"
  | "read"
  | "write"
  | "sync"
  | "truncate"
  | "list"
  | "makeFolder"
  | "remove"
  | "rename"
  | "syncDirectory";

export interface FailurePlan {
  readonly operation: DiskOperation;
  readonly errno: "ENOSPC" | "EIO";
  /** How many of these operations succeed first. */
  readonly afterCount?: number;
  /** How many fail then; one by default. */
  readonly times?: number;
  /** Only on paths that contain this. */
  readonly pathPart?: string;
}

export interface FakeDisk extends Disk {
  /** Power fails: open files become unusable, what was not synced is decided by the mode. */
  crash(options?: { readonly mode?: CrashMode; readonly prng?: Prng }): void;
  /** The process is killed: open files become unusable, everything written is there. */
  killProcess(): void;
  fail(plan: FailurePlan): void;
  /** Flips bits of one stored byte. */
  corrupt(path: string, position: number, mask?: number): void;
  /** What programs see now; `undefined` when there is no such file. */
  content(path: string): Uint8Array | undefined;
  /** What would be left if everything unsynced were lost. */
  durableContent(path: string): Uint8Array | undefined;
  /** Paths of all files, sorted. */
  paths(): readonly string[];
  /** Called before each operation takes effect; `undefined` removes it. */
  onOperation(
    hook: ((operation: DiskOperation, path: string) => void | Promise<void>) | undefined,
  ): void;
}

interface NameChange {
  readonly folders: readonly string[];
  apply(names: Map<string, FakeFile>): void;
}

interface World {
  names: Map<string, FakeFile>;
  durableNames: Map<string, FakeFile>;
  folders: Set<string>;
  pending: NameChange[];
  /** Files opened before the last crash belong to an older life. */
  life: number;
}

const DEFAULT_CAPACITY_BYTES = 2 ** 40;

/** An empty disk. */
export function createFakeDisk(options: { readonly capacityBytes?: number } = {}): FakeDisk {
  const capacity = options.capacityBytes ?? DEFAULT_CAPACITY_BYTES;
  const world: World = {
    names: new Map(),
    durableNames: new Map(),
    folders: new Set([""]),
    pending: [],
    life: 0,
  };
  const gate = createGate();
  const usedBytes = (): number =>
    [...world.names.values()].reduce((sum, file) => sum + file.sizeBytes, 0);

  const newLife = (): void => {
    world.life += 1;
  };
  const change = (entry: NameChange): void => {
    entry.apply(world.names);
    world.pending.push(entry);
  };
  return {
    ...foldersOf(world, gate, change),
    async open(path, mode) {
      const life = world.life;
      await gate.pass("open", path);
      namesOfPath(path);
      let file = world.names.get(path);
      if (mode === "create") {
        if (file !== undefined) throw failed("open", path, "EEXIST");
        if (!world.folders.has(folderOf(path))) throw failed("open", path, "ENOENT");
        const created = new FakeFile();
        file = created;
        change({ folders: [folderOf(path)], apply: (names) => names.set(path, created) });
      }
      if (file === undefined) throw failed("open", path, "ENOENT");
      const freeBytes = (): number => capacity - usedBytes();
      return handleOn({
        file,
        path,
        writable: mode !== "read",
        gate,
        alive: () => world.life === life,
        freeBytes,
      });
    },
    space: () =>
      Promise.resolve({ freeBytes: Math.max(0, capacity - usedBytes()), totalBytes: capacity }),
    crash({ mode = "lost", prng = createPrng(1) } = {}) {
      newLife();
      for (const entry of world.pending)
        if (mode === "kept" || (mode !== "lost" && prng.below(2) === 1))
          entry.apply(world.durableNames);
      world.pending = [];
      world.names = new Map(world.durableNames);
      for (const file of new Set(world.names.values())) file.crash(mode, prng);
    },
    killProcess: newLife,
    fail: gate.plan,
    corrupt(path, position, mask = 1) {
      const file = world.names.get(path);
      assert(file !== undefined && position < file.sizeBytes, "a byte to corrupt exists");
      file.corrupt(position, mask);
    },
    content: (path) => world.names.get(path)?.read(0, Number.MAX_SAFE_INTEGER),
    durableContent: (path) => world.durableNames.get(path)?.durableContent(),
    paths: () => [...world.names.keys()].sort(),
    onOperation: gate.hook,
  };
}

type FolderOperations = Pick<
  Disk,
  "exists" | "list" | "makeFolder" | "remove" | "rename" | "syncDirectory"
>;

function foldersOf(
  world: World,
  gate: Gate,
  change: (entry: NameChange) => void,
): FolderOperations {
  return {
    async exists(path) {
      await Promise.resolve();
      return world.names.has(namesOfPath(path).join("/")) || world.folders.has(path);
    },
    async list(folder) {
      await gate.pass("list", folder);
      const prefix = folder === "" ? "" : `${namesOfPath(folder).join("/")}/`;
      const inside = [...world.names.keys(), ...world.folders]
        .filter((path) => path !== "" && path.startsWith(prefix))
        .map((path) => path.slice(prefix.length).split("/")[0] ?? "");
      return [...new Set(inside)].sort();
    },
    async makeFolder(folder) {
      await gate.pass("makeFolder", folder);
      const names = namesOfPath(folder);
      for (let depth = 1; depth <= names.length; depth++) {
        const path = names.slice(0, depth).join("/");
        if (world.names.has(path)) throw failed("make folder", path, "EEXIST");
        world.folders.add(path);
      }
    },
    async remove(path) {
      await gate.pass("remove", path);
      namesOfPath(path);
      if (world.names.has(path))
        change({ folders: [folderOf(path)], apply: (names) => names.delete(path) });
    },
    async rename(from, to) {
      await gate.pass("rename", from);
      namesOfPath(to);
      const file = world.names.get(from);
      if (file === undefined || !world.folders.has(folderOf(to)))
        throw failed("rename", from, "ENOENT");
      if (from === to) return;
      change({
        folders: [folderOf(from), folderOf(to)],
        apply: (names) => {
          if (names.get(from) === file) names.delete(from);
          names.set(to, file);
        },
      });
    },
    async syncDirectory(folder) {
      await gate.pass("syncDirectory", folder);
      if (!world.folders.has(folder)) throw failed("sync folder", folder, "ENOENT");
      for (const entry of world.pending)
        if (entry.folders.includes(folder)) entry.apply(world.durableNames);
      world.pending = world.pending.filter((entry) => !entry.folders.includes(folder));
    },
  };
}

interface HandleParts {
  readonly file: FakeFile;
  readonly path: string;
  readonly writable: boolean;
  readonly gate: Gate;
  readonly alive: () => boolean;
  readonly freeBytes: () => number;
}

function handleOn(parts: HandleParts): DiskFile {
  const { file, path, gate } = parts;
  let open = true;
  const enter = async (operation: DiskOperation): Promise<void> => {
    if (!open || !parts.alive()) throw failed(operation, path, "EBADF");
    await gate.pass(operation, path);
    if (!parts.alive()) throw failed(operation, path, "EBADF");
  };
  const enterToChange = async (operation: DiskOperation): Promise<void> => {
    await enter(operation);
    if (!parts.writable) throw failed(operation, path, "EBADF");
  };
  return {
    async read(position, length) {
      await enter("read");
      return file.read(position, length);
    },
    async write(position, chunks) {
      await enterToChange("write");
      let at = position;
      for (const chunk of chunks) {
        const growth = at + chunk.length - file.sizeBytes;
        const room = parts.freeBytes();
        // A full disk takes what fits, as a short write does, and then says so.
        if (growth > room) {
          file.write(at, chunk.subarray(0, Math.max(0, chunk.length - (growth - room))));
          throw failed("write", path, "ENOSPC");
        }
        if (chunk.length > 0) file.write(at, chunk);
        at += chunk.length;
      }
    },
    async sync() {
      try {
        await enter("sync");
      } catch (error) {
        if (parts.alive()) file.failSync();
        throw error;
      }
      file.sync();
    },
    async truncate(sizeBytes) {
      await enterToChange("truncate");
      file.truncate(sizeBytes);
    },
    async sizeBytes() {
      await Promise.resolve();
      if (!open || !parts.alive()) throw failed("stat", path, "EBADF");
      return file.sizeBytes;
    },
    close() {
      open = false;
      return Promise.resolve();
    },
  };
}

interface Gate {
  /** Lets an operation through after the hook, or fails it as planned. */
  pass(operation: DiskOperation, path: string): Promise<void>;
  readonly plan: (plan: FailurePlan) => void;
  readonly hook: (
    hook: ((operation: DiskOperation, path: string) => void | Promise<void>) | undefined,
  ) => void;
}

function createGate(): Gate {
  const plans: { plan: FailurePlan; passed: number; failedCount: number }[] = [];
  let hook: ((operation: DiskOperation, path: string) => void | Promise<void>) | undefined;
  return {
    async pass(operation, path) {
      await hook?.(operation, path);
      for (const entry of plans) {
        const { plan } = entry;
        if (plan.operation !== operation || !path.includes(plan.pathPart ?? "")) continue;
        if (entry.passed < (plan.afterCount ?? 0)) entry.passed += 1;
        else if (entry.failedCount < (plan.times ?? 1)) {
          entry.failedCount += 1;
          throw failed(operation, path, plan.errno);
        }
      }
    },
    plan: (plan) => {
      plans.push({ plan, passed: 0, failedCount: 0 });
    },
    hook: (next) => {
      hook = next;
    },
  };
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

function failed(operation: string, path: string, errno: string): AntipodeError {
  const code = errno === "ENOSPC" ? "DISK_FULL" : "DISK_FAILED";
  return new AntipodeError(code, `cannot ${operation} "${path}": ${errno}`, {
    operation,
    path,
    errno,
  });
}
