/** The contract of platform/net.ts, for TCP on loopback and for the fake. */

import { afterEach, describe, expect, it } from "vitest";
import { concatBytes, utf8 } from "../../services/base/bytes.ts";
import { createPrng } from "../../services/base/prng.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import type { Connection, Listener, Net } from "../../services/platform/net.ts";
import { createFakeClock } from "../support/fakeClock.ts";
import { createFakeNetwork } from "../support/fakeNetwork.ts";
import { codeOfFailure, failureOf } from "../support/outcome.ts";

const ANY_PORT = { host: "127.0.0.1", port: 0 };
const DIAL_MS = 5000;

/** Everything that happened to one end, and promises for its ends. */
interface Ear {
  readonly connection: Connection;
  bytes(): Uint8Array;
  readonly ended: Promise<void>;
  readonly closed: Promise<Error | undefined>;
  /** Resolves when this many bytes have arrived. */
  received(count: number): Promise<Uint8Array>;
}

function listenTo(connection: Connection): Ear {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let wake: (() => void) | undefined;
  connection.onData((chunk) => {
    chunks.push(chunk);
    length += chunk.length;
    wake?.();
  });
  const ended = new Promise<void>((resolve) => {
    connection.onEnd(resolve);
  });
  const closed = new Promise<Error | undefined>((resolve) => {
    connection.onClose(resolve);
  });
  return {
    connection,
    bytes: () => concatBytes(chunks),
    ended,
    closed,
    async received(count) {
      while (length < count)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return concatBytes(chunks);
    },
  };
}

describe.each<[string, () => Net]>([
  ["fake", () => createFakeNetwork({ clock: createFakeClock() }).host("127.0.0.1").net],
  ["TCP", createNet],
])("net: %s", (_name, makeNet) => {
  let net: Net;
  const listeners: Listener[] = [];
  const connections: Connection[] = [];

  /** A connected pair: who dialled, and who was dialled. */
  const pair = async (): Promise<readonly [Connection, Connection]> => {
    net = makeNet();
    let accept: (connection: Connection) => void = () => undefined;
    const accepted = new Promise<Connection>((resolve) => {
      accept = resolve;
    });
    const listener = await net.listen(ANY_PORT, (connection) => {
      accept(connection);
    });
    listeners.push(listener);
    const here = await net.connect(listener.address, DIAL_MS);
    const there = await accepted;
    connections.push(here, there);
    return [here, there];
  };
  afterEach(async () => {
    for (const connection of connections.splice(0)) connection.destroy();
    for (const listener of listeners.splice(0)) await listener.close();
  });

  it("carries bytes in order both ways, however they are cut into parts", async () => {
    const [a, b] = await pair();
    const [left, right] = [listenTo(a), listenTo(b)];
    const prng = createPrng(11);
    const parts = Array.from({ length: 500 }, () => prng.fill(new Uint8Array(prng.below(300))));
    const whole = concatBytes(parts);
    for (let at = 0; at < parts.length; at += 50) a.write(parts.slice(at, at + 50));
    b.write([utf8("hello "), utf8("back")]);
    expect(await right.received(whole.length)).toEqual(whole);
    expect(await left.received(10)).toEqual(utf8("hello back"));
  });

  it("hands over chunks that stay as they are", async () => {
    const [a, b] = await pair();
    const right = listenTo(b);
    a.write([new Uint8Array(1000).fill(1)]);
    await right.received(1000);
    a.write([new Uint8Array(1000).fill(2)]);
    const all = await right.received(2000);
    expect([all[0], all[999], all[1000], all[1999]]).toEqual([1, 1, 2, 2]);
  });

  it("ends one direction and goes on in the other", async () => {
    const [a, b] = await pair();
    const [left, right] = [listenTo(a), listenTo(b)];
    a.write([utf8("question")]);
    a.end();
    await right.ended;
    expect(right.bytes()).toEqual(utf8("question"));
    b.write([utf8("answer")]);
    b.end();
    await left.ended;
    expect(left.bytes()).toEqual(utf8("answer"));
    expect(await Promise.all([left.closed, right.closed])).toEqual([undefined, undefined]);
  });

  it("tells a reset as an error and a plain drop at least as an end", async () => {
    const [a, b] = await pair();
    const right = listenTo(b);
    a.destroy("reset");
    expect(await right.closed).toBeInstanceOf(Error);
    const [c, d] = await pair();
    const other = listenTo(d);
    c.destroy();
    await Promise.race([other.ended, other.closed]);
  });

  it("tells its writer to wait when the reader pauses, and when to go on", async () => {
    const [a, b] = await pair();
    const right = listenTo(b);
    b.pause();
    let drained = 0;
    let onDrained: () => void = () => undefined;
    const draining = new Promise<void>((resolve) => {
      onDrained = resolve;
    });
    a.onDrain(() => {
      drained += 1;
      onDrained();
    });
    const block = new Uint8Array(256 * 1024);
    let sent = 0;
    // The system's buffers take a few MiB before they push back.
    while (a.write([block]) && sent < 200) sent += 1;
    sent += 1;
    expect(sent).toBeLessThan(200);
    expect(drained).toBe(0);
    b.resume();
    await draining;
    await right.received(sent * block.length);
  });

  it("takes nothing for a connection that is gone", async () => {
    const [a, b] = await pair();
    const left = listenTo(a);
    b.destroy("reset");
    await left.closed;
    expect(a.write([utf8("x")])).toBe(false);
    const again = new Promise((resolve) => {
      a.onClose(resolve);
    });
    await again;
  });

  it("says PEER_UNREACHABLE where nobody listens", async () => {
    await pair();
    const { address } = listeners[0] ?? { address: ANY_PORT };
    await listeners.splice(0)[0]?.close();
    expect(await codeOfFailure(net.connect(address, DIAL_MS))).toBe("PEER_UNREACHABLE");
  });

  it("keeps connections when the listener closes", async () => {
    const [a, b] = await pair();
    const right = listenTo(b);
    await listeners.splice(0)[0]?.close();
    a.write([utf8("still here")]);
    expect(await right.received(10)).toEqual(utf8("still here"));
  });

  it("names the holder of a port in use (P10)", async () => {
    await pair();
    const { address } = listeners[0] ?? { address: ANY_PORT };
    const error = await failureOf(net.listen(address, () => undefined));
    expect([error.code, error.details["port"]]).toEqual(["PORT_IN_USE", address.port]);
    expect(error.details["holder"]).toBeTypeOf("string");
  });
});

describe("net: TCP", () => {
  it("says which address cannot be listened on (P10)", async () => {
    const error = await failureOf(
      createNet().listen({ host: "192.0.2.1", port: 0 }, () => undefined),
    );
    expect([error.code, error.details["errno"]]).toEqual(["INVALID_ARGUMENT", "EADDRNOTAVAIL"]);
  });
});

describe("fake network", () => {
  const world = () => {
    const clock = createFakeClock();
    const network = createFakeNetwork({ clock });
    return { clock, network, a: network.host("a").net, b: network.host("b").net };
  };

  it("delivers after the delay of the line, in order", async () => {
    const { clock, network, a, b } = world();
    network.setDelay("a", "b", 50);
    const accepted: Ear[] = [];
    await b.listen({ host: "b", port: 9 }, (connection) => accepted.push(listenTo(connection)));
    const dialling = a.connect({ host: "b", port: 9 }, 1000);
    await clock.tick(100);
    const connection = await dialling;
    connection.write([utf8("1")]);
    await clock.tick(20);
    connection.write([utf8("2")]);
    await clock.tick(29);
    expect(accepted[0]?.bytes()).toEqual(utf8(""));
    await clock.tick(1);
    expect(accepted[0]?.bytes()).toEqual(utf8("1"));
    await clock.tick(20);
    expect(accepted[0]?.bytes()).toEqual(utf8("12"));
  });

  it("holds back what is sent during a cut and delivers it after healing", async () => {
    const { clock, network, a, b } = world();
    const accepted: Ear[] = [];
    await b.listen({ host: "b", port: 9 }, (connection) => accepted.push(listenTo(connection)));
    const connection = await a.connect({ host: "b", port: 9 }, 1000);
    network.cut("a", "b");
    connection.write([utf8("late")]);
    await clock.tick(10_000);
    expect(accepted[0]?.bytes()).toEqual(utf8(""));
    const dialling = codeOfFailure(a.connect({ host: "b", port: 9 }, 1000));
    await clock.tick(1000);
    expect(await dialling).toBe("DEADLINE_EXCEEDED");
    network.heal("a", "b");
    await clock.settle();
    expect(accepted[0]?.bytes()).toEqual(utf8("late"));
  });

  it("breaks everything of a killed host and frees its ports", async () => {
    const { network, a, b } = world();
    await b.listen({ host: "b", port: 9 }, () => undefined);
    const ear = listenTo(await a.connect({ host: "b", port: 9 }, 1000));
    network.kill("b");
    expect(await ear.closed).toBeInstanceOf(Error);
    expect(await codeOfFailure(a.connect({ host: "b", port: 9 }, 1000))).toBe("PEER_UNREACHABLE");
    await network.host("b").net.listen({ host: "b", port: 9 }, () => undefined);
  });
});
