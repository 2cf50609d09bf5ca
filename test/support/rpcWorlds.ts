/**
 * Two worlds for the conformance suites of platform/rpc.ts, the fake network and gRPC on loopback,
 * with one test service in each.
 */

import { afterEach, onTestFinished } from "vitest";
import { present } from "../../services/base/assert.ts";
import { field, message, method, type WireCodec } from "../../services/base/wire.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import { createRpc } from "../../services/platform/adapters/rpc.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Address, Connection } from "../../services/platform/net.ts";
import {
  type Binding,
  type Rpc,
  type RpcClient,
  type RpcServer,
  serveUnary,
} from "../../services/platform/rpc.ts";
import { createFakeClock } from "./fakeClock.ts";
import { createFakeLog, type FakeLog } from "./fakeLog.ts";
import { createFakeNetwork } from "./fakeNetwork.ts";

const Note = message("antipode.test.v1.Note", {
  number: field.uint64(1),
  text: field.string(2),
  data: field.bytes(3),
});
export type NoteValue = {
  readonly number: number;
  readonly text: string;
  readonly data: Uint8Array;
};
export const note = (
  number: number,
  data: Uint8Array = new Uint8Array(0),
  text = "",
): NoteValue => ({
  number,
  text,
  data,
});

/** Encodes to bytes that are no Note, and decodes anything to what it is. */
export const garbage: WireCodec<NoteValue> = {
  name: "antipode.test.v1.Note",
  encode: () => new Uint8Array([0xff, 0xff, 0xff]),
  decode: () => note(0),
};

const SERVICE = "antipode.test.v1.TestService";
export const ask = method(SERVICE, "Ask", "unary", Note, Note);
export const other = method(SERVICE, "Other", "unary", Note, Note);
export const talk = method(SERVICE, "Talk", "duplex", Note, Note);
export const upload = method(SERVICE, "Upload", "clientStream", Note, Note);
export const download = method(SERVICE, "Download", "serverStream", Note, Note);

export interface World {
  readonly rpc: Rpc;
  readonly serverRpc: Rpc;
  readonly clock: Clock;
  readonly log: FakeLog;
  /** Lets time pass: virtual or real. */
  pass(ms: number): Promise<void>;
  /** An address that leads to the server over a line that `tear` breaks. */
  fragile(server: Address): Promise<Address>;
  tear(): void;
}

function fakeWorld(): World {
  const clock = createFakeClock();
  const log = createFakeLog();
  const network = createFakeNetwork({ clock, log });
  return {
    rpc: network.host("127.0.0.1").rpc,
    serverRpc: network.host("127.0.0.1").rpc,
    clock,
    log,
    pass: (ms) => clock.tick(ms),
    fragile: (server) => Promise.resolve(server),
    tear: () => {
      network.tear("127.0.0.1", "127.0.0.1");
    },
  };
}

function realWorld(): World {
  const clock = createClock();
  const log = createFakeLog();
  const pairs: Connection[] = [];
  return {
    rpc: createRpc(),
    serverRpc: createRpc({ log }),
    clock,
    log,
    pass: (ms) => clock.sleep(ms),
    fragile: (server) => forwarder(server, pairs),
    tear: () => {
      for (const connection of pairs.splice(0)) connection.destroy("reset");
    },
  };
}

/** A TCP forwarder to a server; its connections are put into `pairs`. */
async function forwarder(server: Address, pairs: Connection[]): Promise<Address> {
  const net = createNet();
  const join = (from: Connection, to: Connection): void => {
    from.onData((chunk) => to.write([chunk]));
    from.onClose(() => {
      to.destroy();
    });
  };
  const listener = await net.listen({ host: "127.0.0.1", port: 0 }, (inbound) => {
    void net.connect(server, 1000).then((outbound) => {
      pairs.push(inbound, outbound);
      join(inbound, outbound);
      join(outbound, inbound);
    });
  });
  onTestFinished(() => listener.close());
  return listener.address;
}

export const echo = serveUnary(ask, (request) => Promise.resolve(request));
export const soon = { deadlineMs: 5000 };

/** A promise with its ends outside. */
export function signalled<T = void>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
} {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((accept) => {
    resolve = accept;
  });
  return { promise, resolve };
}

/** A world, its servers, and what a test does with them; everything is closed after each test. */
export class Rig {
  readonly #makeWorld: () => World;
  readonly servers: RpcServer[] = [];
  #world: World | undefined;

  constructor(makeWorld: () => World) {
    this.#makeWorld = makeWorld;
    afterEach(() => this.#close());
  }

  get world(): World {
    return present(this.#world, "a rig has started");
  }

  /** A client of a server with these bindings, in a new world. */
  async start(bindings: readonly Binding[]): Promise<RpcClient> {
    this.#world = this.#makeWorld();
    return this.world.rpc.connect((await this.serve(bindings)).address);
  }

  async serve(bindings: readonly Binding[], port = 0): Promise<RpcServer> {
    const server = await this.world.serverRpc.serve({ host: "127.0.0.1", port }, bindings);
    this.servers.push(server);
    return server;
  }

  /** Closes the server that was started last. */
  async closeServer(): Promise<void> {
    await this.servers.pop()?.close();
  }

  async #close(): Promise<void> {
    this.#world?.rpc.close();
    for (const server of this.servers.splice(0)) await server.close();
    this.#world?.serverRpc.close();
  }
}

/** Both implementations of the port. */
export const rpcWorlds: readonly (readonly [string, () => World])[] = [
  ["fake", fakeWorld],
  ["gRPC", realWorld],
];

/** Everything that comes, until the end. */
export async function drain<T>(incoming: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of incoming) all.push(item);
  return all;
}
