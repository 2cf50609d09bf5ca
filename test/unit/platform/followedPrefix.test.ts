/** A followed prefix of etcd: forward only, never blind for long (V1 of SPEC.md; P9). */

import { beforeEach, describe, expect, it } from "vitest";
import { fromUtf8, utf8 } from "../../../services/base/bytes.ts";
import { FollowedPrefix } from "../../../services/platform/coordination/followedPrefix.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import {
  createMemoryEtcd,
  type MemoryConnection,
  type MemoryEtcd,
} from "../../support/memoryCoordinator.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const RELIST_MS = 1000;

let clock: FakeClock;
let etcd: MemoryEtcd;
let connection: MemoryConnection;
let followed: FollowedPrefix;
/** What was told, in order: "key=value", "key gone", "." for settled. */
let told: string[];
let values: Map<string, string>;

beforeEach(() => {
  clock = createFakeClock();
  etcd = createMemoryEtcd(clock);
  connection = etcd.connect();
  told = [];
  values = new Map();
  followed = new FollowedPrefix(
    { coordinator: connection, clock, log: createFakeLog() },
    {
      prefix: "k/",
      relistMs: RELIST_MS,
      apply(key, entry) {
        if (entry === undefined) {
          told.push(`${key} gone`);
          values.delete(key);
          return;
        }
        told.push(`${key}=${fromUtf8(entry.value)}`);
        values.set(key, fromUtf8(entry.value));
      },
      settled: () => told.push("."),
    },
  );
});

const write = (key: string, value: string): Promise<unknown> =>
  etcd.connect().transact({ when: [], then: [{ kind: "put", key, value: utf8(value) }] });
const remove = (key: string): Promise<unknown> =>
  etcd.connect().transact({ when: [], then: [{ kind: "delete", key }] });
const start = async (): Promise<void> => {
  followed.start();
  await followed.ready();
};

describe("a followed prefix", () => {
  it("tells the first reading, then every change once, and nothing of other keys", async () => {
    await write("k/1", "a");
    await start();
    await write("k/2", "b");
    await write("other", "x");
    await clock.tick(10);
    await remove("k/1");
    await clock.tick(5 * RELIST_MS);
    expect(told).toEqual(["k/1=a", ".", "k/2=b", ".", "k/1 gone", "."]);
  });

  it("says that an empty prefix was read", async () => {
    await start();
    expect(told).toEqual(["."]);
  });

  it("sees puts and deletes within the relist time when its watch is blind (P9)", async () => {
    await write("k/1", "a");
    await write("k/2", "b");
    await start();
    connection.blindWatches(true);
    await write("k/1", "c");
    await remove("k/2");
    await clock.tick(RELIST_MS + 100);
    expect(told.slice(3)).toEqual(["k/1=c", "k/2 gone", "."]);
  });

  it("never goes back to an older state when late events come (V1)", async () => {
    await start();
    connection.blindWatches(true);
    await write("k/1", "a");
    await remove("k/1");
    await clock.tick(RELIST_MS + 100);
    connection.blindWatches(false);
    await clock.tick(10);
    expect(told).toEqual(["."]);
  });

  it("keeps what it knows while etcd is away, and catches up after (P9)", async () => {
    await write("k/1", "a");
    await start();
    connection.cut();
    await remove("k/1");
    await clock.tick(10_000);
    expect([...values.keys()]).toEqual(["k/1"]);
    connection.heal();
    await clock.tick(2 * RELIST_MS);
    expect([...values.keys()]).toEqual([]);
  });

  it("begins when etcd comes, if it was away at the start (P9)", async () => {
    await write("k/1", "a");
    connection.cut();
    followed.start();
    const ready = followed.ready();
    await clock.tick(10_000);
    expect(told).toEqual([]);
    connection.heal();
    await clock.tick(10_000);
    await ready;
    expect(told).toEqual(["k/1=a", "."]);
  });

  it("goes on after a compaction of what its watch had to see", async () => {
    await start();
    connection.blindWatches(true);
    await write("k/1", "a");
    await write("k/2", "b");
    etcd.compact(etcd.core.keyspace.revision);
    connection.blindWatches(false);
    await clock.tick(2 * RELIST_MS);
    await write("k/3", "c");
    await clock.tick(10);
    expect([...values.keys()]).toEqual(["k/1", "k/2", "k/3"]);
  });

  it("shows what etcd holds after the call when it is asked to read now", async () => {
    await start();
    connection.blindWatches(true);
    await write("k/1", "a");
    const first = followed.refresh();
    await write("k/1", "b");
    // The reading under way may be older than this call, so it is not enough.
    await Promise.all([first, followed.refresh(), followed.refresh()]);
    expect(values.get("k/1")).toBe("b");
  });

  it("tells whoever asks to read now that etcd is away", async () => {
    await start();
    connection.cut();
    const failed = codeOfFailure(followed.refresh());
    await clock.tick(30_000);
    expect(await failed).toBe("COORDINATOR_UNAVAILABLE");
  });

  it("tells nothing after it was closed, and ends whoever waits", async () => {
    const ready = codeOfFailure(followed.ready());
    followed.close();
    expect(await ready).toBe("CANCELLED");
    followed.start();
    await write("k/1", "a");
    await clock.tick(3 * RELIST_MS);
    expect(told).toEqual([]);
  });
});
