/** The contract of platform/disk.ts, for the machine's file system and for the fake. */

import { describe, expect, it } from "vitest";
import { concatBytes, utf8 } from "../../services/base/bytes.ts";
import { createPrng } from "../../services/base/prng.ts";
import { createDisk } from "../../services/platform/adapters/disk.ts";
import { type Disk, readWhole, replaceWhole } from "../../services/platform/disk.ts";
import { createFakeDisk } from "../support/fakeDisk.ts";
import { codeOfFailure, failureOf } from "../support/outcome.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const root = temporaryFolder("disk");
let count = 0;

describe.each<[string, () => Promise<Disk>]>([
  ["fake", () => Promise.resolve(createFakeDisk())],
  [
    "real",
    async () => {
      const disk = createDisk(`${root}/${++count}`);
      await disk.makeFolder("");
      return disk;
    },
  ],
])("disk: %s", (_name, makeDisk) => {
  it("reads back what was written, at any position, and zeros in holes", async () => {
    const disk = await makeDisk();
    const file = await disk.open("a", "create");
    await file.write(10, [utf8("hello"), new Uint8Array(0), utf8(" world")]);
    expect(await file.sizeBytes()).toBe(21);
    expect(await file.read(0, 100)).toEqual(concatBytes([new Uint8Array(10), utf8("hello world")]));
    await file.write(12, [utf8("LL")]);
    expect(await file.read(10, 5)).toEqual(utf8("heLLo"));
    await file.close();
  });

  it("gathers thousands of parts and parts larger than one system call takes", async () => {
    const disk = await makeDisk();
    const prng = createPrng(7);
    const parts = Array.from({ length: 3000 }, () => prng.fill(new Uint8Array(prng.below(700))));
    parts.push(prng.fill(new Uint8Array(3 * 1024 * 1024)));
    const file = await disk.open("many", "create");
    await file.write(0, parts);
    expect(Buffer.compare(await file.read(0, 1 << 30), concatBytes(parts))).toBe(0);
    await file.close();
  });

  it("reads fewer bytes only at the end of the file", async () => {
    const disk = await makeDisk();
    const file = await disk.open("a", "create");
    await file.write(0, [utf8("abc")]);
    expect([await file.read(1, 10), await file.read(3, 10), await file.read(99, 10)]).toEqual([
      utf8("bc"),
      new Uint8Array(0),
      new Uint8Array(0),
    ]);
    await file.close();
  });

  it("shows zeros where a file was cut and grew again", async () => {
    const disk = await makeDisk();
    const file = await disk.open("a", "create");
    await file.write(0, [utf8("abcdef")]);
    await file.truncate(2);
    await file.truncate(5);
    expect(await file.read(0, 10)).toEqual(concatBytes([utf8("ab"), new Uint8Array(3)]));
    await file.sync();
    await file.close();
  });

  it("keeps files apart and finds them again", async () => {
    const disk = await makeDisk();
    await disk.makeFolder("x/y");
    for (const path of ["x/y/1", "x/y/2", "x/3"]) {
      const file = await disk.open(path, "create");
      await file.write(0, [utf8(path)]);
      await file.close();
    }
    expect(await disk.list("x")).toEqual(["3", "y"]);
    expect(await disk.list("x/y")).toEqual(["1", "2"]);
    expect(await disk.list("nothing")).toEqual([]);
    expect(await readWhole(disk, "x/y/2")).toEqual(utf8("x/y/2"));
    expect(await readWhole(disk, "x/y/9")).toBeUndefined();
    expect([await disk.exists("x/3"), await disk.exists("x"), await disk.exists("z")]).toEqual([
      true,
      true,
      false,
    ]);
    await disk.makeFolder("x/y");
    await disk.syncDirectory("x/y");
  });

  it("lists names in order, whatever order they were made in", async () => {
    const disk = await makeDisk();
    const names = Array.from({ length: 50 }, (_, i) => `f${(i * 37) % 50}`);
    for (const name of names) await (await disk.open(name, "create")).close();
    expect(await disk.list("")).toEqual([...names].sort());
  });

  it("replaces a file by renaming over it, and open handles keep the old one", async () => {
    const disk = await makeDisk();
    await replaceWhole(disk, "a", utf8("old"));
    const old = await disk.open("a", "read");
    await replaceWhole(disk, "a", utf8("new and longer"));
    expect(await readWhole(disk, "a")).toEqual(utf8("new and longer"));
    expect(await old.read(0, 100)).toEqual(utf8("old"));
    expect(await disk.list("")).toEqual(["a"]);
    await old.close();
  });

  it("removes a file once, and harmlessly again", async () => {
    const disk = await makeDisk();
    await replaceWhole(disk, "a", utf8("x"));
    await disk.remove("a");
    await disk.remove("a");
    expect(await disk.exists("a")).toBe(false);
  });

  it("says DISK_FAILED with the system's reason for files that are or are not there (P10)", async () => {
    const disk = await makeDisk();
    await replaceWhole(disk, "a", utf8("x"));
    const failures = [
      await failureOf(disk.open("b", "read")),
      await failureOf(disk.open("b", "write")),
      await failureOf(disk.open("a", "create")),
      await failureOf(disk.open("no/folder", "create")),
      await failureOf(disk.rename("b", "c")),
      await failureOf(disk.syncDirectory("nowhere")),
    ];
    expect(failures.map((error) => error.code)).toEqual(failures.map(() => "DISK_FAILED"));
    expect(failures.map((error) => error.details["errno"])).toEqual([
      "ENOENT",
      "ENOENT",
      "EEXIST",
      "ENOENT",
      "ENOENT",
      "ENOENT",
    ]);
  });

  it("does not write through a handle opened to read, nor through a closed one", async () => {
    const disk = await makeDisk();
    await replaceWhole(disk, "a", utf8("x"));
    const file = await disk.open("a", "read");
    expect(await codeOfFailure(file.write(0, [utf8("y")]))).toBe("DISK_FAILED");
    await file.close();
    expect(await codeOfFailure(file.read(0, 1))).toBe("DISK_FAILED");
    expect(await readWhole(disk, "a")).toEqual(utf8("x"));
  });

  it.each(["../a", "/etc/passwd", "a/../../b", "a//b", ".", "a\0b"])(
    "refuses the path %j, which leaves the root or has an empty name (P10)",
    async (path) => {
      const disk = await makeDisk();
      expect(await codeOfFailure(disk.open(path, "create"))).toBe("INVALID_ARGUMENT");
      expect(await codeOfFailure(disk.exists(path))).toBe("INVALID_ARGUMENT");
      expect(await codeOfFailure(disk.remove(path))).toBe("INVALID_ARGUMENT");
    },
  );

  it("tells free and total space", async () => {
    const { freeBytes, totalBytes } = await (await makeDisk()).space();
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });
});

describe("fake disk: what a loss of power leaves", () => {
  const seeds = Array.from({ length: 200 }, (_, seed) => seed);

  it("keeps synced bytes under a synced name in every mode (P1)", async () => {
    for (const mode of ["lost", "kept", "random", "tornTail"] as const)
      for (const seed of seeds.slice(0, 20)) {
        const disk = createFakeDisk();
        const file = await disk.open("a", "create");
        await file.write(0, [utf8("safe")]);
        await file.sync();
        await disk.syncDirectory("");
        await file.write(4, [utf8(" and not")]);
        disk.crash({ mode, prng: createPrng(seed) });
        expect(disk.content("a")?.subarray(0, 4)).toEqual(utf8("safe"));
      }
  });

  it("loses a name that was not synced although the bytes were", async () => {
    const disk = createFakeDisk();
    const file = await disk.open("a", "create");
    await file.write(0, [utf8("x")]);
    await file.sync();
    disk.crash();
    expect(disk.paths()).toEqual([]);
  });

  it("brings a removed or renamed file back when the folder was not synced", async () => {
    const disk = createFakeDisk();
    await replaceWhole(disk, "a", utf8("old"));
    await disk.rename("a", "b");
    disk.crash();
    expect(disk.paths()).toEqual(["a"]);
    await disk.remove("a");
    disk.crash();
    expect(disk.content("a")).toEqual(utf8("old"));
  });

  it("leaves the old content or the new of a replaced file, never a mixture (P1)", async () => {
    const outcomes = new Set<string>();
    for (const seed of seeds)
      for (let at = 0; at < 8; at++) {
        const disk = createFakeDisk();
        await replaceWhole(disk, "a", utf8("old".repeat(1000)));
        let operations = 0;
        disk.onOperation(() => {
          if (operations++ === at) disk.crash({ mode: "random", prng: createPrng(seed * 8 + at) });
        });
        await replaceWhole(disk, "a", utf8("new".repeat(900))).catch(() => undefined);
        const content = new TextDecoder().decode(disk.content("a") ?? new Uint8Array(0));
        outcomes.add(content.slice(0, 3));
        expect(["old".repeat(1000), "new".repeat(900)]).toContain(content);
      }
    expect(outcomes).toEqual(new Set(["old", "new"]));
  });

  it("tears unsynced sectors: kept, lost and partly written all occur", async () => {
    const kinds = new Set<string>();
    for (const seed of seeds) {
      const disk = createFakeDisk();
      const file = await disk.open("a", "create");
      await file.write(0, [new Uint8Array(512)]);
      await file.sync();
      await disk.syncDirectory("");
      await file.write(0, [new Uint8Array(512).fill(1)]);
      disk.crash({ mode: "random", prng: createPrng(seed) });
      const written = disk.content("a")?.filter((byte) => byte === 1).length ?? 0;
      kinds.add(written === 0 ? "lost" : written === 512 ? "kept" : "torn");
    }
    expect(kinds).toEqual(new Set(["lost", "kept", "torn"]));
  });

  it("makes handles of the former life unusable and keeps everything when only the process dies", async () => {
    const disk = createFakeDisk();
    const file = await disk.open("a", "create");
    await file.write(0, [utf8("unsynced")]);
    disk.killProcess();
    expect(await codeOfFailure(file.sync())).toBe("DISK_FAILED");
    expect(disk.content("a")).toEqual(utf8("unsynced"));
  });

  it("never makes durable what a failed sync lost, although a later sync succeeds", async () => {
    const disk = createFakeDisk();
    const file = await disk.open("a", "create");
    await disk.syncDirectory("");
    await file.write(0, [utf8("x")]);
    disk.fail({ operation: "sync", errno: "EIO" });
    expect(await codeOfFailure(file.sync())).toBe("DISK_FAILED");
    await file.sync();
    disk.crash();
    expect(disk.content("a")).not.toEqual(utf8("x"));
  });

  it("fails the planned operation only, and a full disk takes what fits", async () => {
    const disk = createFakeDisk({ capacityBytes: 1000 });
    disk.fail({ operation: "write", errno: "ENOSPC", afterCount: 1, times: 1 });
    const file = await disk.open("a", "create");
    await file.write(0, [new Uint8Array(10)]);
    expect(await codeOfFailure(file.write(10, [new Uint8Array(10)]))).toBe("DISK_FULL");
    await file.write(10, [new Uint8Array(10)]);
    expect(await codeOfFailure(file.write(20, [new Uint8Array(2000)]))).toBe("DISK_FULL");
    expect(await disk.space()).toEqual({ freeBytes: 0, totalBytes: 1000 });
  });
});
