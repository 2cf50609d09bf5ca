/** The decision table of recovery (SPEC.md): one test a row, and tails torn at every byte. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import type { OplogReplica } from "../../../services/stargate/oplog/contracts.ts";
import {
  A,
  B,
  createWorld,
  diskWith,
  e,
  FOLDER,
  l,
  type OplogWorld,
  outcomeOf,
  readAll,
  SMALL,
  told,
  write,
  writes,
} from "./world.ts";

const HEAD = 128;
const ENTRY = 88;
/** A promise, then records of 100 bytes. */
const RECORD = 192;
const recordAt = (head: number, index: number): number => head + ENTRY + index * RECORD;

const name = (sequence: number): string => `${FOLDER}/${String(sequence).padStart(16, "0")}.oplog`;

/** One batch a record, so that all but the last are provably synced. */
async function appendEach(
  replica: OplogReplica,
  from: number,
  to: number,
  by = 1,
  of = A,
): Promise<void> {
  for (let at = from; at <= to; at++) await replica.append(e(by), [write(at, by, 100, of)]);
}

async function reopen(world: OplogWorld): Promise<{ a: OplogReplica; b: OplogReplica }> {
  world.disk.crash();
  const oplog = await world.open();
  return { a: oplog.of(A), b: oplog.of(B) };
}

describe("recovery", () => {
  it("R1: finds nothing in a new folder", async () => {
    expect((await createWorld().open()).list()).toEqual([]);
  });

  it("R2: ignores a newest segment whose start was interrupted, at any byte", async () => {
    for (let kept = 0; kept < HEAD + 2 * ENTRY; kept++) {
      const world = createWorld();
      const oplog = await world.open();
      await appendEach(oplog.of(A), 1, 2);
      await oplog.of(B).append(e(4), writes(1, 2, 4, 100, B));
      world.disk.crash();
      await world.open();
      const file = await world.disk.open(name(2), "write");
      await file.truncate(kept);
      await file.sync();
      const { a, b } = await reopen(world);
      expect(await readAll(a)).toEqual(told(writes(1, 2, 1)));
      expect(await readAll(b)).toEqual(told(writes(1, 2, 4, 100, B)));
      expect(world.disk.content(name(2))).toBeUndefined();
    }
  });

  it("R3: begins anew when the very first start was interrupted, at any byte", async () => {
    for (let kept = 0; kept < HEAD; kept++) {
      const world = createWorld();
      await world.open();
      const file = await world.disk.open(name(1), "write");
      await file.truncate(kept);
      await file.sync();
      const { a } = await reopen(world);
      await a.append(e(1), [write(1, 1)]);
      expect(await readAll((await reopen(world)).a)).toEqual(told([write(1, 1)]));
    }
  });

  it("R4: cuts a tail that was torn at any byte off, and keeps what was acknowledged (P1)", async () => {
    const end = recordAt(HEAD, 4);
    for (let kept = recordAt(HEAD, 2); kept <= end; kept++) {
      const world = createWorld();
      const a = (await world.open()).of(A);
      await a.append(e(1), writes(1, 2, 1));
      await a.append(e(1), writes(3, 4, 1));
      const file = await world.disk.open(name(1), "write");
      const tail = (await file.read(0, end)).subarray(kept, end);
      await file.write(kept, [new Uint8Array(tail.length)]);
      await file.sync();
      const found = await readAll((await reopen(world)).a);
      expect(found).toEqual(told(writes(1, found.length, 1)));
      expect(found.length).toBeGreaterThanOrEqual(2);
      if (kept === end) expect(found.length).toBe(4);
    }
  });

  it("R4: does not take later entries of the torn batch for proof that it was synced", async () => {
    const world = createWorld();
    const a = (await world.open()).of(A);
    await a.append(e(1), [write(1, 1)]);
    await a.append(e(1), writes(2, 5, 1));
    world.disk.corrupt(name(1), recordAt(HEAD, 2));
    const state = (await reopen(world)).a.state();
    expect(state).toMatchObject({ lastLsn: 2 });
    expect(state.unknownFrom).toBeUndefined();
  });

  it("R5: marks exactly the vDisk whose record rotted, from that record on (P7)", async () => {
    const world = createWorld(undefined, { ...SMALL, segmentBytes: 1 << 20 });
    const oplog = await world.open();
    await appendEach(oplog.of(A), 1, 5);
    await appendEach(oplog.of(B), 1, 3, 1, B);
    world.disk.corrupt(name(1), recordAt(HEAD, 2) + ENTRY + 50);
    const { a, b } = await reopen(world);
    expect(a.state()).toMatchObject({ lastLsn: 2, unknownFrom: 3 });
    expect(await readAll(a)).toEqual(told(writes(1, 2, 1)));
    expect(await outcomeOf(a.append(e(1), [write(3, 1)]))).toBe("OPLOG_CORRUPT");
    expect(await outcomeOf(a.truncateAfter(e(2), l(1)))).toBe("OPLOG_CORRUPT");
    expect(b.state().unknownFrom).toBeUndefined();
    expect(await b.append(e(1), [write(4, 1, 100, B)])).toEqual({ kind: "appended" });
    const again = await reopen(world);
    expect(again.a.state()).toMatchObject({ lastLsn: 2, unknownFrom: 3 });
    await again.a.promise(e(7));
    await again.a.reset(e(7), l(20));
    await again.a.append(e(7), [write(21, 7)]);
    const healed = (await reopen(world)).a;
    expect(healed.state()).toMatchObject({ lastLsn: 21, promisedEpoch: 7 });
    expect(healed.state().unknownFrom).toBeUndefined();
  });

  it("R6: clears a vDisk whose next entry proves that none of its own was lost", async () => {
    const world = createWorld(undefined, { ...SMALL, segmentBytes: 1 << 20 });
    const oplog = await world.open();
    await appendEach(oplog.of(B), 1, 2, 1, B);
    await appendEach(oplog.of(A), 1, 2);
    await appendEach(oplog.of(B), 3, 3, 1, B);
    world.disk.corrupt(name(1), HEAD + ENTRY + 2 * RECORD + ENTRY + 4);
    const { a, b } = await reopen(world);
    expect(b.state().unknownFrom).toBeUndefined();
    expect(await readAll(b)).toEqual(told(writes(1, 3, 1, 100, B)));
    expect(a.state().unknownFrom).toBe(1);
  });

  it("R7: keeps what is before the loss when the record behind it has the same epoch", async () => {
    const world = createWorld(undefined, { ...SMALL, segmentBytes: 1 << 20 });
    const a = (await world.open()).of(A);
    await appendEach(a, 1, 5);
    world.disk.corrupt(name(1), recordAt(HEAD, 2) + 9);
    const found = (await reopen(world)).a;
    expect(found.state()).toMatchObject({ lastLsn: 2, unknownFrom: 3 });
    expect(await readAll(found)).toEqual(told(writes(1, 2, 1)));
  });

  it("R8: trusts nothing undrained when the loss may have held a truncation (P4)", async () => {
    const world = createWorld(undefined, { ...SMALL, segmentBytes: 1 << 20 });
    const a = (await world.open()).of(A);
    await appendEach(a, 1, 4);
    await a.truncateAfter(e(2), l(2));
    await appendEach(a, 3, 4, 2);
    world.disk.corrupt(name(1), recordAt(HEAD, 4) + 9);
    expect((await reopen(world)).a.state()).toMatchObject({ lastLsn: 0, unknownFrom: 1 });
  });

  it("R9: a trim, a reset or a checkpoint behind a loss heals it", async () => {
    const limits = { ...SMALL, segmentBytes: 1 << 20 };
    for (const heal of ["trim", "reset", "checkpoint"] as const) {
      const world = createWorld(undefined, limits);
      const oplog = await world.open();
      const a = oplog.of(A);
      await appendEach(a, 1, 5);
      if (heal === "reset") await a.reset(e(2), l(5));
      else a.trim(l(5));
      if (heal === "checkpoint") {
        await oplog.close();
        await world.open();
      } else await appendEach(a, 6, 7, 2);
      world.disk.corrupt(name(1), recordAt(HEAD, 2) + 9);
      expect((await reopen(world)).a.state().unknownFrom).toBeUndefined();
    }
  });
});

describe("recovery of several segments", () => {
  it("R10: does not believe what lies behind the end that the next segment names", async () => {
    const world = createWorld();
    const a = (await world.open()).of(A);
    await a.append(e(1), [write(1, 1)]);
    world.disk.fail({ operation: "sync", errno: "ENOSPC" });
    world.disk.fail({ operation: "truncate", errno: "EIO" });
    expect(await outcomeOf(a.append(e(1), [write(2, 1, 77)]))).toBe("DISK_FULL");
    await a.append(e(1), [write(2, 1)]);
    expect(await readAll((await reopen(world)).a)).toEqual(told(writes(1, 2, 1)));
  });

  it("R11: reads on behind a middle segment whose header rotted", async () => {
    const world = createWorld();
    const a = (await world.open()).of(A);
    await appendEach(a, 1, 80);
    expect(world.disk.paths().length).toBeGreaterThan(3);
    world.disk.corrupt(name(2), 20);
    expect(await readAll((await reopen(world)).a)).toEqual(told(writes(1, 80, 1)));
  });

  it("R12: refuses the folder when the oldest head is damaged: it held the only promises", async () => {
    const world = createWorld();
    const oplog = await world.open();
    await oplog.of(B).promise(e(9));
    for (let at = 1; at <= 60; at++) {
      await appendEach(oplog.of(A), at, at);
      oplog.of(A).trim(l(at));
    }
    await oplog.close();
    const [oldest = ""] = world.disk.paths();
    expect(oldest).not.toBe(name(1));
    world.disk.corrupt(oldest, HEAD + 3);
    expect(await outcomeOf(reopen(world))).toBe("OPLOG_CORRUPT");
    world.disk.corrupt(oldest, HEAD + 3);
    expect((await reopen(world)).b.state().promisedEpoch).toBe(9);
  });

  it("R13: refuses a folder of another CVM or another version, and leaves it as it was (P10)", async () => {
    const world = createWorld();
    await appendEach((await world.open()).of(A), 1, 2);
    world.disk.crash();
    expect(await outcomeOf(world.open({ identity: "site-a/2/two" }))).toBe("FORMAT_UNSUPPORTED");
    expect(await readAll((await reopen(world)).a)).toEqual(told(writes(1, 2, 1)));
  });

  it("R14: marks the vDisks that needed a segment that is missing", async () => {
    const world = createWorld();
    const oplog = await world.open();
    await appendEach(oplog.of(A), 1, 60);
    await oplog.of(B).append(e(1), [write(1, 1, 100, B)]);
    await world.disk.remove(name(2));
    await world.disk.syncDirectory(FOLDER);
    const { a, b } = await reopen(world);
    const { unknownFrom = l(0), lastLsn } = a.state();
    expect(unknownFrom).toBeGreaterThan(10);
    expect(await readAll(a)).toEqual(told(writes(1, lastLsn, 1)));
    expect(b.state().unknownFrom).toBeUndefined();
  });

  it("R15: makes the last batch durable before it is relied upon (P1)", async () => {
    const world = createWorld();
    const a = (await world.open()).of(A);
    await a.append(e(1), [write(1, 1)]);
    world.disk.fail({ operation: "sync", errno: "EIO" });
    expect(await outcomeOf(a.append(e(1), [write(2, 1)]))).toBe("DISK_FAILED");
    world.disk.killProcess();
    const found = await readAll((await world.open()).of(A));
    expect(found).toEqual(told(writes(1, 2, 1)));
    expect(await readAll((await reopen(world)).a)).toEqual(found);
  });
});

describe("recovery under rot", () => {
  it("never invents a record and never stays silent about a lost one, whatever byte rots (P7)", async () => {
    const limits = { ...SMALL, segmentBytes: 1 << 20 };
    const built = createWorld(undefined, limits);
    const oplog = await built.open();
    await appendEach(oplog.of(A), 1, 3);
    await appendEach(oplog.of(B), 1, 1, 1, B);
    await oplog.of(A).truncateAfter(e(2), l(2));
    await appendEach(oplog.of(A), 3, 4, 2);
    await oplog.close();
    const content = built.disk.content(name(1)) ?? new Uint8Array(0);
    const expected = [...writes(1, 2, 1), ...writes(3, 4, 2)];
    const end = content.findLastIndex((byte) => byte !== 0) + 1;
    for (let at = 0; at < end; at++) {
      const rotten = content.slice();
      rotten[at] = (rotten[at] ?? 0) ^ (1 + createPrng(at).below(255));
      const world = createWorld(await diskWith(name(1), rotten), limits);
      const { a, b } = await reopen(world);
      for (const [replica, whole] of [
        [a, expected],
        [b, [write(1, 1, 100, B)]],
      ] as const) {
        const { lastLsn, unknownFrom } = replica.state();
        expect(await readAll(replica)).toEqual(told(whole.slice(0, lastLsn)));
        if (unknownFrom === undefined) expect(lastLsn).toBe(whole.length);
        else expect(unknownFrom).toBe(lastLsn + 1);
      }
    }
  });
});
