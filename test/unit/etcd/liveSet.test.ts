/** Records and live sets over the coordinator (V1 of SPEC.md; P9, P10). */

import { beforeEach, describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { followLiveSet, type LiveSet } from "../../../services/platform/coordination/liveSet.ts";
import {
  encodeRecord,
  listRecords,
  readModifyWrite,
  readRecord,
} from "../../../services/platform/coordination/records.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog, type FakeLog } from "../../support/fakeLog.ts";
import {
  createMemoryEtcd,
  type MemoryConnection,
  type MemoryEtcd,
} from "../../support/memoryCoordinator.ts";
import { codeOfFailure } from "../../support/outcome.ts";

interface Counter {
  readonly count: number;
}

function checkCounter(value: unknown): Counter {
  if (typeof value !== "object" || value === null || !("count" in value))
    throw new Error("a counter has a count");
  if (typeof value.count !== "number") throw new Error("a count is a number");
  return { count: value.count };
}

let clock: FakeClock;
let etcd: MemoryEtcd;
let connection: MemoryConnection;

beforeEach(() => {
  clock = createFakeClock();
  etcd = createMemoryEtcd(clock);
  connection = etcd.connect();
});

const write = (key: string, value: Uint8Array): Promise<unknown> =>
  etcd.connect().transact({ when: [], then: [{ kind: "put", key, value }] });
const remove = (key: string): Promise<unknown> =>
  etcd.connect().transact({ when: [], then: [{ kind: "delete", key }] });

describe("records", () => {
  it("reads what was written, and nothing where nothing is", async () => {
    await write("r/1", encodeRecord({ count: 1 }));
    expect(await readRecord(connection, "r/1", checkCounter)).toMatchObject({
      key: "r/1",
      value: { count: 1 },
      modRevision: 2,
    });
    expect(await readRecord(connection, "r/2", checkCounter)).toBeUndefined();
    expect((await listRecords(connection, "r/", checkCounter)).records).toHaveLength(1);
  });

  it("tells a record that is no JSON, or not the JSON it should be (P10)", async () => {
    await write("r/1", utf8("{"));
    expect(await codeOfFailure(readRecord(connection, "r/1", checkCounter))).toBe(
      "COORDINATOR_CORRUPT",
    );
    await write("r/1", encodeRecord({ count: "1" }));
    expect(await codeOfFailure(listRecords(connection, "r/", checkCounter))).toBe(
      "COORDINATOR_CORRUPT",
    );
  });

  it("loses no change of many that happen at once", async () => {
    const add = (): ReturnType<typeof readModifyWrite<Counter>> =>
      readModifyWrite(connection, {
        key: "c",
        check: checkCounter,
        change: (before) => ({ count: (before?.count ?? 0) + 1 }),
      });
    await Promise.all(Array.from({ length: 10 }, add));
    expect((await readRecord(connection, "c", checkCounter))?.value).toEqual({ count: 10 });
  });

  it("gives up after a bounded number of attempts that all lose", async () => {
    let calls = 0;
    const change = readModifyWrite(connection, {
      key: "c",
      check: checkCounter,
      change: (before) => {
        calls += 1;
        etcd.core.put(
          {
            key: utf8("c"),
            value: encodeRecord({ count: calls }),
            lease: "0",
            prevKv: false,
            ignoreValue: false,
            ignoreLease: false,
          },
          clock.now(),
        );
        return { count: before?.count ?? 0 };
      },
    });
    expect(await codeOfFailure(change)).toBe("COORDINATOR_CONFLICT");
    expect(calls).toBeLessThanOrEqual(16);
  });

  it("says that a guard does not hold, and writes nothing (P4)", async () => {
    const outcome = await readModifyWrite(connection, {
      key: "c",
      check: checkCounter,
      change: () => ({ count: 1 }),
      guards: [{ kind: "createRevision", key: "seat", equals: 77 }],
    });
    expect(outcome).toEqual({ kind: "guarded" });
    expect(await connection.get("c")).toBeUndefined();
  });

  it("leaves a record alone when there is nothing to change", async () => {
    await write("c", encodeRecord({ count: 5 }));
    const outcome = await readModifyWrite(connection, {
      key: "c",
      check: checkCounter,
      change: () => undefined,
    });
    expect(outcome).toEqual({ kind: "unchanged", value: { count: 5 } });
    expect((await connection.get("c"))?.version).toBe(1);
  });
});

describe("live set", () => {
  let log: FakeLog;
  let changes: string[];
  let live: LiveSet<Counter>;
  const follow = (): void => {
    log = createFakeLog();
    changes = [];
    live = followLiveSet({
      coordinator: connection,
      clock,
      log,
      prefix: "live/",
      check: checkCounter,
      onChange: (now) => changes.push([...now.keys()].sort().join(",")),
    });
  };

  it("tells the first reading, then every change, once", async () => {
    await write("live/1", encodeRecord({ count: 1 }));
    follow();
    await live.ready();
    await write("live/2", encodeRecord({ count: 2 }));
    await clock.tick(10);
    await remove("live/1");
    await clock.tick(5000);
    expect(changes).toEqual(["1", "1,2", "2"]);
    expect(live.current().get("2")).toEqual({ count: 2 });
  });

  it("sees a change within the poll when its watch is blind (P9)", async () => {
    follow();
    await live.ready();
    connection.blindWatches(true);
    await write("live/1", encodeRecord({ count: 1 }));
    await clock.tick(1100);
    expect([...live.current().keys()]).toEqual(["1"]);
  });

  it("never goes back to an older state when late events come (V1)", async () => {
    follow();
    await live.ready();
    connection.blindWatches(true);
    await write("live/1", encodeRecord({ count: 1 }));
    await remove("live/1");
    await clock.tick(1100);
    connection.blindWatches(false);
    await clock.tick(10);
    expect(changes).toEqual([""]);
  });

  it("keeps the last known set while etcd is away, and catches up after (P9)", async () => {
    await write("live/1", encodeRecord({ count: 1 }));
    follow();
    await live.ready();
    connection.cut();
    await remove("live/1");
    await clock.tick(10_000);
    expect([...live.current().keys()]).toEqual(["1"]);
    connection.heal();
    await clock.tick(2500);
    expect([...live.current().keys()]).toEqual([]);
  });

  it("goes on after a compaction of what its watch had to see", async () => {
    follow();
    await live.ready();
    connection.blindWatches(true);
    await write("live/1", encodeRecord({ count: 1 }));
    await write("live/2", encodeRecord({ count: 1 }));
    etcd.compact(etcd.core.keyspace.revision);
    connection.blindWatches(false);
    await clock.tick(2500);
    await write("live/3", encodeRecord({ count: 1 }));
    await clock.tick(10);
    expect([...live.current().keys()]).toEqual(["1", "2", "3"]);
  });

  it("leaves out a record that it cannot read, and says so (P10)", async () => {
    await write("live/1", utf8("no json"));
    await write("live/2", encodeRecord({ count: 2 }));
    follow();
    await live.ready();
    expect([...live.current().keys()]).toEqual(["2"]);
    expect(log.of("live.record.bad").length).toBeGreaterThan(0);
  });

  it("tells nothing after it was closed", async () => {
    follow();
    await live.ready();
    live.close();
    await write("live/1", encodeRecord({ count: 1 }));
    await clock.tick(3000);
    expect(changes).toEqual([""]);
  });
});
