/** Block I/O between CVMs: a request that its front-end gave up is never carried out later (P1). */

import { describe, expect, it } from "vitest";
import { KIB } from "../../../services/base/units.ts";
import type { Infer } from "../../../services/base/wire.ts";
import type { RpcStream } from "../../../services/platform/rpc.ts";
import {
  type IoRequest,
  type IoResponse,
  IoService,
} from "../../../services/platform/wire/oplog.ts";
import { IoForwarder, ioBindings, mayServe } from "../../../services/stargate/vdisk/forwarding.ts";
import type { OwnedVdisk } from "../../../services/stargate/vdisk/ownedVdisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { openVdisk, type VdiskTestWorld } from "./vdiskWorld.ts";
import { DISK_A, watchOutcome } from "./world.ts";

interface ForwardingWorld extends VdiskTestWorld {
  /** A front-end's stream to the owner. */
  frontEnd(serves?: () => boolean): IoForwarder;
  /** A stream whose end does not get through to the owner. */
  halfOpen(): RpcStream<Infer<typeof IoRequest>, Infer<typeof IoResponse>>;
  /** Serving begins when this is resolved. */
  readonly takeover: { done: () => void };
}

async function open(): Promise<ForwardingWorld> {
  const world = await openVdisk();
  const network = createFakeNetwork({ clock: world.clock, log: createFakeLog() });
  const address = { host: "10.0.0.1", port: 2009 };
  const takeover = { done: (): void => undefined };
  const served = new Promise<OwnedVdisk>((resolve) => {
    takeover.done = () => {
      resolve(world.owned);
    };
  });
  await network.host("10.0.0.1").rpc.serve(
    address,
    ioBindings(() => served),
  );
  let frontEnds = 0;
  const nameOf = (n: number): string => `front-end ${n}`;
  const client = network.host("10.0.0.2").rpc.connect(address);
  return {
    ...world,
    takeover,
    frontEnd: (serves = () => true) =>
      new IoForwarder({ client, clock: world.clock, frontEnd: nameOf(++frontEnds), serves }),
    halfOpen: () => client.stream(IoService.io),
  };
}

const write = (fill: number, lengthBytes: number) => ({
  vdiskId: DISK_A,
  operation: "write" as const,
  offsetBytes: 0,
  lengthBytes,
  data: new Uint8Array(lengthBytes).fill(fill),
});

const firstByte = async (world: ForwardingWorld): Promise<number | undefined> =>
  (await world.wait(world.owned.read(0, 512)))[0]?.[0];

describe("a forwarded write", () => {
  it("that was given up does not come back after its repetition and what followed (P1)", async () => {
    const world = await open();
    world.takeover.done();
    let letGo = (): void => undefined;
    const stuck = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    world.space.beforeStore = () => stuck;
    const given = world.frontEnd();
    const first = watchOutcome(given.call(write(1, 512 * KIB)));
    await world.clock.tick(10);
    world.space.beforeStore = () => Promise.resolve();
    given.close();
    await world.clock.tick(10);
    expect(first.now()).toBe("CANCELLED");

    const again = world.frontEnd();
    await world.run(again.call(write(1, 512 * KIB)));
    await world.run(again.call(write(2, 512)));
    letGo();
    await world.clock.tick(100);
    expect(await firstByte(world)).toBe(2);
  });

  it("that was given up while its vDisk was being taken over is not carried out (P1)", async () => {
    const world = await open();
    const given = world.frontEnd();
    const first = watchOutcome(given.call(write(1, 512)));
    await world.clock.tick(10);
    given.close();
    await world.clock.tick(10);
    world.takeover.done();
    await world.clock.tick(10);
    expect([first.now(), world.ownedLog.lastLsn]).toEqual(["CANCELLED", 0]);
  });

  it("whose client left its front-end is not carried out, and others of the stream are (P1)", async () => {
    const world = await open();
    const frontEnd = world.frontEnd();
    const left = new AbortController();
    const first = watchOutcome(frontEnd.call(write(1, 512), left.signal));
    const other = watchOutcome(frontEnd.call(write(2, 512), new AbortController().signal));
    await world.clock.tick(10);
    frontEnd.forget(left.signal);
    await world.clock.tick(10);
    expect([first.now(), other.now()]).toEqual(["waits", "waits"]);
    world.takeover.done();
    await world.clock.tick(10);
    expect([first.now(), other.now(), world.ownedLog.lastLsn]).toEqual(["CANCELLED", "done", 1]);
    expect(await firstByte(world)).toBe(2);
  });

  it("of a stream that has a successor is not carried out, though its end never came (P1)", async () => {
    const world = await open();
    const old = world.halfOpen();
    await world.run(old.send({ id: 7, frontEnd: "one", ...write(1, 512) }));
    await world.clock.tick(10);
    const next = world.halfOpen();
    await world.run(next.send({ id: 8, frontEnd: "one", ...write(1, 512) }));
    await world.clock.tick(10);
    world.takeover.done();
    await world.clock.tick(10);
    expect(world.ownedLog.lastLsn).toBe(1);
    await world.run(next.send({ id: 9, frontEnd: "", ...write(2, 512) }));
    await world.clock.tick(10);
    expect([await firstByte(world), world.ownedLog.lastLsn]).toEqual([2, 2]);
  });

  it("of a stream that comes late, when its successor is there, is refused (P1)", async () => {
    const world = await open();
    world.takeover.done();
    const next = world.halfOpen();
    await world.run(next.send({ id: 8, frontEnd: "one", ...write(2, 512) }));
    await world.clock.tick(10);
    const old = world.halfOpen();
    await world.run(old.send({ id: 7, frontEnd: "one", ...write(1, 512) }));
    await world.clock.tick(10);
    expect([await firstByte(world), world.ownedLog.lastLsn]).toEqual([2, 1]);
    // Another process is another front-end.
    const other = world.halfOpen();
    await world.run(other.send({ id: 1, frontEnd: "two", ...write(3, 512) }));
    await world.clock.tick(10);
    expect(await firstByte(world)).toBe(3);
  });

  it("is carried out at the owner, and its error comes back with its code (P10)", async () => {
    const world = await open();
    world.takeover.done();
    const forwarder = world.frontEnd();
    await world.run(forwarder.call(write(5, 512)));
    expect(await firstByte(world)).toBe(5);
    const outside = watchOutcome(forwarder.call({ ...write(5, 512), offsetBytes: 2 ** 40 }));
    await world.clock.tick(10);
    expect(outside.now()).toBe("OUT_OF_RANGE");
  });

  it("is given up when the view names another owner, and does not come later (P1, P9)", async () => {
    const world = await open();
    let serves = true;
    const call = watchOutcome(world.frontEnd(() => serves).call(write(1, 512)));
    await world.clock.tick(2000);
    expect(call.now()).toBe("waits");
    serves = false;
    await world.clock.tick(500);
    expect(call.now()).toBe("PEER_UNREACHABLE");
    world.takeover.done();
    await world.clock.tick(1000);
    expect(world.ownedLog.lastLsn).toBe(0);
  });

  it("without an answer for too long is given up", async () => {
    const world = await open();
    const call = watchOutcome(world.frontEnd().call(write(1, 512)));
    await world.clock.tick(20_000);
    expect(call.now()).toBe("PEER_UNREACHABLE");
  });
});

describe("a forwarded request that no front-end sends", () => {
  const none = new Uint8Array(0);
  const cases = [
    ["read", 64 * 1024 * 1024, none],
    ["write", 512, none],
    ["write", 5 * 1024 * 1024, new Uint8Array(5 * 1024 * 1024)],
    ["zero", 5 * 1024 ** 3, none],
    ["runs", 5 * 1024 ** 3, none],
  ] as const;
  for (const [operation, lengthBytes, data] of cases)
    it(`is refused and changes nothing: ${operation} of ${lengthBytes} bytes with ${data.length} (P10)`, async () => {
      const world = await open();
      world.takeover.done();
      const request = { vdiskId: DISK_A, operation, offsetBytes: 0, lengthBytes, data };
      const call = watchOutcome(world.frontEnd().call(request));
      await world.clock.tick(10);
      expect([call.now(), world.ownedLog.lastLsn]).toEqual(["MESSAGE_INVALID", 0]);
    });
});

describe("who may still answer a forwarded request", () => {
  const view = (owner: number, peers: readonly number[], live: readonly number[]) => ({
    owner: (id: string) => (id === "known" ? { owner, peers, epoch: 3, served: true } : undefined),
    isLive: (cvm: number) => live.includes(cvm),
  });
  const cases = [
    ["the live owner", view(2, [2, 3], [1, 2, 3]), 2, true],
    ["not the one before it", view(3, [3, 2], [1, 2, 3]), 2, false],
    ["not an owner whose lease ended", view(2, [2, 3], [1, 3]), 2, false],
    ["the first live peer of such an owner", view(2, [2, 3], [1, 3]), 3, true],
    ["anybody while nobody is known to live", view(2, [2, 3], []), 2, true],
  ] as const;
  for (const [who, seen, cvm, expected] of cases)
    it(`is ${who}`, () => {
      expect(mayServe(seen, "known", cvm)).toBe(expected);
    });

  it("is anybody as long as the vDisk is not known", () => {
    expect(mayServe(view(2, [2], [1]), "unknown", 2)).toBe(true);
  });
});
