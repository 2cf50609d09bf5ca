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
import { createPrng, type Prng } from "../../services/base/prng.ts";
import { type Disk, type DiskFile, namesOfPath } from "../../services/platform/disk.ts";
import {
  createGate,
  type DiskHook,
  type DiskOperation,
  type DiskSelection,
  type FailurePlan,
  failed,
  type Gate,
  type SlowPlan,
} from "./fakeDiskGate.ts";
import { createWriteFaults, type WriteFaultPlan, type WriteFaults } from "./fakeDiskWrites.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";
import { type CrashMode, FakeFile } from "./fakeFile.ts";

export type { DiskOperation, FailurePlan };

export interface FakeDisk extends Disk {
  /** Power fails: open files become unusable, what was not synced is decided by the mode. */
  crash(options?: { readonly mode?: CrashMode; readonly prng?: Prng }): void;
  /** The process is killed: open files become unusable, everything written is there. */
  killProcess(): void;
  fail(plan: FailurePlan): Undo;
  /** Operations take their time. */
  slow(plan: SlowPlan): Undo;
  /** Operations do not end until the fault does; then they take effect. */
  stick(selection?: DiskSelection): Undo;
  /** Writes that say that they succeeded and did not. */
  misplace(plan: WriteFaultPlan): Undo;
  /** Only so many bytes are free from now on, whatever the disk's capacity. */
  limitFreeBytes(freeBytes: number): Undo;
  /** Flips bits of one stored byte. @returns what puts the sector back, unless it was written since */
  corrupt(path: string, position: number, mask?: number): Undo;
  /** Stored bytes are others from now on, or from when the cache is dropped on. @returns what puts them back, where nobody wrote since */
  damage(path: string, damage: StoredDamage): Undo;
  /** Flips one bit each in `count` random places of the files that match, and names them. */
  rot(options: RotPlan): RotDamage;
  /** The page cache is dropped: clean pages show what the disk holds, as after a failed sync or a lost write. */
  dropCaches(): void;
  /** Ends every fault that is on; damage that was done stays. */
  undoAll(): void;
  /** What programs see now; `undefined` when there is no such file. */
  content(path: string): Uint8Array | undefined;
  /** What would be left if everything unsynced were lost. */
  durableContent(path: string): Uint8Array | undefined;
  /** Paths of all files, sorted. */
  paths(): readonly string[];
  /** Called before each operation takes effect; `undefined` removes it. */
  onOperation(hook: DiskHook | undefined): void;
  /** One more hook, beside `onOperation` and the faults; it may throw or wait. */
  addHook(hook: DiskHook): Undo;
}

export interface StoredDamage {
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly shown: "now" | "later";
}

export interface RotPlan {
  readonly prng: Prng;
  readonly count?: number;
  /** Only in files whose paths contain this. */
  readonly pathPart?: string;
}

export interface RotDamage {
  readonly places: readonly { readonly path: string; readonly position: number }[];
  /** Puts every sector back that was not written since. */
  readonly undo: Undo;
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
  /** Sizes that faults limit the disk to, in bytes. */
  readonly limits: FaultSet<number>;
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
    limits: new FaultSet(),
  };
  const gate = createGate();
  const writes = createWriteFaults();
  const usedBytes = (): number => {
    let sum = 0;
    for (const file of world.names.values()) sum += file.sizeBytes;
    return sum;
  };
  const freeBytes = (): number => Math.min(capacity, ...world.limits.all()) - usedBytes();

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
      return handleOn({
        file,
        path,
        writable: mode !== "read",
        gate,
        writes,
        alive: () => world.life === life,
        freeBytes,
      });
    },
    space: () => Promise.resolve({ freeBytes: Math.max(0, freeBytes()), totalBytes: capacity }),
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
    slow: gate.slow,
    stick: (selection = {}) => gate.stick(selection),
    misplace: writes.plan,
    limitFreeBytes: (bytes) => world.limits.add(usedBytes() + bytes),
    corrupt(path, position, mask = 1) {
      const file = world.names.get(path);
      assert(file !== undefined && position < file.sizeBytes, "a byte to corrupt exists");
      return file.corrupt(position, mask);
    },
    damage(path, { position, bytes, shown }) {
      const file = world.names.get(path);
      assert(file !== undefined, "a file to damage exists");
      return file.damage(position, bytes, shown);
    },
    rot: (plan) => rot(world, plan),
    dropCaches() {
      for (const file of new Set(world.names.values())) file.dropCache();
    },
    undoAll() {
      gate.undoAll();
      writes.undoAll();
      world.limits.undoAll();
    },
    content: (path) => world.names.get(path)?.read(0, Number.MAX_SAFE_INTEGER),
    durableContent: (path) => world.durableNames.get(path)?.durableContent(),
    paths: () => [...world.names.keys()].sort(),
    onOperation: gate.hook,
    addHook: gate.addHook,
  };
}

function rot(world: World, { prng, count = 1, pathPart = "" }: RotPlan): RotDamage {
  const paths = [...world.names.keys()].filter((path) => path.includes(pathPart)).sort();
  const sizes = paths.map((path) => world.names.get(path)?.sizeBytes ?? 0);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total === 0) return { places: [], undo: () => undefined };
  const places: { path: string; position: number }[] = [];
  const undos: Undo[] = [];
  for (let i = 0; i < count; i++) {
    let position = prng.below(total);
    let index = 0;
    while (position >= (sizes[index] ?? 0)) position -= sizes[index++] ?? 0;
    const path = paths[index] ?? "";
    undos.push(world.names.get(path)?.corrupt(position, 1 << prng.below(8)) ?? (() => undefined));
    places.push({ path, position });
  }
  return {
    places,
    undo: () => {
      for (const undo of undos.reverse()) undo();
    },
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
  readonly writes: WriteFaults;
  readonly alive: () => boolean;
  readonly freeBytes: () => number;
}

function handleOn(parts: HandleParts): DiskFile {
  const { file, path, gate } = parts;
  let open = true;
  /** Before and after the gate; an async function around both would cost as much as most operations. */
  const begin = (operation: DiskOperation): Promise<void> | undefined => {
    if (!open || !parts.alive()) throw failed(operation, path, "EBADF");
    return gate.pass(operation, path);
  };
  const enter = (operation: DiskOperation, change?: "change"): void => {
    if (!parts.alive() || (change !== undefined && !parts.writable))
      throw failed(operation, path, "EBADF");
  };
  const put = (at: number, chunk: Uint8Array): void => {
    if (!parts.writes.takes({ file, path, position: at, bytes: chunk })) file.write(at, chunk);
  };
  return {
    async read(position, length) {
      await begin("read");
      enter("read");
      return file.read(position, length);
    },
    async write(position, chunks) {
      await begin("write");
      enter("write", "change");
      let at = position;
      for (const chunk of chunks) {
        const growth = at + chunk.length - file.sizeBytes;
        const room = growth > 0 ? parts.freeBytes() : 0;
        // A full disk takes what fits, as a short write does, and then says so.
        if (growth > room) {
          file.write(at, chunk.subarray(0, Math.max(0, chunk.length - (growth - room))));
          throw failed("write", path, "ENOSPC");
        }
        if (chunk.length > 0) put(at, chunk);
        at += chunk.length;
      }
    },
    async sync() {
      try {
        await begin("sync");
        enter("sync");
      } catch (error) {
        if (parts.alive()) file.failSync();
        throw error;
      }
      file.sync();
    },
    async truncate(sizeBytes) {
      await begin("truncate");
      enter("truncate", "change");
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

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}
