/** The server as a whole in virtual time: bounds, leaving, vanishing, failures of the device. */

import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../services/base/bytes.ts";
import { AntipodeError, nbdErrno } from "../../../services/base/errors.ts";
import { encodeNbdOption, nbdCommand, nbdOption, nbdReply } from "../../../services/base/nbd.ts";
import { isIndeterminate } from "../../../services/guest/index.ts";
import type { BlockDevices } from "../../../services/stargate/nbd/blockDevice.ts";
import {
  CLIENT_FLAGS,
  DISK_BYTES,
  dialRaw,
  enterRaw,
  fakeNbdWorld,
  goData,
  request,
  takeOptionReply,
  takeSimpleReply,
} from "../../support/nbdWorld.ts";
import { failureOf } from "../../support/outcome.ts";

const { read, write, flush, disconnect } = nbdCommand;

describe("NBD server", () => {
  it("answers a batch that became ready together in one write", async () => {
    const world = await fakeNbdWorld();
    const peer = await enterRaw(world);
    const chunks: number[] = [];
    const before = peer.received().length;
    peer.send(...[1, 2, 3, 4].map((cookie) => request({ command: read, cookie, length: 8 })));
    peer.connection.onData((chunk) => chunks.push(chunk.length));
    await world.clock.settle();
    expect(before).toBe(0);
    expect(chunks).toEqual([4 * (16 + 8)]);
  });

  it("maps the device's code to an errno, and gives clients the code and the text (P10)", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client();
    for (const [code, errno] of [
      ["DISK_FULL", nbdErrno.ENOSPC],
      ["OPLOG_FULL", nbdErrno.EIO],
      ["STALE_EPOCH", nbdErrno.ESHUTDOWN],
    ] as const) {
      world.disk.failWith(new AntipodeError(code, `it is ${code}`));
      const error = await failureOf(client.write(0, new Uint8Array(512)));
      expect([error.code, error.message, error.details["errno"]]).toEqual([
        code,
        `it is ${code}`,
        errno,
      ]);
      expect(isIndeterminate(error)).toBe(true);
    }
    const peer = await enterRaw(world);
    peer.send(request({ command: flush, cookie: 5 }));
    expect(await takeSimpleReply(peer)).toEqual({ errno: nbdErrno.ESHUTDOWN, cookie: 5 });
    world.disk.failWith(undefined);
    await client.write(0, new Uint8Array(512));
  });

  it("tells a person of a failure that has no code, and answers EIO", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client();
    world.disk.failWith(new Error("a bug"));
    expect((await failureOf(client.read(0, 512))).code).toBe("INTERNAL");
    expect(world.log.of("nbd.requestFailed").map((line) => line.level)).toEqual(["error"]);
  });

  it("hands at most `inflightMax` requests to the device, and goes on when they are answered", async () => {
    const world = await fakeNbdWorld({ limits: { inflightMax: 4 } });
    const peer = await enterRaw(world);
    const release = world.disk.hold();
    for (let cookie = 0; cookie < 20; cookie++)
      peer.send(request({ command: read, cookie, length: 512 }));
    await world.clock.settle();
    expect(world.disk.inflight).toBe(4);
    release();
    await peer.take(20 * (16 + 512));
    expect(world.disk.inflightPeak).toBe(4);
  });

  it("stops reading above `inflightBytesMax`", async () => {
    const world = await fakeNbdWorld({ limits: { inflightBytesMax: 1_000_000 } });
    const peer = await enterRaw(world);
    const release = world.disk.hold();
    for (let cookie = 0; cookie < 10; cookie++)
      peer.send(request({ command: read, cookie, length: 600_000 }));
    await world.clock.settle();
    expect(world.disk.inflight).toBe(2);
    release();
    await peer.take(10 * (16 + 600_000));
  });

  it("starts nothing new for a client that does not take its replies", async () => {
    const world = await fakeNbdWorld({ limits: { inflightBytesMax: 1_000_000 } });
    const peer = await enterRaw(world);
    peer.connection.pause();
    for (let cookie = 0; cookie < 50; cookie++)
      peer.send(request({ command: read, cookie, length: 500_000 }));
    await world.clock.settle();
    const reads = world.disk.calls;
    expect(reads).toBeLessThan(8);
    await world.clock.tick(60_000);
    expect(world.disk.calls).toBe(reads);
    peer.connection.resume();
    await peer.take(50 * (16 + 500_000));
  });

  it("answers what is in flight before it follows a DISC", async () => {
    const world = await fakeNbdWorld();
    const peer = await enterRaw(world);
    const release = world.disk.hold();
    let isAbandoned = false;
    world.disk.onLeaving = () => {
      isAbandoned = true;
    };
    peer.send(
      concatBytes([request({ command: write, cookie: 3, length: 4 }), new Uint8Array(4)]),
      request({ command: disconnect }),
      request({ command: read, cookie: 4, length: 4 }),
    );
    await world.clock.settle();
    expect(world.disk.closed).toBe(0);
    release();
    expect(await takeSimpleReply(peer)).toEqual({ errno: 0, cookie: 3 });
    await peer.ended;
    // It waits for the end of the connection, so what it asked for is wanted until then.
    expect(isAbandoned).toBe(false);
    peer.connection.end();
    await world.clock.settle();
    expect([world.disk.closed, world.server.connections(), peer.received().length]).toEqual([
      1, 0, 0,
    ]);
  });

  it.each(["end", "destroy", "tear"] as const)(
    "leaves nothing behind when a client vanishes by %s, and closes the device after its last call (N7)",
    async (how) => {
      const world = await fakeNbdWorld();
      const peer = await enterRaw(world);
      const release = world.disk.hold();
      let isAbandoned = false;
      world.disk.onLeaving = () => {
        isAbandoned = true;
      };
      peer.send(request({ command: read, length: 4096 }), request({ command: flush }));
      await world.clock.settle();
      if (how === "tear") world.network.tear("10.0.0.1", "10.0.0.2");
      else peer.connection[how]();
      await world.clock.settle();
      expect([world.disk.inflight, world.disk.closed, isAbandoned]).toEqual([2, 0, true]);
      release();
      await world.clock.tick(10_000);
      expect([world.disk.inflight, world.disk.closed]).toEqual([0, 1]);
      expect([world.server.connections(), world.clock.timerCount()]).toEqual([0, 0]);
    },
  );

  it("drops a client in the middle of a request, at every byte of it", async () => {
    const world = await fakeNbdWorld();
    const bytes = concatBytes([request({ command: write, length: 40 }), new Uint8Array(40)]);
    for (let length = 0; length < bytes.length; length++) {
      const peer = await enterRaw(world);
      peer.send(bytes.subarray(0, length));
      await world.clock.settle();
      peer.connection.destroy();
    }
    await world.clock.tick(10_000);
    expect(world.server.connections()).toBe(0);
    expect(world.disk.calls).toBe(0);
    expect(world.disk.closed).toBe(bytes.length);
  });

  it("drops a client that sends a wrong magic (P10)", async () => {
    const world = await fakeNbdWorld();
    const peer = await enterRaw(world);
    peer.send(new Uint8Array(64));
    await peer.ended;
    peer.connection.destroy();
    await world.clock.tick(10_000);
    expect([world.server.connections(), world.disk.closed]).toEqual([0, 1]);
  });

  it("drops a client that does not finish its handshake, and one that does not close", async () => {
    const world = await fakeNbdWorld({ limits: { handshakeTimeoutMs: 1000, lingerMs: 500 } });
    const slow = await dialRaw(world);
    await world.clock.tick(999);
    expect(slow.isEnded).toBe(false);
    await world.clock.tick(1);
    expect(slow.isEnded).toBe(true);
    const stubborn = await enterRaw(world);
    stubborn.send(request({ command: disconnect }));
    await world.clock.tick(499);
    expect(world.server.connections()).toBe(1);
    await world.clock.tick(1);
    expect(world.server.connections()).toBe(0);
  });

  it("does not limit the time of a client that is past its handshake", async () => {
    const world = await fakeNbdWorld({ limits: { handshakeTimeoutMs: 1000 } });
    const client = await world.client();
    await world.clock.tick(100_000);
    expect((await client.read(0, 512)).length).toBe(512);
  });

  it("refuses connections beyond its maximum, and takes new ones when others have gone", async () => {
    const world = await fakeNbdWorld({ limits: { connectionsMax: 2 } });
    const first = await world.client();
    await world.client();
    const refused = await dialRaw(world);
    await refused.ended;
    expect(refused.received().length).toBe(0);
    await first.close();
    await world.clock.settle();
    expect((await (await world.client()).read(0, 1)).length).toBe(1);
  });

  it("opens an export once for all options that name it", async () => {
    const opened: string[] = [];
    const inner = await fakeNbdWorld();
    const devices: BlockDevices = {
      open(name) {
        opened.push(name);
        return Promise.resolve(inner.disk);
      },
      list: () => Promise.resolve([]),
    };
    const world = await fakeNbdWorld({ devices });
    const client = await world.client("a");
    expect(opened).toEqual(["a"]);
    await client.close();
    await world.clock.settle();
    expect(inner.disk.closed).toBe(1);
  });

  it("names the code when an export cannot be opened, and offers another try", async () => {
    const world = await fakeNbdWorld();
    const peer = await dialRaw(world);
    await peer.take(18);
    peer.send(CLIENT_FLAGS, encodeNbdOption(nbdOption.go, goData("nope")));
    const refusal = await takeOptionReply(peer);
    expect(refusal.type).toBe(nbdReply.errorUnknown);
    expect(new TextDecoder().decode(refusal.data)).toMatch(/^VDISK_NOT_FOUND: /);
    peer.send(encodeNbdOption(nbdOption.info, goData("disk")));
    expect((await takeOptionReply(peer)).type).toBe(nbdReply.info);
  });

  it("closes: answers what is in flight, then leaves no connection and no device open", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client();
    const idle = await dialRaw(world);
    const release = world.disk.hold();
    const pending = client.read(0, 4096);
    await world.clock.settle();
    let closed = false;
    const closing = world.server.close().then(() => {
      closed = true;
    });
    await world.clock.settle();
    expect(closed).toBe(false);
    release();
    expect((await pending).length).toBe(4096);
    await world.clock.tick(5_000);
    await closing;
    expect([idle.isEnded, world.server.connections(), world.disk.closed]).toEqual([true, 0, 1]);
    expect((await failureOf(world.client())).code).toBe("PEER_UNREACHABLE");
  });

  it("tells a client that a disk ends where it ends", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client();
    expect(client.sizeBytes).toBe(DISK_BYTES);
    expect((await failureOf(client.write(DISK_BYTES - 1, new Uint8Array(2)))).code).toBe(
      "INVALID_ARGUMENT",
    );
  });
});
