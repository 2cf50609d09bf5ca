/**
 * The embedded server over a fake network and in virtual time: watches with the options that other
 * clients use, bounds, standstills; and the coordinator's client when members fail (P9, P10).
 */

import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fromUtf8, utf8 } from "../../../services/base/bytes.ts";
import { monotonicMs } from "../../../services/base/ids.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { parseEtcdConfig } from "../../../services/etcd/config.ts";
import { type CoreLimits, EtcdEngine, etcdBindings } from "../../../services/etcd/index.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { createCoordinator } from "../../../services/platform/adapters/coordinator.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import type { Address } from "../../../services/platform/net.ts";
import { type Rpc, type RpcStream, serveUnary } from "../../../services/platform/rpc.ts";
import {
  KvService,
  LeaseService,
  make,
  PutRequest,
  RangeRequest,
  WatchCreateRequest,
  WatchRequest,
  type WatchResponse,
  WatchService,
} from "../../../services/platform/wire/etcd.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { codeOfFailure, failureOf } from "../../support/outcome.ts";

const DEADLINE = { deadlineMs: 1000 };
const SERVER: Address = { host: "127.0.0.1", port: 2379 };

let codec: Codec;
let clock: FakeClock;
let rpc: Rpc;
let engine: EtcdEngine;
/** How much longer the server's clock ran than its timers: a process that was stopped. */
let stoodStillMs: number;

beforeAll(async () => {
  codec = await createCodec();
});
beforeEach(() => start());

async function start(limits?: CoreLimits): Promise<void> {
  clock = createFakeClock();
  stoodStillMs = 0;
  const log = createFakeLog();
  const network = createFakeNetwork({ clock, log });
  rpc = network.host("127.0.0.1").rpc;
  engine = await EtcdEngine.open({
    disk: createFakeDisk(),
    clock: { ...clock, now: () => monotonicMs(clock.now() + stoodStillMs) },
    checksum: codec,
    random: { bytes: (length) => createPrng(9).fill(new Uint8Array(length)) },
    log,
    folder: "wal",
    ...(limits === undefined ? {} : { limits }),
    onFailed: (error) => {
      throw error;
    },
  });
  await rpc.serve(SERVER, etcdBindings(engine));
}

/** Runs until the promise settles, letting virtual time pass. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let isDone = false;
  const done = promise.finally(() => {
    isDone = true;
  });
  done.catch(() => undefined);
  await clock.tickUntil(() => isDone, 20_000);
  return done;
}

const put = (key: string, value: string): Promise<unknown> =>
  settled(
    rpc
      .connect(SERVER)
      .unary(KvService.put, make(PutRequest, { key: utf8(key), value: utf8(value) }), DEADLINE),
  );
const remove = (key: string): Promise<unknown> =>
  engine.change((core, now) =>
    core.deleteRange({ key: utf8(key), rangeEnd: new Uint8Array(0), prevKv: false }, now),
  );

interface Watching {
  readonly stream: RpcStream<WatchRequest, WatchResponse>;
  readonly responses: WatchResponse[];
}

async function watching(...creates: readonly Partial<WatchCreateRequest>[]): Promise<Watching> {
  const stream = rpc.connect(SERVER).stream(WatchService.watch);
  const responses: WatchResponse[] = [];
  const reading = async (): Promise<void> => {
    for await (const response of stream.incoming) responses.push(response);
  };
  reading().catch(() => undefined);
  for (const create of creates)
    await stream.send(
      make(WatchRequest, {
        createRequest: make(WatchCreateRequest, { key: utf8("k"), ...create }),
      }),
    );
  await clock.tick(10);
  return { stream, responses };
}

const shown = (response: WatchResponse): string[] =>
  response.events.map((event) => `${event.type} ${fromUtf8(event.kv?.value ?? utf8(""))}`);

describe("etcd's watch service", () => {
  it("says created first, then shows changes from now on", async () => {
    await put("k", "old");
    const { responses } = await watching({});
    await put("k", "new");
    await clock.tick(10);
    expect(responses.map((one) => [one.created, ...shown(one)])).toEqual([
      [true],
      [false, "PUT new"],
    ]);
  });

  it("filters, and shows what was there before, when asked", async () => {
    const { responses } = await watching({ prevKv: true, filters: ["NOPUT"] });
    await put("k", "1");
    await put("k", "2");
    await remove("k");
    await clock.tick(10);
    const events = responses.flatMap((one) => one.events);
    expect(events.map((event) => event.type)).toEqual(["DELETE"]);
    expect(fromUtf8(events[0]?.prevKv?.value ?? utf8(""))).toBe("2");
  });

  it("keeps watchers of one stream apart, and refuses an id twice", async () => {
    const other = { key: utf8("other") };
    const { responses } = await watching(
      { watchId: "5" },
      { ...other, watchId: "6" },
      { watchId: "5" },
    );
    await put("k", "1");
    await put("other", "2");
    await clock.tick(10);
    const changes = responses.filter((one) => one.events.length > 0);
    expect(changes.map((one) => [one.watchId, ...shown(one)])).toEqual([
      ["5", "PUT 1"],
      ["6", "PUT 2"],
    ]);
    const refused = responses.find((one) => one.canceled);
    expect(refused?.cancelReason).toContain("duplicate");
  });

  it("answers progress after everything before it (W4)", async () => {
    const { stream, responses } = await watching({});
    await put("k", "1");
    await stream.send(make(WatchRequest, { progressRequest: {} }));
    await clock.tick(10);
    const last = responses.at(-1);
    expect([last?.watchId, last?.header?.revision]).toEqual(["-1", 2]);
    expect(responses.at(-2)?.events).toHaveLength(1);
  });

  it("answers progress after everything before it, however much that is (W4)", async () => {
    for (let i = 0; i < 300; i++) await put("k", String(i));
    const stream = rpc.connect(SERVER).stream(WatchService.watch);
    const create = make(WatchCreateRequest, { key: utf8("k"), startRevision: 2 });
    await stream.send(make(WatchRequest, { createRequest: create, progressRequest: {} }));
    let eventsBefore = 0;
    const untilProgress = async (): Promise<void> => {
      for await (const response of stream.incoming) {
        if (response.watchId === "-1") return;
        eventsBefore += response.events.length;
      }
    };
    await settled(untilProgress());
    expect(eventsBefore).toBe(300);
  });

  it("shows nothing after a cancellation was confirmed (W3)", async () => {
    const { stream, responses } = await watching({});
    await stream.send(make(WatchRequest, { cancelRequest: { watchId: "0" } }));
    await clock.tick(10);
    await put("k", "1");
    await clock.tick(10);
    expect(responses.at(-1)).toMatchObject({ canceled: true, events: [] });
  });

  it("bounds history, and tells a watcher that was left behind (C4)", async () => {
    await start({ historyCommitsMin: 10, historyBytesMax: 1 << 20, sizeBytesMax: 1 << 20 });
    for (let i = 0; i < 50; i++) await put("k", String(i));
    expect(engine.core.keyspace.historyCount).toBeLessThanOrEqual(21);
    const { responses } = await watching({ startRevision: 2 });
    expect(responses.at(-1)).toMatchObject({
      canceled: true,
      compactRevision: engine.core.keyspace.compactRevision,
    });
  });
});

describe("etcd's bounds", () => {
  const statusOf = async (act: Promise<unknown>): Promise<unknown> =>
    (await failureOf(settled(act))).details["grpcMessage"];
  const unaryPut = (key: Uint8Array, value: Uint8Array): Promise<unknown> =>
    rpc.connect(SERVER).unary(KvService.put, make(PutRequest, { key, value }), DEADLINE);

  it("refuses an empty key, a large request and a full store in etcd's words (P10)", async () => {
    expect(await statusOf(unaryPut(utf8(""), utf8("v")))).toContain("key is not provided");
    expect(await statusOf(unaryPut(utf8("k"), new Uint8Array(2 << 20)))).toContain("too large");
    await start({ historyCommitsMin: 10, historyBytesMax: 1 << 20, sizeBytesMax: 1000 });
    await put("k", "x".repeat(900));
    expect(await statusOf(unaryPut(utf8("l"), utf8("v")))).toContain("database space exceeded");
    await remove("k");
    expect(engine.core.keyspace.revision).toBe(3);
  });

  it("refuses to read the future, and a lease id that is taken (P10)", async () => {
    const future = make(RangeRequest, { key: utf8("k"), revision: 99 });
    expect(await statusOf(rpc.connect(SERVER).unary(KvService.range, future, DEADLINE))).toContain(
      "future revision",
    );
    const grant = (): Promise<unknown> =>
      rpc.connect(SERVER).unary(LeaseService.grant, { TTL: 5, ID: "77" }, DEADLINE);
    await settled(grant());
    expect(await statusOf(grant())).toContain("lease already exists");
  });
});

describe("etcd's history", () => {
  it("forgets deleted keys when their deletion is compacted", async () => {
    for (let i = 0; i < 20; i++) {
      await put(`k${i}`, "v");
      await remove(`k${i}`);
    }
    await put("last", "v");
    const revision = engine.core.keyspace.revision;
    const fullBytes = engine.core.keyspace.sizeBytes;
    await engine.change((core, now) => core.compact({ revision, physical: false }, now));
    expect(engine.core.keyspace.historyCount).toBe(1);
    expect(engine.core.keyspace.contents().base).toEqual([]);
    expect(engine.core.keyspace.sizeBytes).toBeLessThan(fullBytes / 20);
  });
});

describe("etcd's leases", () => {
  it("ends one no earlier than its TTL and no later than a tick after", async () => {
    const grantedMs = clock.now();
    await engine.change((core, now) => core.leaseGrant({ TTL: 2, ID: "7" }, now));
    await clock.tickUntil(() => engine.core.leases.get("7") === undefined, 5000);
    expect(clock.now() - grantedMs).toBeGreaterThanOrEqual(2000);
    expect(clock.now() - grantedMs).toBeLessThanOrEqual(2060);
  });

  it("lets leases run anew after the server itself stood still, when nobody could renew", async () => {
    await engine.change((core, now) => core.leaseGrant({ TTL: 2, ID: "7" }, now));
    stoodStillMs = 9000;
    await clock.tick(1900);
    expect(engine.core.leases.get("7")).toBeDefined();
    await clock.tick(400);
    expect(engine.core.leases.get("7")).toBeUndefined();
  });

  it("gives one-second leases, and tells what is left of one", async () => {
    await engine.change((core, now) => core.leaseGrant({ TTL: 0, ID: "7" }, now));
    const left = await engine.answer((core, now) =>
      core.leaseTimeToLive({ ID: "7", keys: true }, now),
    );
    expect([left.TTL, left.grantedTTL]).toEqual([1, 1]);
    await clock.tick(1100);
    const gone = await engine.answer((core, now) =>
      core.leaseTimeToLive({ ID: "7", keys: true }, now),
    );
    expect(gone.TTL).toBe(-1);
  });
});

describe("the coordinator's client", () => {
  const connect = (...endpoints: readonly Address[]): ReturnType<typeof createCoordinator> =>
    createCoordinator({ rpc, clock, log: createFakeLog(), endpoints });

  it("goes on with the next member when one is not there (P9)", async () => {
    await put("k", "v");
    const etcd = connect({ host: "127.0.0.1", port: 1 }, SERVER);
    expect(fromUtf8((await settled(etcd.get("k")))?.value ?? utf8(""))).toBe("v");
    const events: string[] = [];
    etcd.watch("k", 2, {
      onEvents: (some) => events.push(...some.map((event) => event.kind)),
      onCompacted: () => undefined,
    });
    await clock.tick(500);
    expect(events).toEqual(["put"]);
  });

  it("sends a transaction once when its answer does not come (P4)", async () => {
    const frozen: Address = { host: "127.0.0.1", port: 2380 };
    let count = 0;
    await rpc.serve(frozen, [
      serveUnary(KvService.txn, () => {
        count += 1;
        return new Promise(() => undefined);
      }),
      serveUnary(KvService.range, () => {
        count += 100;
        return new Promise(() => undefined);
      }),
    ]);
    const etcd = connect(frozen);
    const startMs = clock.now();
    expect(await settled(codeOfFailure(etcd.transact({ when: [], then: [] })))).toBe(
      "COORDINATOR_UNAVAILABLE",
    );
    expect(count).toBe(1);
    expect(await settled(codeOfFailure(etcd.get("k")))).toBe("COORDINATOR_UNAVAILABLE");
    expect(count).toBeGreaterThan(200);
    expect(clock.now() - startMs).toBeLessThanOrEqual(4000);
  });
});

describe("etcd's configuration", () => {
  const good = { listen: { host: "127.0.0.1", port: 2379 }, dataFolder: "/data", logLevel: "warn" };

  it("takes what is right", () => {
    expect(parseEtcdConfig(good)).toEqual(good);
  });

  it.each([
    ["no object", []],
    ["an unknown key", { ...good, more: 1 }],
    ["a port that is none", { ...good, listen: { host: "h", port: 65_536 } }],
    ["a relative folder", { ...good, dataFolder: "data" }],
    ["an unknown level", { ...good, logLevel: "loud" }],
  ])("refuses %s (P10)", (_what, value) => {
    expect(() => parseEtcdConfig(value)).toThrow("etcd's configuration is wrong");
  });
});
