/**
 * The contract of platform/coordinator.ts, for three etcds behind it: our core in memory, the
 * embedded server over gRPC with its log on the machine's disk, and real etcd where it is installed
 * (`ANTIPODE_ETCD` names the binary, else the one of Debian's etcd-server).
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { utf8 } from "../../services/base/bytes.ts";
import type { Coordinator, Operation, WatchEvent } from "../../services/platform/coordinator.ts";
import { embeddedWorld, memoryWorld, REAL_ETCD, realEtcdWorld } from "../support/etcdWorlds.ts";
import { codeOfFailure, failureOf } from "../support/outcome.ts";

if (REAL_ETCD === undefined)
  console.warn(
    "coordinator conformance: real etcd is SKIPPED, no binary found (install etcd-server, or set ANTIPODE_ETCD)",
  );

const put = (key: string, value: string, lease?: string): Operation => ({
  kind: "put",
  key,
  value: utf8(value),
  ...(lease === undefined ? {} : { lease }),
});
const textOf = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value);

interface Seen {
  readonly events: WatchEvent[];
  readonly revisions: number[];
  readonly compacted: number[];
}

const show = (event: WatchEvent): string =>
  event.kind === "put" ? `${event.entry.key}=${textOf(event.entry.value)}` : `-${event.key}`;

function follow(coordinator: Coordinator, prefix: string, from: number): Seen & { cancel(): void } {
  const seen: Seen = { events: [], revisions: [], compacted: [] };
  const watch = coordinator.watch(prefix, from, {
    onEvents(events, revision) {
      seen.events.push(...events);
      seen.revisions.push(revision);
    },
    onCompacted: (revision) => seen.compacted.push(revision),
  });
  return {
    ...seen,
    cancel: () => {
      watch.cancel();
    },
  };
}

describe.each([
  { name: "in memory", make: memoryWorld, present: true },
  { name: "embedded over gRPC", make: embeddedWorld, present: true },
  { name: "real etcd", make: realEtcdWorld, present: REAL_ETCD !== undefined },
])("coordinator: $name", ({ make, present }) => {
  describe.runIf(present)("contract", () => {
    let world: Awaited<ReturnType<typeof make>>;
    let etcd: Coordinator;
    let nextPrefix = 0;
    /** Each test in a part of the keyspace of its own. */
    const area = (): string => `t${nextPrefix++}/`;
    const write = async (...operations: readonly Operation[]): Promise<number> =>
      (await etcd.transact({ when: [], then: operations })).revision;

    beforeAll(async () => {
      world = await make();
      etcd = world.connect();
    });
    afterAll(() => world.end());

    it("knows nothing of a key that was never written", async () => {
      expect(await etcd.get(`${area()}missing`)).toBeUndefined();
    });

    it("keeps create revision, mod revision, version and lease of a key", async () => {
      const key = `${area()}k`;
      const first = await write(put(key, "1"));
      const second = await write(put(key, "2"));
      expect(second).toBe(first + 1);
      expect(await etcd.get(key)).toEqual({
        key,
        value: utf8("2"),
        createRevision: first,
        modRevision: second,
        version: 2,
        lease: "",
      });
    });

    it("begins a key anew after its deletion", async () => {
      const key = `${area()}k`;
      await write(put(key, "1"));
      await write({ kind: "delete", key });
      const revision = await write(put(key, "2"));
      expect(await etcd.get(key)).toMatchObject({ createRevision: revision, version: 1 });
    });

    it("lists a prefix in order of the key with the revision of the reading", async () => {
      const at = area();
      const revision = await write(put(`${at}b`, "2"), put(`${at}a`, "1"), put(`${at}ü`, "3"));
      await write(put(`${at.slice(0, -1)}0`, "no"));
      const snapshot = await etcd.list(at);
      expect(snapshot.entries.map((entry) => entry.key)).toEqual([`${at}a`, `${at}b`, `${at}ü`]);
      expect(snapshot.revision).toBe(revision + 1);
    });

    it("holds 'create revision 0' for exactly the keys that are not there", async () => {
      const key = `${area()}k`;
      const create = (): ReturnType<Coordinator["transact"]> =>
        etcd.transact({
          when: [{ kind: "createRevision", key, equals: 0 }],
          then: [put(key, "x")],
          otherwise: [{ kind: "get", key }],
        });
      expect(await create()).toMatchObject({ succeeded: true });
      const second = await create();
      expect(second.succeeded).toBe(false);
      expect(second.found[0]?.[0]?.key).toBe(key);
    });

    it("compares an empty value as a value, not as no condition", async () => {
      const key = `${area()}k`;
      await write(put(key, "full"));
      const whenEmpty = await etcd.transact({
        when: [{ kind: "value", key, equals: new Uint8Array(0) }],
        then: [],
      });
      await write(put(key, ""));
      const thenEmpty = await etcd.transact({
        when: [{ kind: "value", key, equals: new Uint8Array(0) }],
        then: [],
      });
      expect([whenEmpty.succeeded, thenEmpty.succeeded]).toEqual([false, true]);
    });

    it("compares the value of a missing key with nothing", async () => {
      const result = await etcd.transact({
        when: [{ kind: "value", key: `${area()}missing`, equals: new Uint8Array(0) }],
        then: [],
      });
      expect(result.succeeded).toBe(false);
    });

    it("refuses a guarded write after the guard's key has changed (P4)", async () => {
      const at = area();
      const seen = await write(put(`${at}k`, "1"));
      await write(put(`${at}k`, "2"));
      const result = await etcd.transact({
        when: [{ kind: "modRevision", key: `${at}k`, equals: seen }],
        then: [put(`${at}k`, "zombie")],
      });
      expect(result.succeeded).toBe(false);
      expect(textOf((await etcd.get(`${at}k`))?.value)).toBe("2");
    });

    it("lets later operations of a transaction see earlier ones", async () => {
      const at = area();
      await write(put(`${at}old`, "0"));
      const result = await etcd.transact({
        when: [],
        then: [
          put(`${at}a`, "1"),
          { kind: "delete", key: `${at}old` },
          { kind: "list", prefix: at },
          { kind: "get", key: `${at}a` },
        ],
      });
      expect(result.found.map((one) => one.map((entry) => entry.key))).toEqual([
        [],
        [],
        [`${at}a`],
        [`${at}a`],
      ]);
    });

    it("deletes a prefix and nothing beside it", async () => {
      const at = area();
      await write(put(`${at}x/1`, ""), put(`${at}x/2`, ""), put(`${at}x0`, ""));
      await write({ kind: "deletePrefix", prefix: `${at}x/` });
      expect((await etcd.list(at)).entries.map((entry) => entry.key)).toEqual([`${at}x0`]);
    });

    it("refuses a transaction that writes a key twice, and changes nothing (P10)", async () => {
      const at = area();
      const code = await codeOfFailure(write(put(`${at}a`, "1"), put(`${at}a`, "2")));
      expect(code).toBe("INVALID_ARGUMENT");
      expect((await etcd.list(at)).entries).toEqual([]);
    });

    it("lets exactly one of many compare-and-swaps win", async () => {
      const key = `${area()}k`;
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          etcd.transact({
            when: [{ kind: "createRevision", key, equals: 0 }],
            then: [put(key, String(i))],
          }),
        ),
      );
      expect(results.filter((result) => result.succeeded)).toHaveLength(1);
    });

    it("shows a watch every change once, in order, a revision at a time", async () => {
      const at = area();
      const from = await write(put(`${at}a`, "1"));
      const seen = follow(etcd, at, from);
      await write(put(`${at}a`, "2"), put(`${at}b`, "2"));
      await write({ kind: "delete", key: `${at}a` });
      await world.until(() => seen.events.length >= 4);
      seen.cancel();
      expect(seen.events.map(show)).toEqual([`${at}a=1`, `${at}a=2`, `${at}b=2`, `-${at}a`]);
      expect(seen.revisions).toEqual([from, from + 1, from + 2]);
    });

    it("shows nothing of other prefixes and nothing after the watch is cancelled", async () => {
      const at = area();
      const from = await write(put(`${at}before`, "1"));
      const seen = follow(etcd, `${at}in/`, from);
      await write(put(`${at}out`, "1"));
      await write(put(`${at}in/1`, "1"));
      await world.until(() => seen.events.length > 0);
      seen.cancel();
      const after = follow(etcd, `${at}in/`, from);
      await write(put(`${at}in/2`, "1"));
      await world.until(() => after.events.length === 2);
      after.cancel();
      expect(seen.events.map(show)).toEqual([`${at}in/1=1`]);
    });

    it("waits with a watch from a future revision, and shows nothing from before it", async () => {
      const at = area();
      const revision = await write(put(`${at}a`, "1"));
      const seen = follow(etcd, at, revision + 2);
      await write(put(`${at}a`, "2"));
      await write(put(`${at}a`, "3"));
      await world.until(() => seen.events.length > 0);
      seen.cancel();
      expect(seen.events.map(show)).toEqual([`${at}a=3`]);
    });

    it("tells a watch from a compacted revision so, and shows it nothing", async () => {
      const at = area();
      const first = await write(put(`${at}a`, "1"));
      const second = await write(put(`${at}a`, "2"));
      const last = await write({ kind: "delete", key: `${at}a` });
      await world.compact(second);
      const seen = follow(etcd, at, first);
      await world.until(() => seen.compacted.length > 0);
      const later = follow(etcd, at, second + 1);
      await world.until(() => later.events.length > 0);
      later.cancel();
      expect(seen.events).toEqual([]);
      expect(seen.compacted).toEqual([second]);
      expect(later.revisions).toEqual([last]);
    });

    it("grants at least the TTL asked for, and renews it", async () => {
      const lease = await etcd.grantLease(5000);
      expect(lease.ttlMs).toBeGreaterThanOrEqual(5000);
      expect(await etcd.renewLease(lease.id)).toBe(lease.ttlMs);
      await etcd.revokeLease(lease.id);
    });

    it("deletes the keys of a revoked lease, and says that it is gone", async () => {
      const at = area();
      const lease = await etcd.grantLease(5000);
      const revision = await write(put(`${at}a`, "1", lease.id), put(`${at}b`, "1", lease.id));
      expect((await etcd.get(`${at}a`))?.lease).toBe(lease.id);
      const seen = follow(etcd, at, revision + 1);
      await etcd.revokeLease(lease.id);
      await world.until(() => seen.events.length >= 2);
      seen.cancel();
      expect(seen.events.map((event) => event.kind)).toEqual(["delete", "delete"]);
      expect(await etcd.renewLease(lease.id)).toBeUndefined();
      await etcd.revokeLease(lease.id);
    });

    it("deletes the keys of a lease that nobody renews", async () => {
      const at = area();
      const lease = await etcd.grantLease(1000);
      const from = await write(put(`${at}a`, "1", lease.id));
      const seen = follow(etcd, at, from);
      await world.until(() => seen.events.some((event) => event.kind === "delete"));
      seen.cancel();
      expect(await etcd.get(`${at}a`)).toBeUndefined();
    });

    it("keeps a key that was put again without the lease", async () => {
      const key = `${area()}k`;
      const lease = await etcd.grantLease(5000);
      await write(put(key, "1", lease.id));
      await write(put(key, "2"));
      await etcd.revokeLease(lease.id);
      expect(textOf((await etcd.get(key))?.value)).toBe("2");
    });

    it("refuses a put under a lease that is gone, whole", async () => {
      const at = area();
      const lease = await etcd.grantLease(5000);
      await etcd.revokeLease(lease.id);
      const failure = await failureOf(write(put(`${at}a`, "1"), put(`${at}b`, "1", lease.id)));
      expect(failure.code).toBe("COORDINATOR_CONFLICT");
      expect(failure.details["reason"]).toBe("leaseGone");
      expect((await etcd.list(at)).entries).toEqual([]);
    });

    it("keeps everything, and resumes watches without gap or repetition, over kill and restart (P1)", async () => {
      if (world.killAndRestart === undefined) return;
      const at = area();
      const lease = await etcd.grantLease(30_000);
      const from = await write(put(`${at}leased`, "1", lease.id));
      const seen = follow(etcd, at, from);
      const written: string[] = ["1"];
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 20; i++) {
          await write(put(`${at}k`, `${round}.${i}`));
          written.push(`${round}.${i}`);
        }
        await world.killAndRestart();
      }
      await world.until(() => seen.events.length >= written.length);
      seen.cancel();
      expect(seen.events.map((event) => event.kind === "put" && textOf(event.entry.value))).toEqual(
        written,
      );
      expect(textOf((await etcd.get(`${at}k`))?.value)).toBe("2.19");
      expect(await etcd.renewLease(lease.id)).toBeGreaterThan(0);
    });

    it("fails with COORDINATOR_UNAVAILABLE, in bounded time, while nobody answers (P10)", async () => {
      if (world.nobody === undefined) return;
      const lost = world.nobody();
      const codes = await Promise.all([
        codeOfFailure(lost.get("k")),
        codeOfFailure(lost.transact({ when: [], then: [put("k", "v")] })),
        codeOfFailure(lost.grantLease(1000)),
        codeOfFailure(lost.renewLease("1")),
      ]);
      expect(new Set(codes)).toEqual(new Set(["COORDINATOR_UNAVAILABLE"]));
      await lost.close();
    });

    it("ends its calls when it is closed", async () => {
      const other = world.connect();
      await other.close();
      expect(await codeOfFailure(other.get("k"))).toBe("CANCELLED");
    });
  });
});
