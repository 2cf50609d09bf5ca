/** The faults of the fake disk do what their names say, and end when they are undone. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import type { DiskFile } from "../../../services/platform/disk.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { SECTOR_BYTES } from "../../support/fakeFile.ts";
import { createFakeKeyIndexes } from "../../support/fakeKeyIndex.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const sector = (value: number): Uint8Array => new Uint8Array(SECTOR_BYTES).fill(value);

/** A file of sectors 1, 2, 3, …, synced with its name. */
async function diskWith(sectors: number): Promise<{ disk: FakeDisk; file: DiskFile }> {
  const disk = createFakeDisk();
  const file = await disk.open("a", "create");
  for (let i = 0; i < sectors; i++) await file.write(i * SECTOR_BYTES, [sector(i + 1)]);
  await file.sync();
  await disk.syncDirectory("");
  return { disk, file };
}

/** The first byte of each sector of "a", as programs see it. */
function seen(disk: FakeDisk): readonly number[] {
  const bytes = disk.content("a") ?? new Uint8Array(0);
  return Array.from(
    { length: Math.ceil(bytes.length / SECTOR_BYTES) },
    (_, i) => bytes[i * SECTOR_BYTES] ?? 0,
  );
}

describe("a loss of power", () => {
  it("with mode newest keeps of a file's unsynced writes only the last one", async () => {
    const { disk, file } = await diskWith(3);
    await file.write(0, [sector(91)]);
    await file.write(2 * SECTOR_BYTES, [sector(93)]);
    await file.write(4 * SECTOR_BYTES, [sector(95)]);
    disk.crash({ mode: "newest" });
    expect(seen(disk)).toEqual([1, 2, 3, 0, 95]);
  });

  it("with mode random decides for each sector on its own: lost, kept and torn all happen", async () => {
    const fates = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const { disk, file } = await diskWith(4);
      await file.write(0, [sector(9), sector(9), sector(9), sector(9)]);
      disk.crash({ mode: "random", prng: createPrng(seed) });
      const bytes = disk.content("a") ?? new Uint8Array(0);
      for (let i = 0; i < 4; i++) {
        const part = bytes.subarray(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES);
        const fresh = part.filter((byte) => byte === 9).length;
        fates.add(fresh === 0 ? "lost" : fresh === part.length ? "kept" : "torn");
      }
    }
    expect([...fates].sort()).toEqual(["kept", "lost", "torn"]);
  });

  it("gives the same result for the same seed", async () => {
    const outcomes = await Promise.all(
      [7, 7].map(async (seed) => {
        const { disk, file } = await diskWith(8);
        await file.write(
          0,
          Array.from({ length: 8 }, () => sector(9)),
        );
        disk.crash({ mode: "random", prng: createPrng(seed) });
        return disk.content("a");
      }),
    );
    expect(outcomes[0]).toEqual(outcomes[1]);
  });

  it("forgets a name whose folder was not synced, with its synced bytes", async () => {
    const { disk } = await diskWith(1);
    const file = await disk.open("b", "create");
    await file.write(0, [sector(5)]);
    await file.sync();
    disk.crash({ mode: "lost" });
    expect(disk.paths()).toEqual(["a"]);
  });
});

describe("a failed sync", () => {
  it("leaves the new bytes in the cache, and the old ones once the cache is dropped, although a later sync succeeds", async () => {
    const { disk, file } = await diskWith(2);
    await file.write(0, [sector(9)]);
    disk.fail({ operation: "sync", errno: "EIO" });
    expect(await codeOfFailure(file.sync())).toBe("DISK_FAILED");
    await file.sync();
    expect(seen(disk)).toEqual([9, 2]);
    disk.dropCaches();
    expect(seen(disk)).toEqual([1, 2]);
  });
});

describe("planned failures", () => {
  it.each(["read", "write"] as const)(
    "fail exactly the n-th %s, and then no more",
    async (operation) => {
      const { disk, file } = await diskWith(1);
      disk.fail({ operation, errno: "EIO", afterCount: 2 });
      const act = (): Promise<unknown> =>
        operation === "read" ? file.read(0, 1) : file.write(0, [sector(1)]);
      const outcomes: string[] = [];
      for (let i = 0; i < 4; i++)
        outcomes.push(
          await act().then(
            () => "ok",
            () => "failed",
          ),
        );
      expect(outcomes).toEqual(["ok", "ok", "failed", "ok"]);
    },
  );

  it("fail nothing any more once undone", async () => {
    const { disk, file } = await diskWith(1);
    const undo = disk.fail({ operation: "read", errno: "EIO", times: 100 });
    expect(await codeOfFailure(file.read(0, 1))).toBe("DISK_FAILED");
    undo();
    expect(await file.read(0, 1)).toEqual(Uint8Array.of(1));
  });
});

describe("rot", () => {
  it("flips bits in the cache and on the disk, at places that the seed gives, and names them", async () => {
    const { disk } = await diskWith(4);
    const before = disk.content("a") ?? new Uint8Array(0);
    const { places } = disk.rot({ prng: createPrng(3), count: 2 });
    const changed = [...before.keys()].filter((i) => disk.content("a")?.[i] !== before[i]);
    expect(changed).toEqual(places.map((place) => place.position).sort((a, b) => a - b));
    expect(disk.durableContent("a")).toEqual(disk.content("a"));
  });

  it("is put back by undo, except where the sector was written since", async () => {
    const { disk, file } = await diskWith(2);
    const undo = [disk.corrupt("a", 3), disk.corrupt("a", SECTOR_BYTES + 3)];
    await file.write(0, [sector(9)]);
    for (const one of undo) one();
    expect(disk.content("a")?.[3]).toBe(9);
    expect(disk.content("a")?.[SECTOR_BYTES + 3]).toBe(2);
  });

  it("leaves an empty disk and files that are not meant alone", async () => {
    expect(createFakeDisk().rot({ prng: createPrng(1) }).places).toEqual([]);
    const { disk } = await diskWith(1);
    expect(disk.rot({ prng: createPrng(1), pathPart: "other" }).places).toEqual([]);
  });
});

describe("a lost write", () => {
  it("is acknowledged and synced, seen until the cache is dropped, and then never was", async () => {
    const { disk, file } = await diskWith(2);
    disk.misplace({ kind: "lost", afterCount: 1 });
    await file.write(0, [sector(8)]);
    await file.write(SECTOR_BYTES, [sector(9)]);
    await file.sync();
    expect(seen(disk)).toEqual([8, 9]);
    disk.dropCaches();
    expect(seen(disk)).toEqual([8, 2]);
  });

  it("is gone after a loss of power, even one that keeps everything", async () => {
    const { disk, file } = await diskWith(2);
    disk.misplace({ kind: "lost" });
    await file.write(0, [sector(9)]);
    await file.sync();
    disk.crash({ mode: "kept" });
    expect(seen(disk)).toEqual([1, 2]);
  });

  it("is not even seen when the disk is what is shown, and grows the file all the same", async () => {
    const { disk, file } = await diskWith(1);
    disk.misplace({ kind: "lost", shown: "disk" });
    await file.write(SECTOR_BYTES, [sector(9)]);
    expect(seen(disk)).toEqual([1, 0]);
  });

  it("happens no more once undone", async () => {
    const { disk, file } = await diskWith(1);
    disk.misplace({ kind: "lost", times: 9 })();
    await file.write(0, [sector(9)]);
    await file.sync();
    disk.dropCaches();
    expect(seen(disk)).toEqual([9]);
  });
});

describe("a misdirected write", () => {
  it("leaves its place as it was and damages another one of the same file", async () => {
    const { disk, file } = await diskWith(4);
    disk.misplace({ kind: "misdirected", prng: createPrng(2) });
    await file.write(0, [sector(9)]);
    await file.sync();
    expect(seen(disk)[0]).toBe(1);
    expect(seen(disk).filter((value) => value === 9)).toHaveLength(1);
    expect(disk.durableContent("a")).toEqual(disk.content("a"));
  });

  it("waits for a write that has another place to go to", async () => {
    const disk = createFakeDisk();
    const file = await disk.open("a", "create");
    disk.misplace({ kind: "misdirected", prng: createPrng(2) });
    await file.write(0, [sector(1)]);
    await file.write(SECTOR_BYTES, [sector(2)]);
    expect(seen(disk)).toEqual([2, 0]);
  });
});

describe("a disk without room", () => {
  it("refuses what does not fit, frees by removal, and has its capacity back when undone", async () => {
    const { disk, file } = await diskWith(2);
    const undo = disk.limitFreeBytes(SECTOR_BYTES);
    expect((await disk.space()).freeBytes).toBe(SECTOR_BYTES);
    await file.write(2 * SECTOR_BYTES, [sector(3)]);
    expect(await codeOfFailure(file.write(3 * SECTOR_BYTES, [sector(4)]))).toBe("DISK_FULL");
    undo();
    await file.write(3 * SECTOR_BYTES, [sector(4)]);
    expect(seen(disk)).toEqual([1, 2, 3, 4]);
  });

  it("has room only when the last of several limits is undone", async () => {
    const { disk } = await diskWith(1);
    const undoFirst = disk.limitFreeBytes(0);
    const undoSecond = disk.limitFreeBytes(100);
    undoFirst();
    expect((await disk.space()).freeBytes).toBe(100);
    undoSecond();
    expect((await disk.space()).freeBytes).toBeGreaterThan(1e9);
  });
});

describe("a slow disk", () => {
  it("takes the delay and the seeded jitter for what is selected, and no time for the rest", async () => {
    const clock = createFakeClock();
    const { disk, file } = await diskWith(1);
    disk.slow({ operation: "sync", clock, delayMs: 10, jitterMs: 5, prng: createPrng(1) });
    await file.read(0, 1);
    let isDone = false;
    const sync = file.sync().then(() => {
      isDone = true;
    });
    await clock.tick(9);
    expect(isDone).toBe(false);
    await clock.tick(6);
    expect(isDone).toBe(true);
    await sync;
  });
});

describe("a stuck disk", () => {
  it("ends no selected operation until it is undone; then the operation takes effect", async () => {
    const clock = createFakeClock();
    const { disk, file } = await diskWith(1);
    const undo = disk.stick({ operation: "write", pathPart: "a" });
    const write = file.write(0, [sector(9)]);
    await clock.tick(1e6);
    expect(seen(disk)).toEqual([1]);
    undo();
    await write;
    expect(seen(disk)).toEqual([9]);
  });

  it("holds nothing any more that comes to it after its end, held up by another one", async () => {
    const { disk, file } = await diskWith(1);
    const [undoFirst, undoSecond] = [
      disk.stick({ operation: "write" }),
      disk.stick({ operation: "write" }),
    ];
    const write = file.write(0, [sector(9)]);
    await createFakeClock().settle();
    undoSecond();
    undoFirst();
    await write;
    expect(seen(disk)).toEqual([9]);
  });
});

it("undoAll ends every fault that is on", async () => {
  const { disk, file } = await diskWith(2);
  disk.fail({ operation: "read", errno: "EIO", times: 100 });
  disk.stick({ operation: "sync" });
  disk.misplace({ kind: "lost", times: 100 });
  disk.limitFreeBytes(0);
  disk.addHook(() => {
    throw new Error("a hook that is still there");
  });
  disk.undoAll();
  await file.write(2 * SECTOR_BYTES, [sector(3)]);
  await file.sync();
  disk.dropCaches();
  await file.read(0, 1);
  expect(seen(disk)).toEqual([1, 2, 3]);
});

describe("stored bytes that are others than were written", () => {
  const damage = { position: SECTOR_BYTES, bytes: sector(77) };

  it("show at once or when power fails, and never what is unsynced", async () => {
    const now = await diskWith(3);
    now.disk.damage("a", { ...damage, shown: "now" });
    expect(seen(now.disk)).toEqual([1, 77, 3]);
    const later = await diskWith(3);
    later.disk.damage("a", { ...damage, shown: "later" });
    expect(seen(later.disk)).toEqual([1, 2, 3]);
    later.disk.crash();
    expect(seen(later.disk)).toEqual([1, 77, 3]);
  });

  it("are put back where nobody wrote since, also after a loss of power", async () => {
    const { disk } = await diskWith(3);
    const undo = disk.damage("a", { ...damage, shown: "later" });
    disk.crash();
    undo();
    undo();
    expect(seen(disk)).toEqual([1, 2, 3]);
    const written = await diskWith(3);
    const undoWritten = written.disk.damage("a", { ...damage, shown: "now" });
    await written.file.write(SECTOR_BYTES, [sector(5)]);
    await written.file.sync();
    undoWritten();
    expect(seen(written.disk)).toEqual([1, 5, 3]);
  });
});

describe("an index", () => {
  it("that is lost is empty when it is opened again, and one that rots shows other bytes for a key that may", async () => {
    const indexes = createFakeKeyIndexes();
    const index = await indexes.open("i");
    const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)];
    await index.write([
      { key: a, value: Uint8Array.of(0) },
      { key: b, value: Uint8Array.of(0) },
    ]);
    expect(indexes.corrupt(createPrng(1), (key) => key[0] === 2)).toEqual(b);
    expect(index.get(a)).toEqual(Uint8Array.of(0));
    expect(index.get(b)).not.toEqual(Uint8Array.of(0));
    indexes.killProcess();
    indexes.lose();
    expect((await indexes.open("i")).count()).toBe(0);
    expect(indexes.corrupt(createPrng(1))).toBeUndefined();
  });
});
