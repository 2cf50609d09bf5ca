/** The replica's contract on a healthy disk. */

import { describe, expect, it } from "vitest";
import { epoch, lsn } from "../../../services/base/ids.ts";
import type { OplogRecord } from "../../../services/stargate/oplog/contracts.ts";
import {
  A,
  B,
  createWorld,
  e,
  FOLDER,
  l,
  newestPath,
  outcomeOf,
  readAll,
  SMALL,
  told,
  write,
  writes,
} from "./world.ts";

describe("an oplog replica", () => {
  it("is empty when this CVM never had one", async () => {
    const oplog = await createWorld().open();
    expect(oplog.of(A).state()).toEqual({
      promisedEpoch: 0,
      drainedLsn: 0,
      lastLsn: 0,
      lastEpoch: 0,
      undrainedBytes: 0,
    });
    expect(oplog.list()).toEqual([]);
  });

  it("gives back every kind of record, before and after a loss of power (P1)", async () => {
    const world = createWorld();
    const oplog = await world.open();
    const records: OplogRecord[] = [
      write(1, 3, 1000),
      {
        lsn: lsn(2),
        epoch: epoch(3),
        kind: "zero",
        offsetBytes: 4096,
        lengthBytes: 2 ** 40,
        data: new Uint8Array(0),
      },
      {
        lsn: lsn(3),
        epoch: epoch(3),
        kind: "chunks",
        offsetBytes: 16384,
        lengthBytes: 32768,
        data: new Uint8Array(64).fill(9),
      },
      {
        lsn: lsn(4),
        epoch: epoch(3),
        kind: "marker",
        offsetBytes: 0,
        lengthBytes: 0,
        data: new Uint8Array(16).fill(5),
      },
    ];
    expect(await oplog.of(A).append(e(3), records)).toEqual({ kind: "appended" });
    expect(await readAll(oplog.of(A))).toEqual(told(records));
    world.disk.crash();
    const again = await world.open();
    expect(again.list()).toEqual([A]);
    expect(await readAll(again.of(A))).toEqual(told(records));
    expect(again.of(A).state()).toMatchObject({ promisedEpoch: 3, lastLsn: 4, lastEpoch: 3 });
    expect(again.of(A).state().undrainedBytes).toBe(again.usage().liveBytes);
  });

  it("refuses a lower epoch and remembers what it promised (P4)", async () => {
    const world = createWorld();
    const oplog = await world.open();
    expect(await oplog.of(A).promise(e(5))).toBe(true);
    expect(await oplog.of(A).promise(e(5))).toBe(true);
    world.disk.crash();
    const replica = (await world.open()).of(A);
    expect(await replica.promise(e(4))).toBe(false);
    const stale = { kind: "staleEpoch", promisedEpoch: 5 };
    expect(await replica.append(e(4), [write(1, 4)])).toEqual(stale);
    expect(await replica.truncateAfter(e(4), l(0))).toEqual(stale);
    expect(await replica.reset(e(4), l(0))).toEqual(stale);
  });

  it("promises the epoch of an append, also when the records are older", async () => {
    const world = createWorld();
    await (await world.open()).of(A).append(e(9), [write(1, 2)]);
    world.disk.crash();
    expect((await world.open()).of(A).state()).toMatchObject({ promisedEpoch: 9, lastEpoch: 2 });
  });

  it("refuses a gap, and records that it has", async () => {
    const replica = (await createWorld().open()).of(A);
    expect(await replica.append(e(1), [write(2, 1)])).toEqual({ kind: "gap", lastLsn: 0 });
    await replica.append(e(1), writes(1, 3, 1));
    expect(await replica.append(e(1), [write(3, 1)])).toEqual({ kind: "gap", lastLsn: 3 });
  });

  it("takes overlapping calls in their order", async () => {
    const world = createWorld();
    const replica = (await world.open()).of(A);
    const outcomes = await Promise.all([
      replica.append(e(1), writes(1, 8, 1)),
      replica.truncateAfter(e(2), l(5)),
      replica.append(e(2), writes(6, 7, 2)),
      replica.append(e(1), [write(8, 1)]),
    ]);
    expect(outcomes.map(({ kind }) => kind)).toEqual([
      "appended",
      "appended",
      "appended",
      "staleEpoch",
    ]);
    const expected = [...writes(1, 5, 1), ...writes(6, 7, 2)];
    expect(await readAll(replica)).toEqual(told(expected));
    world.disk.crash();
    const again = (await world.open()).of(A);
    expect(await readAll(again)).toEqual(told(expected));
    expect([again.epochAt(l(5)), again.epochAt(l(6)), again.epochAt(l(8))]).toEqual([1, 2, 0]);
  });

  it("syncs once for all that arrive while a sync is under way", async () => {
    const world = createWorld(undefined, { segmentBytes: 1 << 20 });
    const oplog = await world.open();
    let syncs = 0;
    world.disk.onOperation((operation) => {
      if (operation === "sync") syncs += 1;
    });
    const done: Promise<unknown>[] = [];
    for (let i = 1; i <= 50; i++)
      done.push(
        oplog.of(A).append(e(1), [write(i, 1)]),
        oplog.of(B).append(e(1), [write(i, 1, 100, B)]),
      );
    await Promise.all(done);
    expect(syncs).toBe(1);
  });

  it("begins after the base when it is reset, and is gone when it is forgotten", async () => {
    const world = createWorld();
    const oplog = await world.open();
    await oplog.of(A).append(e(1), writes(1, 5, 1));
    await oplog.of(B).append(e(1), writes(1, 2, 1, 50, B));
    await oplog.of(A).reset(e(2), l(40));
    await oplog.of(A).append(e(2), [write(41, 2)]);
    await oplog.forget(B);
    expect(oplog.list()).toEqual([A]);
    world.disk.crash();
    const again = await world.open();
    expect(again.list()).toEqual([A]);
    expect(again.of(A).state()).toMatchObject({ drainedLsn: 40, lastLsn: 41, promisedEpoch: 2 });
    await again.of(B).append(e(1), writes(1, 3, 1, 50, B));
    world.disk.crash();
    expect(await readAll((await world.open()).of(B))).toEqual(told(writes(1, 3, 1, 50, B)));
  });

  it("reads from the journal what left memory, neighbours with one read", async () => {
    const world = createWorld(undefined, { segmentBytes: 1 << 20, recentBytesMax: 500 });
    const replica = (await world.open()).of(A);
    await replica.append(e(1), writes(1, 40, 1));
    let reads = 0;
    world.disk.onOperation((operation) => {
      if (operation === "read") reads += 1;
    });
    expect(await replica.read(l(36), l(40))).toEqual(writes(36, 40, 1));
    expect(reads).toBe(0);
    expect(await replica.read(l(1), l(40))).toEqual(writes(1, 40, 1));
    expect(reads).toBe(1);
  });

  it("never returns a record that rotted (P7)", async () => {
    const world = createWorld(undefined, { ...SMALL, recentBytesMax: 0 });
    const replica = (await world.open()).of(A);
    await replica.append(e(1), writes(1, 3, 1));
    const path = newestPath(world.disk);
    const end = 128 + 88 + 3 * (88 + 104);
    let refusals = 0;
    for (let at = 128; at < end; at++) {
      world.disk.corrupt(path, at);
      const outcome = await outcomeOf(replica.read(l(1), l(3)));
      if (outcome === "OPLOG_CORRUPT") refusals += 1;
      else expect(outcome).toEqual(writes(1, 3, 1));
      world.disk.corrupt(path, at);
    }
    expect(refusals).toBe(3 * (88 + 100));
  });

  it("gives files back when every vDisk in them was drained, oldest first", async () => {
    const world = createWorld();
    const oplog = await world.open();
    await oplog.of(B).append(e(1), [write(1, 1, 100, B)]);
    for (let i = 1; i <= 200; i++) {
      await oplog.of(A).append(e(1), [write(i, 1)]);
      oplog.of(A).trim(l(i - 1));
    }
    expect(oplog.usage().fileBytes).toBeGreaterThan(30_000);
    oplog.of(B).trim(l(1));
    await oplog.of(A).append(e(1), [write(201, 1)]);
    // The files go between the batch that stated the trim and the next one.
    await oplog.of(A).append(e(1), [write(202, 1)]);
    expect(oplog.usage().fileBytes).toBeLessThan(13_000);
    world.disk.crash();
    const again = await world.open();
    expect(again.of(A).state()).toMatchObject({ lastLsn: 202, drainedLsn: 199 });
    expect(again.of(B).state()).toMatchObject({ lastLsn: 1, drainedLsn: 1 });
  });

  it("names the vDisk that keeps many files", async () => {
    const world = createWorld(undefined, { ...SMALL, segmentsReportMin: 4 });
    const oplog = await world.open();
    await oplog.of(B).append(e(1), [write(1, 1, 100, B)]);
    for (let i = 1; i <= 100; i++) {
      await oplog.of(A).append(e(1), [write(i, 1)]);
      oplog.of(A).trim(l(i));
    }
    const [told] = world.log.lines.filter(({ fields }) => fields.event === "oplog.pinned");
    expect(told).toMatchObject({ level: "warn", fields: { segments: 4, vdiskIds: [B] } });
  });

  it("keeps a trim that travelled, and closes with all of them", async () => {
    const world = createWorld();
    const oplog = await world.open();
    await oplog.of(A).append(e(1), writes(1, 9, 1));
    oplog.of(A).trim(l(7));
    await oplog.close();
    world.disk.crash();
    const replica = (await world.open()).of(A);
    expect(replica.state()).toMatchObject({ drainedLsn: 7, lastLsn: 9, lastEpoch: 1 });
    expect(await outcomeOf(oplog.of(A).append(e(1), [write(10, 1)]))).toBe("CANCELLED");
  });

  it("ignores a trim while a truncation waits: it would travel before it", async () => {
    const replica = (await createWorld().open()).of(A);
    await replica.append(e(1), writes(1, 9, 1));
    const waiting = [replica.truncateAfter(e(2), l(5)), replica.append(e(2), writes(6, 8, 2))];
    replica.trim(l(8));
    expect(replica.state().drainedLsn).toBe(0);
    await Promise.all(waiting);
    replica.trim(l(8));
    expect(replica.state()).toMatchObject({ drainedLsn: 8, lastLsn: 8, undrainedBytes: 0 });
  });

  it("keeps a file until the trim that frees it is synced (P1)", async () => {
    const world = createWorld(undefined, { ...SMALL, spareSegmentsMax: 0 });
    const oplog = await world.open();
    await oplog.of(A).append(e(1), writes(1, 30, 1));
    await oplog.of(B).append(e(1), [write(1, 1, 100, B)]);
    expect(world.disk.paths().length).toBe(2);
    world.disk.onOperation((operation) => {
      if (operation === "sync") oplog.of(A).trim(l(30));
    });
    await oplog.of(B).append(e(1), [write(2, 1, 100, B)]);
    world.disk.onOperation(undefined);
    await world.disk.syncDirectory(FOLDER);
    world.disk.crash();
    const again = (await world.open()).of(A);
    expect(again.state()).toMatchObject({ lastLsn: 30, drainedLsn: 0 });
    expect(await readAll(again)).toEqual(told(writes(1, 30, 1)));
  });

  it("refuses more than may wait, and changes nothing by it (P10)", async () => {
    const world = createWorld(undefined, { segmentBytes: 1 << 20, pendingBytesMax: 1000 });
    const replica = (await world.open()).of(A);
    const first = replica.append(e(1), writes(1, 4, 1));
    expect(await outcomeOf(replica.append(e(1), writes(5, 8, 1)))).toBe("OVERLOADED");
    await first;
    expect(await replica.append(e(1), writes(5, 8, 1))).toEqual({ kind: "appended" });
  });
});
