/** Disks that fail, fill up and lose power at every single operation. */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import type { OplogRecord, OplogReplica } from "../../../services/stargate/oplog/contracts.ts";
import type { DiskOperation } from "../../support/fakeDisk.ts";
import type { CrashMode } from "../../support/fakeFile.ts";
import {
  A,
  B,
  createWorld,
  e,
  l,
  type OplogWorld,
  outcomeOf,
  readAll,
  SMALL,
  told,
  write,
  writes,
} from "./world.ts";

/** What was acknowledged of the story, and what was tried beyond that. */
interface Told {
  acked: OplogRecord[];
  tried: OplogRecord[];
  promised: number;
}

/** Appends, promises, trims and truncates at two vDisks over several segments; stops at the first failure. */
async function story(world: OplogWorld, a: Told, b: Told): Promise<void> {
  const oplog = await world.open();
  const append = async (
    replica: OplogReplica,
    to: Told,
    by: number,
    count: number,
    of = A,
  ): Promise<void> => {
    const first = (to.acked.at(-1)?.lsn ?? 0) + 1;
    const records = writes(first, first + count - 1, by, 150, of);
    to.tried = [...to.acked, ...records];
    expect(await replica.append(e(by), records)).toEqual({ kind: "appended" });
    to.acked = to.tried;
    to.promised = Math.max(to.promised, by);
  };
  for (let i = 0; i < 6; i++) {
    await Promise.all([append(oplog.of(A), a, 1, 3), append(oplog.of(B), b, 1, 1, B)]);
    if (i === 3) oplog.of(A).trim(l(6));
  }
  a.tried = [...a.acked];
  await oplog.of(A).promise(e(2));
  a.promised = 2;
  const kept = a.acked.slice(0, 12);
  // Until it is acknowledged, both the longer and the shorter log are right.
  await oplog.of(A).truncateAfter(e(3), l(12));
  a.acked = kept;
  a.promised = 3;
  for (let i = 0; i < 12; i++) {
    await append(oplog.of(A), a, 3, 4);
    oplog.of(A).trim(l(a.acked.length - 2));
    oplog.of(B).trim(l(b.acked.length));
  }
}

/** Fails `times` operations of a kind after `afterCount` of them, until the disk is well again. */
function failAt(
  world: OplogWorld,
  plan: {
    operation: DiskOperation;
    code: "DISK_FULL" | "DISK_FAILED";
    afterCount: number;
    times: number;
  },
): void {
  let seen = 0;
  world.disk.onOperation((operation) => {
    if (operation !== plan.operation) return;
    seen += 1;
    if (seen > plan.afterCount && seen <= plan.afterCount + plan.times)
      throw new AntipodeError(plan.code, "the disk fails as planned");
  });
}

async function checkTold(replica: OplogReplica, { acked, tried, promised }: Told): Promise<void> {
  const { lastLsn, drainedLsn, promisedEpoch, unknownFrom } = replica.state();
  expect(unknownFrom).toBeUndefined();
  expect(promisedEpoch).toBeGreaterThanOrEqual(promised);
  const held = await readAll(replica);
  const longest = tried.length > acked.length ? tried : acked;
  expect(lastLsn).toBeGreaterThanOrEqual(
    Math.min(acked.length, promised === 2 ? 12 : acked.length),
  );
  expect(held).toEqual(told(longest.slice(drainedLsn, lastLsn)));
}

const nothing = (): Told => ({ acked: [], tried: [], promised: 0 });

async function countOperations(): Promise<number> {
  const world = createWorld();
  let count = 0;
  world.disk.onOperation(() => {
    count += 1;
  });
  await story(world, nothing(), nothing());
  return count;
}

describe("a loss of power at every disk operation (P1)", () => {
  it.each<CrashMode>(["lost", "kept", "random", "tornTail"])(
    "keeps what was acknowledged and promised, unsynced bytes %s",
    async (mode) => {
      const operations = await countOperations();
      expect(operations).toBeGreaterThan(40);
      for (let n = 0; n < operations; n++) {
        const world = createWorld();
        const prng = createPrng(n);
        const [a, b] = [nothing(), nothing()];
        let left = n;
        world.disk.onOperation(() => {
          if (left-- === 0) world.disk.crash({ mode, prng });
        });
        await outcomeOf(story(world, a, b));
        world.disk.onOperation(undefined);
        world.disk.crash({ mode, prng });
        const oplog = await world.open();
        await checkTold(oplog.of(A), a);
        await checkTold(oplog.of(B), b);
        await oplog.of(A).append(e(9), [write(oplog.of(A).state().lastLsn + 1, 9)]);
        const lastLsn = oplog.of(A).state().lastLsn;
        world.disk.crash({ mode: "lost" });
        expect((await world.open()).of(A).state()).toMatchObject({ lastLsn, promisedEpoch: 9 });
      }
    },
  );
});

describe("a disk operation that fails", () => {
  it.each<DiskOperation>(["write", "sync", "open", "rename", "syncDirectory"])(
    "%s, at any time: nothing acknowledged is lost (P1)",
    async (operation) => {
      let failures = 0;
      for (let afterCount = 0; afterCount < 40; afterCount++) {
        const world = createWorld();
        const [a, b] = [nothing(), nothing()];
        failAt(world, { operation, code: "DISK_FAILED", afterCount, times: 1 });
        if ((await outcomeOf(story(world, a, b))) === "DISK_FAILED") failures += 1;
        world.disk.onOperation(undefined);
        world.disk.crash({ mode: "random", prng: createPrng(afterCount) });
        const oplog = await world.open();
        await checkTold(oplog.of(A), a);
        await checkTold(oplog.of(B), b);
      }
      expect(failures).toBeGreaterThan(0);
    },
  );

  it("a failed sync fails the journal for good, for every vDisk (P1)", async () => {
    const world = createWorld();
    const oplog = await world.open();
    await oplog.of(A).append(e(1), [write(1, 1)]);
    world.disk.fail({ operation: "sync", errno: "EIO" });
    expect(await outcomeOf(oplog.of(A).append(e(1), [write(2, 1)]))).toBe("DISK_FAILED");
    expect(await outcomeOf(oplog.of(B).append(e(1), [write(1, 1)]))).toBe("DISK_FAILED");
    expect(await outcomeOf(oplog.of(A).promise(e(3)))).toBe("DISK_FAILED");
    expect(oplog.of(A).state()).toMatchObject({ lastLsn: 1, promisedEpoch: 1 });
    expect(await readAll(oplog.of(A))).toEqual(told([write(1, 1)]));
  });

  it("a read that fails is told, and the record is there when the disk is well again", async () => {
    const world = createWorld(undefined, { ...SMALL, recentBytesMax: 0 });
    const replica = (await world.open()).of(A);
    await replica.append(e(1), writes(1, 2, 1));
    world.disk.fail({ operation: "read", errno: "EIO" });
    expect(await outcomeOf(readAll(replica))).toBe("DISK_FAILED");
    expect(await readAll(replica)).toEqual(told(writes(1, 2, 1)));
  });
});

describe("a full disk (P10)", () => {
  it("at any write fails what waits, acknowledges nothing of it, and goes on when there is room", async () => {
    for (const operation of ["write", "sync", "open"] as const)
      for (let afterCount = 0; afterCount < 30; afterCount++) {
        const world = createWorld();
        const oplog = await world.open();
        const replica = oplog.of(A);
        failAt(world, { operation, code: "DISK_FULL", afterCount, times: 2 });
        let last = 0;
        for (let i = 0; i < 30; i++) {
          const records = writes(last + 1, last + 3, 1, 150);
          const outcomes = await Promise.all([
            outcomeOf(replica.append(e(1), records)),
            outcomeOf(replica.append(e(1), [write(last + 4, 1, 150)])),
          ]);
          if (outcomes[0] !== "DISK_FULL") last += 3;
          if (outcomes[0] !== "DISK_FULL" && outcomes[1] !== "DISK_FULL") last += 1;
          expect(replica.state().lastLsn).toBe(last);
        }
        expect(last).toBeGreaterThan(100);
        world.disk.onOperation(undefined);
        world.disk.crash({ mode: "random", prng: createPrng(afterCount) });
        const again = (await world.open()).of(A);
        expect(again.state().unknownFrom).toBeUndefined();
        expect(await readAll(again)).toEqual(told(writes(1, last, 1, 150)));
      }
  });

  it("undoes promises, truncations and resets that were not written, in the right order", async () => {
    const world = createWorld();
    const replica = (await world.open()).of(A);
    await replica.append(e(1), writes(1, 6, 1));
    replica.trim(l(2));
    const before = replica.state();
    world.disk.fail({ operation: "write", errno: "ENOSPC" });
    const outcomes = await Promise.all(
      [
        replica.append(e(1), [write(7, 1)]),
        replica.truncateAfter(e(2), l(3)),
        replica.append(e(2), writes(4, 5, 2)),
        replica.reset(e(3), l(50)),
        replica.promise(e(4)),
      ].map(outcomeOf),
    );
    expect(new Set(outcomes)).toEqual(new Set(["DISK_FULL"]));
    expect(replica.state()).toEqual(before);
    expect(await readAll(replica)).toEqual(told(writes(3, 6, 1)));
    await replica.append(e(1), [write(7, 1)]);
    world.disk.crash();
    const again = (await world.open()).of(A);
    expect(again.state()).toMatchObject({ promisedEpoch: 1, lastLsn: 7, drainedLsn: 2 });
  });
});
