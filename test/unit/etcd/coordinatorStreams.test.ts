/**
 * What the coordinator's client keeps open: one stream for all renewals and one for all watches (N1,
 * N2 and R1 to R4 in services/platform/adapters), with an etcd that hangs, breaks and answers wrongly.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { createCoordinator } from "../../../services/platform/adapters/coordinator.ts";
import type { Coordinator } from "../../../services/platform/coordinator.ts";
import type { Rpc, RpcServer, RpcStream } from "../../../services/platform/rpc.ts";
import { serveStream } from "../../../services/platform/rpc.ts";
import {
  Event,
  KeyValue,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseService,
  make,
  ResponseHeader,
  type WatchRequest,
  WatchResponse,
  WatchService,
} from "../../../services/platform/wire/etcd.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";

const SERVER = { host: "127.0.0.1", port: 2379 };
const header = make(ResponseHeader, { revision: 1 });

/** What one stream was asked, and a way to answer. */
interface Opened<Q, A> {
  readonly asked: Q[];
  readonly stream: RpcStream<A, Q>;
  isOpen: boolean;
}

let clock: FakeClock;
let rpc: Rpc;
let server: RpcServer;
let etcd: Coordinator;
let renewals: Opened<LeaseKeepAliveRequest, LeaseKeepAliveResponse>[];
let watches: Opened<WatchRequest, WatchResponse>[];
/** Answers a renewal; `undefined` leaves it unanswered. */
let onRenewal: (id: string) => LeaseKeepAliveResponse | undefined;

const renewed = (ID: string): LeaseKeepAliveResponse => ({ header, ID, TTL: 2 });

async function serve(): Promise<void> {
  server = await rpc.serve(SERVER, [
    serveStream(LeaseService.keepAlive, async (stream) => {
      const opened = { asked: [] as LeaseKeepAliveRequest[], stream, isOpen: true };
      renewals.push(opened);
      try {
        for await (const request of stream.incoming) {
          opened.asked.push(request);
          const answer = onRenewal(request.ID);
          if (answer !== undefined) await stream.send(answer);
        }
      } finally {
        opened.isOpen = false;
      }
    }),
    serveStream(WatchService.watch, async (stream) => {
      const opened = { asked: [] as WatchRequest[], stream, isOpen: true };
      watches.push(opened);
      try {
        for await (const request of stream.incoming) opened.asked.push(request);
      } finally {
        opened.isOpen = false;
      }
    }),
  ]);
}

beforeEach(async () => {
  clock = createFakeClock();
  renewals = [];
  watches = [];
  onRenewal = renewed;
  const log = createFakeLog();
  rpc = createFakeNetwork({ clock, log }).host("127.0.0.1").rpc;
  await serve();
  etcd = createCoordinator({ rpc, clock, log, endpoints: [SERVER] });
});

/** What a promise became, after the time that it may take. */
async function outcome(work: Promise<unknown>): Promise<unknown> {
  let result: unknown = "unsettled";
  work.then(
    (value) => (result = value),
    (error: unknown) => (result = error),
  );
  await clock.tick(3000);
  return result;
}

describe("renewals of leases", () => {
  it("share one stream as long as etcd answers", async () => {
    for (let beat = 0; beat < 20; beat++) expect(await outcome(etcd.renewLease("7"))).toBe(2000);
    expect(renewals).toHaveLength(1);
    expect(renewals[0]?.asked).toHaveLength(20);
  });

  it("never wait behind one that hangs, and keep the stream that answers (N1)", async () => {
    const ids: string[] = [];
    onRenewal = (id) => {
      ids.push(id);
      return ids.length === 1 ? undefined : renewed(id);
    };
    const first = etcd.renewLease("7");
    await clock.settle();
    const second = etcd.renewLease("7");
    await clock.tick(10);
    expect(renewals.map(({ asked }) => asked.length)).toEqual([1, 1]);
    await expect(second).resolves.toBe(2000);
    // The hung one is given up at its deadline and asked again, on the stream that answered.
    expect(await outcome(first)).toBe(2000);
    expect(renewals.map(({ isOpen }) => isOpen)).toEqual([false, true]);
    expect(renewals[1]?.asked).toHaveLength(2);
  });

  it("go on over a new stream when etcd ended the old one (P9)", async () => {
    expect(await outcome(etcd.renewLease("7"))).toBe(2000);
    await server.close();
    await clock.tick(10);
    await serve();
    expect(await outcome(etcd.renewLease("7"))).toBe(2000);
    expect(renewals.map(({ isOpen }) => isOpen)).toEqual([false, true]);
  });

  it("fail in bounded time when etcd never answers (N1, P10)", async () => {
    onRenewal = () => undefined;
    const startMs = clock.now();
    let failedMs: number | undefined;
    const failure = etcd.renewLease("7").catch((error: unknown) => {
      failedMs = clock.now();
      return error;
    });
    await clock.tick(3000);
    expect(await failure).toMatchObject({ code: "COORDINATOR_UNAVAILABLE" });
    expect((failedMs ?? Number.POSITIVE_INFINITY) - startMs).toBeLessThanOrEqual(2000);
    expect(renewals.every(({ isOpen }) => !isOpen)).toBe(true);
  });

  it("believe no answer for another lease (N2)", async () => {
    const ids: string[] = [];
    onRenewal = (id) => {
      ids.push(id);
      return renewed(ids.length === 1 ? "8" : id);
    };
    expect(await outcome(etcd.renewLease("7"))).toBe(2000);
    expect(renewals).toHaveLength(2);
    expect(renewals[0]?.isOpen).toBe(false);
  });

  it("end with the coordinator, the ones under way too", async () => {
    onRenewal = () => undefined;
    const renewal = etcd.renewLease("7").catch((error: unknown) => error);
    await clock.settle();
    await etcd.close();
    await clock.settle();
    expect(await renewal).toMatchObject({ code: "CANCELLED" });
    expect(renewals[0]?.isOpen).toBe(false);
  });
});

describe("watches", () => {
  const seen: string[] = [];
  beforeEach(() => {
    seen.length = 0;
  });
  const watch = (prefix: string, from = 5) =>
    etcd.watch(prefix, from, {
      onEvents: (events, revision) => {
        seen.push(`${prefix}@${revision}*${events.length}`);
      },
      onCompacted: (revision) => {
        seen.push(`${prefix} compacted ${revision}`);
      },
    });
  const creations = (index: number) =>
    (watches[index]?.asked ?? []).flatMap(({ createRequest }) => createRequest ?? []);
  const changed = (watchId: string, modRevision: number): WatchResponse => {
    const kv = make(KeyValue, { key: utf8("k"), modRevision, createRevision: 1, version: 1 });
    return make(WatchResponse, { header, watchId, events: [make(Event, { type: "PUT", kv })] });
  };
  const tell = async (index: number, response: WatchResponse): Promise<void> => {
    await watches[index]?.stream.send(response);
    await clock.settle();
  };

  it("share one stream, which is asked for a sign of life only while it is silent", async () => {
    watch("a/");
    watch("b/");
    await clock.settle();
    expect(watches).toHaveLength(1);
    const ids = creations(0).map(({ watchId }) => watchId);
    expect(new Set(ids).size).toBe(2);
    await tell(0, changed(ids[1] ?? "", 6));
    await tell(0, changed(ids[0] ?? "", 7));
    expect(seen).toEqual(["b/@6*1", "a/@7*1"]);
    await clock.tick(990);
    await tell(0, changed(ids[0] ?? "", 8));
    await clock.tick(20);
    const asks = () => watches[0]?.asked.filter((one) => one.progressRequest !== undefined).length;
    expect(asks()).toBe(0);
    await clock.tick(1000);
    expect(asks()).toBe(1);
  });

  it("all go on where they were when the stream breaks (R1, R2)", async () => {
    watch("a/");
    watch("b/");
    await clock.settle();
    const ids = creations(0).map(({ watchId }) => watchId);
    await tell(0, changed(ids[0] ?? "", 9));
    await server.close();
    await serve();
    await clock.tick(1000);
    expect(watches).toHaveLength(2);
    expect(creations(1).map(({ startRevision }) => startRevision)).toEqual([10, 5]);
    // What was delivered before is not delivered again.
    await tell(1, changed(ids[0] ?? "", 9));
    expect(seen).toEqual(["a/@9*1"]);
  });

  it("are opened anew when the stream is dead without breaking", async () => {
    watch("a/");
    await clock.tick(4100);
    expect(watches.map(({ isOpen }) => isOpen)).toEqual([false, true]);
  });

  it("leave the others alone when one is cancelled or compacted away (R2, R3)", async () => {
    const a = watch("a/");
    watch("b/");
    watch("c/");
    await clock.settle();
    const [idA = "", idB = "", idC = ""] = creations(0).map(({ watchId }) => watchId);
    a.cancel();
    await tell(0, changed(idA, 6));
    const gone = { watchId: idB, canceled: true, compactRevision: 6 };
    await tell(0, make(WatchResponse, { header, ...gone }));
    await tell(0, changed(idB, 7));
    await tell(0, changed(idC, 8));
    expect(seen).toEqual(["b/ compacted 6", "c/@8*1"]);
    expect(watches[0]?.asked.at(-1)?.cancelRequest?.watchId).toBe(idA);
    expect(watches[0]?.isOpen).toBe(true);
  });

  it("keep no stream open when there are none any more, and open one for the next (R4)", async () => {
    watch("a/").cancel();
    await clock.tick(500);
    expect(watches.filter(({ isOpen }) => isOpen)).toEqual([]);
    watch("b/");
    await clock.tick(500);
    expect(watches.filter(({ isOpen }) => isOpen)).toHaveLength(1);
    await etcd.close();
    await clock.tick(500);
    expect(watches.filter(({ isOpen }) => isOpen)).toEqual([]);
  });
});
