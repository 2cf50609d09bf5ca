/** The meter counts every call by its site, and fails exactly the one that it was told to. */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { serveStream, serveUnary } from "../../../services/platform/rpc.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import {
  countCalls,
  diskMeterHook,
  failNth,
  meteredCoordinator,
  meteredDisk,
  meteredRpc,
  pathClass,
} from "../../support/fakeNthCall.ts";
import { createMemoryEtcd } from "../../support/memoryCoordinator.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { ask, note, talk } from "../../support/rpcWorlds.ts";

const soon = { deadlineMs: 1000 };

describe("a class of paths", () => {
  it("leaves out numbers and identities, and keeps words", () => {
    expect(pathClass("oplog/0000000012.log")).toBe("oplog/#.log");
    expect(pathClass("index/00ff00ff00ff00ff/data")).toBe("index/#/data");
    expect(pathClass("promises/face.new")).toBe("promises/face.new");
  });
});

describe("a metered disk", () => {
  it("counts calls by operation and class of path", async () => {
    const meter = countCalls();
    const disk = meteredDisk(createFakeDisk(), meter);
    for (const name of ["1.log", "2.log"]) {
      const file = await disk.open(name, "create");
      await file.write(0, [utf8("a")]);
      await file.sync();
    }
    expect(Object.fromEntries(meter.counts)).toEqual({
      "disk.open #.log": 2,
      "disk.write #.log": 2,
      "disk.sync #.log": 2,
    });
    expect([meter.total, meter.hit]).toEqual([6, undefined]);
  });

  it("fails the n-th call and no other, without its effect", async () => {
    const meter = failNth({ n: 3 });
    const real = createFakeDisk();
    const disk = meteredDisk(real, meter);
    const file = await disk.open("a", "create");
    await file.write(0, [utf8("1")]);
    expect(await codeOfFailure(file.write(0, [utf8("2")]))).toBe("DISK_FAILED");
    expect(new TextDecoder().decode(real.content("a"))).toBe("1");
    await file.write(0, [utf8("3")]);
    expect([meter.total, meter.hit]).toEqual([4, "disk.write a"]);
  });

  it("counts only one site when told so", async () => {
    const disk = meteredDisk(createFakeDisk(), failNth({ n: 2, site: "disk.sync a" }));
    const file = await disk.open("a", "create");
    await file.sync();
    await file.write(0, [utf8("1")]);
    expect(await codeOfFailure(file.sync())).toBe("DISK_FAILED");
    await file.sync();
  });

  it("as a hook of a fake disk drops dirty pages with the sync that it fails", async () => {
    const disk = createFakeDisk();
    disk.addHook(diskMeterHook(failNth({ n: 1, site: "disk.sync a" })));
    const file = await disk.open("a", "create");
    await file.write(0, [utf8("1")]);
    expect(await codeOfFailure(file.sync())).toBe("DISK_FAILED");
    await file.sync();
    await disk.syncDirectory("");
    expect(disk.durableContent("a")).toEqual(new Uint8Array(1));
  });
});

describe("a metered coordinator", () => {
  const put = (value: string) => ({
    when: [],
    then: [{ kind: "put" as const, key: "/a/17", value: utf8(value) }],
  });

  it("fails a transaction before it happened, or after, as asked", async () => {
    for (const when of ["before", "after"] as const) {
      const etcd = createMemoryEtcd(createFakeClock());
      const meter = failNth({ n: 2, when });
      const one = meteredCoordinator(etcd.connect(), meter);
      await one.transact(put("1"));
      expect(await codeOfFailure(one.transact(put("2")))).toBe("COORDINATOR_UNAVAILABLE");
      const found = await one.get("/a/17");
      expect(new TextDecoder().decode(found?.value)).toBe(when === "after" ? "2" : "1");
      expect(Object.fromEntries(meter.counts)).toEqual({
        "etcd.transact /a/#": 2,
        "etcd.get /a/#": 1,
      });
    }
  });
});

describe("a metered rpc client", () => {
  it("fails the n-th call, and breaks the stream whose message it fails", async () => {
    const network = createFakeNetwork({ clock: createFakeClock() });
    const address = { host: "10.0.0.2", port: 1 };
    const handled: number[] = [];
    await network.host(address.host).rpc.serve(address, [
      serveUnary(ask, (q) => {
        handled.push(q.number);
        return Promise.resolve(q);
      }),
      serveStream(talk, async (stream) => {
        for await (const one of stream.incoming) handled.push(one.number);
      }),
    ]);
    const { rpc } = network.host("10.0.0.1");
    const first = meteredRpc(rpc, failNth({ n: 2, when: "after" })).connect(address);
    await first.unary(ask, note(1), soon);
    expect(await codeOfFailure(first.unary(ask, note(2), soon))).toBe("PEER_UNREACHABLE");
    expect(handled).toEqual([1, 2]);

    const meter = failNth({ n: 2 });
    const stream = meteredRpc(rpc, meter).connect(address).stream(talk);
    await stream.send(note(3));
    expect(await codeOfFailure(stream.send(note(4)))).toBe("PEER_UNREACHABLE");
    expect(await codeOfFailure(stream.send(note(5)))).toBe("CANCELLED");
    expect(handled).not.toContain(4);
    expect(meter.hit).toBe(`rpc.send ${talk.path}`);
  });
});
