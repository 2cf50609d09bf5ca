/** Checked records over the coordinator (P4, P10). */

import { beforeEach, describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import {
  encodeRecord,
  listRecords,
  readModifyWrite,
  readRecord,
} from "../../../services/platform/coordination/records.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
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
