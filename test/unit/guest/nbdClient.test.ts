/** The client against servers that break, stall, lie or are none. Virtual time. */

import { describe, expect, it } from "vitest";
import { concatBytes, utf8, viewOf } from "../../../services/base/bytes.ts";
import {
  encodeNbdOptionReply,
  nbdChunk,
  nbdMagic,
  nbdOption,
  nbdReply,
  writeU64be,
} from "../../../services/base/nbd.ts";
import {
  connectNbd,
  formatNbdUri,
  isIndeterminate,
  type NbdClient,
  parseNbdUri,
} from "../../../services/guest/index.ts";
import type { Connection } from "../../../services/platform/net.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { fakeNbdWorld } from "../../support/nbdWorld.ts";
import { failureOf } from "../../support/outcome.ts";

const GREETING = concatBytes([utf8("NBDMAGICIHAVEOPT"), new Uint8Array([0, 3])]);

interface Scripted {
  readonly clock: FakeClock;
  readonly connect: Promise<NbdClient>;
  readonly server: Connection;
}

/** A server that sends what the test says. */
async function scripted(greeting: Uint8Array): Promise<Scripted> {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  let accept: (connection: Connection) => void = () => undefined;
  const accepted = new Promise<Connection>((resolve) => {
    accept = resolve;
  });
  const address = { host: "s", port: 1 };
  const listener = await network.host("s").net.listen(address, (connection) => {
    accept(connection);
  });
  const world = { net: network.host("c").net, clock };
  const connect = connectNbd(world, { address: listener.address, exportName: "d" });
  connect.catch(() => undefined);
  const server = await accepted;
  server.onData(() => undefined);
  server.write([greeting]);
  return { clock, connect, server };
}

/** One that has answered GO for a disk of 1 MiB, with structured replies. */
async function entered(): Promise<Scripted & { readonly client: NbdClient }> {
  const world = await scripted(GREETING);
  const info = new Uint8Array(12);
  writeU64be(viewOf(info), 2, 1024 * 1024);
  world.server.write([
    encodeNbdOptionReply(nbdOption.structuredReply, nbdReply.ack),
    encodeNbdOptionReply(nbdOption.setMetaContext, nbdReply.ack),
    encodeNbdOptionReply(nbdOption.go, nbdReply.info, info),
    encodeNbdOptionReply(nbdOption.go, nbdReply.ack),
  ]);
  return { ...world, client: await world.connect };
}

function chunk(parts: {
  type: number;
  cookie?: number;
  done?: boolean;
  payload: Uint8Array;
}): Uint8Array {
  const bytes = new Uint8Array(20 + parts.payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, nbdMagic.structuredReply);
  view.setUint16(4, parts.done === false ? 0 : 1);
  view.setUint16(6, parts.type);
  view.setUint32(12, parts.cookie ?? 1);
  view.setUint32(16, parts.payload.length);
  bytes.set(parts.payload, 20);
  return bytes;
}

function at(offset: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  writeU64be(viewOf(bytes), 0, offset);
  bytes.set(data, 8);
  return bytes;
}

describe("NBD client", () => {
  it.each([
    ["is silent", new Uint8Array(0), "DEADLINE_EXCEEDED"],
    ["speaks HTTP", utf8("HTTP/1.1 400 Bad Request\r\n"), "MESSAGE_INVALID"],
    ["speaks oldstyle", concatBytes([utf8("NBDMAGIC"), new Uint8Array(144)]), "MESSAGE_INVALID"],
    [
      "answers another option",
      concatBytes([GREETING, encodeNbdOptionReply(99, 1)]),
      "MESSAGE_INVALID",
    ],
    [
      "announces a reply of 4 GiB",
      concatBytes([
        GREETING,
        encodeNbdOptionReply(8, 1).subarray(0, 16),
        new Uint8Array(4).fill(255),
      ]),
      "MESSAGE_INVALID",
    ],
  ])("gives up on a server that %s (P10)", async (_what, bytes, code) => {
    const { connect, clock } = await scripted(bytes);
    await clock.tick(10_000);
    expect((await failureOf(connect)).code).toBe(code);
    expect(clock.timerCount()).toBe(0);
  });

  it("gives up on a server that ends the handshake", async () => {
    const { connect, server, clock } = await scripted(GREETING.subarray(0, 7));
    server.end();
    await clock.tick(1);
    expect((await failureOf(connect)).code).toBe("PEER_UNREACHABLE");
  });

  it("puts chunks where they belong, in any order, holes included", async () => {
    const { client, server } = await entered();
    const reading = client.read(1000, 12);
    const hole = new Uint8Array(12);
    writeU64be(viewOf(hole), 0, 1004);
    viewOf(hole).setUint32(8, 4);
    const bytes = concatBytes([
      chunk({
        type: nbdChunk.offsetData,
        done: false,
        payload: at(1008, new Uint8Array([3, 3, 3, 3])),
      }),
      chunk({ type: nbdChunk.offsetHole, done: false, payload: hole }),
      chunk({ type: nbdChunk.offsetData, payload: at(1000, new Uint8Array([1, 1, 1, 1])) }),
    ]);
    for (const byte of bytes) server.write([new Uint8Array([byte])]);
    expect([...(await reading)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 3, 3, 3, 3]);
  });

  const data4 = new Uint8Array(4);
  it.each([
    [
      "data of no request",
      chunk({ type: nbdChunk.offsetData, cookie: 9, payload: at(1000, data4) }),
    ],
    ["data beyond the request", chunk({ type: nbdChunk.offsetData, payload: at(1001, data4) })],
    ["data before the request", chunk({ type: nbdChunk.offsetData, payload: at(0, data4) })],
    ["too little data", chunk({ type: nbdChunk.offsetData, payload: at(1000, data4.subarray(1)) })],
    ["no data at all", chunk({ type: nbdChunk.none, payload: new Uint8Array(0) })],
    ["a block status", chunk({ type: nbdChunk.blockStatus, payload: new Uint8Array(12) })],
    ["an error without errno", chunk({ type: nbdChunk.error, payload: new Uint8Array(6) })],
    ["an unknown chunk", chunk({ type: 77, payload: new Uint8Array(0) })],
    ["no reply at all", new Uint8Array(64)],
  ])("drops a server that answers a read with %s (P7, P10)", async (_what, bytes) => {
    const { client, server } = await entered();
    const reading = failureOf(client.read(1000, 4));
    server.write([bytes]);
    const error = await reading;
    expect([error.code, isIndeterminate(error)]).toEqual(["MESSAGE_INVALID", true]);
    expect((await client.gone)?.code).toBe("MESSAGE_INVALID");
  });

  it("calls lost operations indeterminate when they were sent, and not when they still waited", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client("disk", { outstandingMax: 2, queuedMax: 2 });
    world.disk.hold();
    const failures = [0, 1].map((i) => failureOf(client.write(i * 512, new Uint8Array(512))));
    await world.clock.settle();
    failures.push(...[2, 3].map((i) => failureOf(client.write(i * 512, new Uint8Array(512)))));
    const refused = await failureOf(client.write(0, new Uint8Array(512)));
    world.network.tear("10.0.0.1", "10.0.0.2");
    const lost = await Promise.all(failures);
    expect(lost.map((error) => [error.code, isIndeterminate(error)])).toEqual([
      ["PEER_UNREACHABLE", true],
      ["PEER_UNREACHABLE", true],
      ["PEER_UNREACHABLE", false],
      ["PEER_UNREACHABLE", false],
    ]);
    expect([refused.code, isIndeterminate(refused)]).toEqual(["OVERLOADED", false]);
    expect((await failureOf(client.read(0, 1))).code).toBe("PEER_UNREACHABLE");
    await client.close();
  });

  it("counts a server that does not answer in time as lost, measured from the oldest operation", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client("disk", { ioTimeoutMs: 1000 });
    const release = world.disk.hold();
    const first = client.read(0, 512);
    await world.clock.tick(900);
    release();
    await first;
    world.disk.hold();
    const second = failureOf(client.write(0, new Uint8Array(512)));
    await world.clock.tick(999);
    expect(client.outstanding).toBe(1);
    await world.clock.tick(1);
    const error = await second;
    expect([error.code, isIndeterminate(error)]).toEqual(["DEADLINE_EXCEEDED", true]);
  });

  it("keeps to its maximum of outstanding operations and to the order of calls", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client("disk", { outstandingMax: 1 });
    const writes = [1, 2, 3].map((n) => client.write(0, new Uint8Array(4).fill(n)));
    await Promise.all(writes);
    expect([...(await client.read(0, 4))]).toEqual([3, 3, 3, 3]);
    expect(world.disk.inflightPeak).toBe(1);
  });

  it("waits for outstanding operations when it closes, then takes no more", async () => {
    const world = await fakeNbdWorld();
    const client = await world.client();
    const release = world.disk.hold();
    const write = client.write(0, new Uint8Array([9]));
    const closing = Promise.all([client.close(), client.close()]);
    await world.clock.settle();
    release();
    await Promise.all([write, closing]);
    expect(await client.gone).toBeUndefined();
    expect(isIndeterminate(await failureOf(client.read(0, 1)))).toBe(false);
    await world.clock.settle();
    expect([world.server.connections(), world.clock.timerCount()]).toEqual([0, 0]);
  });
});

describe("NBD URIs", () => {
  it("round-trip", () => {
    for (const uri of [
      "nbd://127.1.0.1:10809/disk1",
      "nbd://127.1.0.1:10809/disk1@rp-1",
      "nbd://[::1]:1/a%20b",
      "nbd://host:65535/",
    ])
      expect(formatNbdUri(parseNbdUri(uri))).toBe(uri);
  });

  it("take the registered port when none is given", () => {
    expect(parseNbdUri("nbd://host")).toEqual({
      address: { host: "host", port: 10809 },
      exportName: "",
    });
  });

  it.each([
    "",
    "nbd:/x",
    "nbds://h/x",
    "http://h/x",
    "nbd://h:0/x",
    "nbd://h:70000/x",
    "nbd://h/%zz",
    "nbd:///x",
  ])("refuse %j (P10)", (uri) => {
    expect(() => parseNbdUri(uri)).toThrow(/is not an NBD URI/);
  });
});
