/** One CVM's extent store while it runs: puts, gets, group commit, full and failed disks, rot. */

import { describe, expect, it } from "vitest";
import { codeOf } from "../../../services/base/errors.ts";
import { decodePlace } from "../../../services/stargate/extents/indexFormat.ts";
import {
  chunkOf,
  chunksOf,
  codec,
  createExtentWorld,
  EGROUP_1,
  fingerprintsOf,
  kindsOf,
  missingIn,
} from "./extentWorld.ts";

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "resolved",
    (error: unknown) => codeOf(error) ?? error,
  );

describe("local store", () => {
  it("gives back what was put, in the order asked, and nothing else (X2)", async () => {
    const store = await createExtentWorld().open();
    const chunks = chunksOf(1, 20);
    const outcome = await store.put(chunks);
    expect(outcome.storedCount).toBe(20);
    expect(await missingIn(store, chunks.toReversed())).toEqual([]);
    expect(kindsOf(await store.get([chunkOf(99).fingerprint]))).toEqual(["absent"]);
    expect(store.has(fingerprintsOf([chunkOf(99), chunkOf(1)]))).toEqual([false, true]);
    await store.close();
  });

  it("writes a chunk once, however often and however concurrently it comes (X3)", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const chunks = chunksOf(1, 10);
    const outcomes = await Promise.all([
      store.put([...chunks, ...chunks]),
      store.put(chunks),
      store.put(chunks.slice(5)),
    ]);
    const size = world.disk.content(EGROUP_1)?.length;
    const again = await store.put(chunks);
    expect(outcomes.map(({ storedCount }) => storedCount)).toEqual([10, 0, 0]);
    expect(again.isNew).toEqual(chunks.map(() => false));
    expect(world.disk.content(EGROUP_1)?.length).toBe(size);
    expect(store.stats()).toMatchObject({ storedCount: 10, dedupedCount: 35 });
    await store.close();
  });

  it("finds a chunk that it was asked for before it came, also when its entry is written (X3)", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const chunks = chunksOf(1, 10);
    expect(store.has(fingerprintsOf(chunks))).toEqual(chunks.map(() => false));
    await store.put(chunks);
    await store.raiseGeneration(1);
    expect(store.has(fingerprintsOf(chunks))).toEqual(chunks.map(() => true));
    expect((await store.put(chunks)).storedCount).toBe(0);
    expect(kindsOf(await store.get(fingerprintsOf(chunks)))).toEqual(chunks.map(() => "found"));
    await store.close();
  });

  it("commits the puts of one moment with one write and one sync", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    await store.put([chunkOf(1)]);
    const operations: string[] = [];
    world.disk.onOperation((operation) => void operations.push(operation));
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.put([chunkOf(100 + i)])));
    expect(operations).toEqual(["write", "sync"]);
    await store.close();
  });

  it("acknowledges nothing that a power loss would take (X1, P1)", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const chunks = chunksOf(1, 5);
    await store.put(chunks);
    world.disk.crash({ mode: "lost" });
    world.indexes.crash();
    expect(await missingIn(await world.open(), chunks)).toEqual([]);
  });

  it("rolls to the next egroup and reads from all of them", async () => {
    const world = createExtentWorld();
    const store = await world.open({ egroupBytesMax: 70 * 1024 });
    const chunks = chunksOf(1, 300);
    for (let i = 0; i < 300; i += 30) await store.put(chunks.slice(i, i + 30));
    const files = await world.disk.list("extents/egroups");
    expect(files.length).toBeGreaterThan(3);
    for (const name of files)
      expect(world.disk.content(`extents/egroups/${name}`)?.length).toBeLessThanOrEqual(70 * 1024);
    expect(await missingIn(store, chunks)).toEqual([]);
    await store.close();
  });

  it("refuses impossible lengths and stores nothing of the put (P10)", async () => {
    const store = await createExtentWorld().open();
    const good = chunkOf(1);
    const bad = [
      { ...good, rawLength: good.rawLength + 1 },
      { ...good, rawLength: 0, stored: new Uint8Array(0) },
      { ...good, fingerprint: new Uint8Array(31) },
      { ...good, rawLength: 65_537, stored: new Uint8Array(65_537) },
    ];
    for (const chunk of bad)
      expect(await rejection(store.put([chunkOf(2), chunk]))).toBe("INVALID_ARGUMENT");
    expect(store.has(fingerprintsOf([chunkOf(2)]))).toEqual([false]);
    await store.close();
  });

  it("fails a put cleanly on a full disk, serves reads, and stores again when there is space (X5)", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const before = chunksOf(1, 10);
    const after = chunksOf(100, 10);
    await store.put(before);
    const size = world.disk.content(EGROUP_1)?.length;
    world.disk.fail({ operation: "write", errno: "ENOSPC" });
    expect(await rejection(store.put(after))).toBe("DISK_FULL");
    expect(store.has(fingerprintsOf(after))).toEqual(after.map(() => false));
    expect(world.disk.content(EGROUP_1)?.length).toBe(size);
    expect(await missingIn(store, before)).toEqual([]);
    await store.put(after);
    expect(await missingIn(store, [...before, ...after])).toEqual([]);
    await store.close();
  });

  it("never has more than fits on a disk that is really full (X5)", async () => {
    const world = createExtentWorld(40_000);
    const store = await world.open({ egroupBytesMax: 70 * 1024 });
    const stored = [];
    for (let i = 0; i < 60; i++) {
      const chunk = chunkOf(i);
      const size = world.disk.content(EGROUP_1)?.length ?? 0;
      if ((await rejection(store.put([chunk]))) === "resolved") stored.push(chunk);
      // What was written before the disk was full is given back.
      else expect(world.disk.content(EGROUP_1)?.length).toBe(size);
    }
    expect(stored.length).toBeGreaterThan(20);
    expect(stored.length).toBeLessThan(60);
    world.disk.crash();
    world.indexes.crash();
    expect(await missingIn(await world.open(), stored)).toEqual([]);
  });

  it("writes nothing any more after a failed sync, and reads on (X5)", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const before = chunksOf(1, 3);
    await store.put(before);
    world.disk.fail({ operation: "sync", errno: "EIO" });
    expect(await rejection(store.put([chunkOf(50)]))).toBe("DISK_FAILED");
    expect(store.has([chunkOf(50).fingerprint])).toEqual([false]);
    expect(await rejection(store.put([chunkOf(51)]))).toBe("DISK_FAILED");
    expect(store.failure?.code).toBe("DISK_FAILED");
    expect(await missingIn(store, before)).toEqual([]);
    await store.close();
  });

  it("never returns a rotten copy, and takes a new one (X2, P7)", async () => {
    const chunks = chunksOf(1, 4);
    let rottenCount = 0;
    for (let position = 64; ; position += 41) {
      const world = createExtentWorld();
      const store = await world.open();
      await store.put(chunks);
      if (position >= (world.disk.content(EGROUP_1)?.length ?? 0)) break;
      world.disk.corrupt(EGROUP_1, position, 0x10);
      const missing = await missingIn(store, chunks);
      rottenCount += missing.length;
      const copies = kindsOf(await store.get(fingerprintsOf(chunks)));
      expect(missing.map((slot) => copies[slot])).toEqual(missing.map(() => "absent"));
      expect(store.has(fingerprintsOf(chunks))).toEqual(chunks.map((_, i) => !missing.includes(i)));
      expect(store.stats().corruptCount).toBe(missing.length);
      expect((await store.put(chunks)).storedCount).toBe(missing.length);
      expect(await missingIn(store, chunks)).toEqual([]);
      await store.close();
    }
    expect(rottenCount).toBeGreaterThan(50);
  });

  it("does not take a sound record at the wrong place for the one asked (P7)", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const chunks = [chunkOf(1, 1024), chunkOf(4, 1024)];
    await store.put(chunks);
    // A misdirected write: the second record's bytes land on the first's.
    const content = world.disk.content(EGROUP_1) ?? new Uint8Array(0);
    const span = (content.length - 64) / 2;
    for (let i = 0; i < span; i++) {
      const mask = (content[64 + i] ?? 0) ^ (content[64 + span + i] ?? 0);
      if (mask !== 0) world.disk.corrupt(EGROUP_1, 64 + i, mask);
    }
    const first = await store.get(fingerprintsOf(chunks));
    expect(kindsOf(first)).toEqual(["corrupt", "found"]);
    await store.close();
  });

  it("keeps a copy that only could not be read", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    await store.put([chunkOf(1)]);
    world.disk.fail({ operation: "read", errno: "EIO" });
    expect(kindsOf(await store.get([chunkOf(1).fingerprint]))).toEqual(["failed"]);
    expect(kindsOf(await store.get([chunkOf(1).fingerprint]))).toEqual(["found"]);
    await store.close();
  });

  it("goes on when the index cannot be written, and the next opening finds all", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    const chunks = chunksOf(1, 30);
    world.indexes.failWrites("DISK_FULL", 1);
    await store.put(chunks);
    expect(await missingIn(store, chunks)).toEqual([]);
    await store.close();
    expect(world.log.of("extents.index-behind").length).toBe(1);
    const again = await world.open();
    expect(again.recovery.scannedRecords).toBe(30);
    expect(await missingIn(again, chunks)).toEqual([]);
    await again.close();
  });

  it("loses no entry of a batch that failed when later ones succeed", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    await store.put(chunksOf(1, 10));
    world.indexes.failWrites("DISK_FULL", 1);
    expect(await rejection(store.raiseGeneration(2))).toBe("DISK_FULL");
    await store.put(chunksOf(20, 10));
    await store.raiseGeneration(3);
    await store.close();
    const again = await world.open();
    expect(again.recovery).toMatchObject({ scannedRecords: 0, rebuildReason: undefined });
    expect(await missingIn(again, [...chunksOf(1, 10), ...chunksOf(20, 10)])).toEqual([]);
    await again.close();
  });

  it("stamps chunks with the generation in which a writer last stored or found them", async () => {
    const world = createExtentWorld();
    const store = await world.open();
    await store.put([chunkOf(1), chunkOf(2)]);
    await store.raiseGeneration(7);
    await store.put([chunkOf(2), chunkOf(3)]);
    await store.close();
    const index = await world.indexes.open("extents/index");
    const generations = fingerprintsOf(chunksOf(1, 3)).map(
      (key) => decodePlace(codec, key, index.get(key) ?? new Uint8Array(0))?.generation,
    );
    expect(generations).toEqual([1, 7, 7]);
    await index.close();
    const again = await world.open();
    expect(again.generation).toBe(7);
    await again.close();
  });
});
