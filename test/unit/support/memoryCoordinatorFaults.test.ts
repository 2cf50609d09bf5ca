/** The faults of the etcd in memory do what etcd was seen to do, and end when they are undone. */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { createPrng } from "../../../services/base/prng.ts";
import type { Transaction } from "../../../services/platform/coordinator.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import {
  createMemoryEtcd,
  type MemoryConnection,
  type MemoryEtcd,
} from "../../support/memoryCoordinator.ts";
import { codeOfFailure } from "../../support/outcome.ts";

interface Rig {
  readonly clock: FakeClock;
  readonly etcd: MemoryEtcd;
  readonly one: MemoryConnection;
}

function rig(): Rig {
  const clock = createFakeClock();
  const etcd = createMemoryEtcd(clock);
  return { clock, etcd, one: etcd.connect() };
}

const put = (key: string, value: string, lease?: string): Transaction => ({
  when: [],
  then: [{ kind: "put", key, value: utf8(value), ...(lease === undefined ? {} : { lease }) }],
});

async function textOf(one: MemoryConnection, key: string): Promise<string | undefined> {
  const found = await one.get(key);
  return found === undefined ? undefined : new TextDecoder().decode(found.value);
}

/** The code of a call that needs virtual time to fail, or "ok". */
async function outcomeOf(clock: FakeClock, call: Promise<unknown>): Promise<string> {
  const outcome = call.then(
    () => "ok",
    () => codeOfFailure(call),
  );
  await clock.tick(1000);
  return outcome;
}

/** Leases of 2 s, each with a key of its name. */
async function leases(one: MemoryConnection, names: readonly string[]): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const name of names) {
    const { id } = await one.grantLease(2000);
    await one.transact(put(`/lease/${name}`, name, id));
    ids.push(id);
  }
  return ids;
}

async function heldNames(one: MemoryConnection): Promise<readonly string[]> {
  return (await one.list("/lease/")).entries.map((entry) => entry.key.slice("/lease/".length));
}

describe("leases", () => {
  it("end early for as many as asked, by seed, although they were renewed", async () => {
    const { etcd, one } = rig();
    const ids = await leases(one, ["a", "b", "c"]);
    for (const id of ids) await one.renewLease(id);
    const ended = etcd.expireEarly(createPrng(2), 2);
    expect(ended).toHaveLength(2);
    expect(await heldNames(one)).toHaveLength(1);
    expect(await one.renewLease(ended[0] ?? "")).toBeUndefined();
  });

  it("all end at once at a revocation of all", async () => {
    const { etcd, one } = rig();
    await leases(one, ["a", "b", "c"]);
    etcd.revokeAll();
    expect(await heldNames(one)).toEqual([]);
  });

  it("live on while expiry is held, and end soon after", async () => {
    const { clock, etcd, one } = rig();
    await leases(one, ["a"]);
    const undo = etcd.holdExpiry();
    await clock.tick(60_000);
    expect(await heldNames(one)).toEqual(["a"]);
    undo();
    await clock.tick(100);
    expect(await heldNames(one)).toEqual([]);
  });
});

describe("an outage", () => {
  it("answers nobody and tells nothing; afterwards leases have their full time again", async () => {
    const { clock, etcd, one } = rig();
    await leases(one, ["a"]);
    const seen: number[] = [];
    one.watch("/k", 1, {
      onEvents: (_, revision) => seen.push(revision),
      onCompacted: () => undefined,
    });
    const undo = etcd.outage();
    expect(await outcomeOf(clock, one.transact(put("/k", "1")))).toBe("COORDINATOR_UNAVAILABLE");
    await clock.tick(10_000);
    undo();
    await clock.tick(1900);
    expect(await heldNames(one)).toEqual(["a"]);
    await clock.tick(200);
    expect(await heldNames(one)).toEqual([]);
    expect([await textOf(one, "/k"), seen]).toEqual([undefined, []]);
  });
});

describe("a freeze", () => {
  it("carries out at the thaw what it was asked, after its callers gave up, and ends leases that are over", async () => {
    const { clock, etcd, one } = rig();
    await leases(one, ["a"]);
    const undo = etcd.freeze(createPrng(1));
    expect(await outcomeOf(clock, one.transact(put("/k", "late")))).toBe("COORDINATOR_UNAVAILABLE");
    await clock.tick(5000);
    undo();
    expect(await textOf(one, "/k")).toBe("late");
    expect(await heldNames(one)).toEqual([]);
  });

  it("lets a late guarded write in before its lease ends or refuses it after, by seed", async () => {
    const outcomes = new Set<string | undefined>();
    for (let seed = 0; seed < 10; seed++) {
      const { clock, etcd, one } = rig();
      await leases(one, ["seat"]);
      const seat = await one.get("/lease/seat");
      const undo = etcd.freeze(createPrng(seed));
      const guarded: Transaction = {
        when: [{ kind: "createRevision", key: "/lease/seat", equals: seat?.createRevision ?? 0 }],
        then: [{ kind: "put", key: "/k", value: utf8("zombie") }],
      };
      await outcomeOf(clock, one.transact(guarded));
      await clock.tick(5000);
      undo();
      outcomes.add(await textOf(one, "/k"));
    }
    expect(outcomes).toEqual(new Set(["zombie", undefined]));
  });
});

describe("an ambiguous commit", () => {
  it("fails for its caller and has happened or not, by seed; reads are not touched", async () => {
    const { etcd, one } = rig();
    const undo = etcd.ambiguous({ prng: createPrng(5), share: 1 });
    const happened = new Set<boolean>();
    for (let i = 0; i < 20; i++) {
      expect(await codeOfFailure(one.transact(put(`/k/${i}`, "1")))).toBe(
        "COORDINATOR_UNAVAILABLE",
      );
      happened.add((await textOf(one, `/k/${i}`)) === "1");
    }
    expect(happened).toEqual(new Set([true, false]));
    undo();
    expect((await one.transact(put("/k/0", "2"))).succeeded).toBe(true);
  });
});

describe("watches", () => {
  it("are late by the delay, in order and without gap, and on time again once undone", async () => {
    const { clock, etcd, one } = rig();
    const seen: number[] = [];
    one.watch("/k", 1, {
      onEvents: (_, revision) => seen.push(revision),
      onCompacted: () => undefined,
    });
    await clock.settle();
    const undo = etcd.slowWatches(700);
    const revisions: number[] = [];
    for (let i = 0; i < 3; i++) revisions.push((await one.transact(put("/k", String(i)))).revision);
    await clock.tick(600);
    expect(seen).toEqual([]);
    await clock.tick(200);
    expect(seen).toEqual(revisions);
    revisions.push((await one.transact(put("/k", "last"))).revision);
    undo();
    await clock.settle();
    expect(seen).toEqual(revisions);
  });

  it("that were blind while all was compacted are told to list again", async () => {
    const { clock, etcd, one } = rig();
    let compactedAt = 0;
    one.watch("/k", 1, {
      onEvents: () => undefined,
      onCompacted: (revision) => {
        compactedAt = revision;
      },
    });
    await clock.settle();
    one.blindWatches(true);
    for (let i = 0; i < 3; i++) await one.transact(put("/k", String(i)));
    etcd.compactAll();
    etcd.compactAll();
    one.blindWatches(false);
    await clock.settle();
    expect(compactedAt).toBe(etcd.core.keyspace.compactRevision);
    expect(compactedAt).toBeGreaterThan(1);
  });
});

describe("a server that comes back without what it had", () => {
  it("when wiped has nothing, counts from the beginning and grants leases that nobody knows", async () => {
    const { clock, etcd, one } = rig();
    const [old = ""] = await leases(one, ["a"]);
    await one.transact(put("/k", "1"));
    const before = (await one.list("")).revision;
    etcd.wipe();
    expect(await one.list("")).toMatchObject({ entries: [] });
    expect((await one.list("")).revision).toBeLessThan(before);
    const fresh = await one.grantLease(2000);
    expect(fresh.id).not.toBe(old);
    expect(await one.renewLease(old)).toBeUndefined();
    await clock.tick(3000);
    expect(await one.renewLease(fresh.id)).toBeUndefined();
  });

  it("when restored has what the backup had, with its revisions and leases; watches of later ones stay silent", async () => {
    const { clock, etcd, one } = rig();
    const [lease = ""] = await leases(one, ["a"]);
    await one.transact(put("/k", "old"));
    const backup = etcd.backup();
    const { revision } = await one.list("");
    for (let i = 0; i < 5; i++) await one.transact(put("/k", `new ${i}`));
    const seen: number[] = [];
    one.watch("/k", revision + 6, {
      onEvents: (_, at) => seen.push(at),
      onCompacted: () => undefined,
    });
    etcd.restore(backup);
    expect([await textOf(one, "/k"), (await one.list("")).revision]).toEqual(["old", revision]);
    expect(await one.renewLease(lease)).toBe(2000);
    await one.transact(put("/k", "again"));
    await clock.settle();
    expect(seen).toEqual([]);
  });
});

it("undoAll ends every fault of the server", async () => {
  const { clock, etcd, one } = rig();
  etcd.outage();
  etcd.freeze(createPrng(1));
  etcd.ambiguous({ prng: createPrng(1), share: 1 });
  etcd.slowWatches(1e6);
  etcd.holdExpiry();
  etcd.undoAll();
  const seen: number[] = [];
  one.watch("/k", 1, {
    onEvents: (_, revision) => seen.push(revision),
    onCompacted: () => undefined,
  });
  await leases(one, ["a"]);
  const { revision } = await one.transact(put("/k", "1"));
  await clock.tick(3000);
  expect(seen).toEqual([revision]);
  expect(await heldNames(one)).toEqual([]);
});
