/**
 * The contract of platform/rpc.ts, for gRPC between two adapters of this process and for the fake.
 */

import { afterEach, describe, expect, it } from "vitest";
import { AntipodeError } from "../../services/base/errors.ts";
import { field, type Method, message, method, type WireCodec } from "../../services/base/wire.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import { createRpc } from "../../services/platform/adapters/rpc.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Address, Connection, Listener } from "../../services/platform/net.ts";
import {
  type Binding,
  type Rpc,
  type RpcClient,
  type RpcServer,
  RpcStatusError,
  serveStream,
  serveUnary,
} from "../../services/platform/rpc.ts";
import { createFakeClock } from "../support/fakeClock.ts";
import { createFakeLog, type FakeLog } from "../support/fakeLog.ts";
import { createFakeNetwork } from "../support/fakeNetwork.ts";
import { codeOfFailure, failureOf } from "../support/outcome.ts";

const Note = message("antipode.test.v1.Note", {
  number: field.uint64(1),
  text: field.string(2),
  data: field.bytes(3),
});
type NoteValue = { readonly number: number; readonly text: string; readonly data: Uint8Array };
const note = (number: number, data: Uint8Array = new Uint8Array(0), text = ""): NoteValue => ({
  number,
  text,
  data,
});

/** Encodes to bytes that are no Note, and decodes anything to what it is. */
const garbage: WireCodec<NoteValue> = {
  name: "antipode.test.v1.Note",
  encode: () => new Uint8Array([0xff, 0xff, 0xff]),
  decode: () => note(0),
};

const SERVICE = "antipode.test.v1.TestService";
const ask = method(SERVICE, "Ask", "unary", Note, Note);
const other = method(SERVICE, "Other", "unary", Note, Note);
const talk = method(SERVICE, "Talk", "duplex", Note, Note);
const upload = method(SERVICE, "Upload", "clientStream", Note, Note);
const download = method(SERVICE, "Download", "serverStream", Note, Note);

interface World {
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

const open: Listener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
});

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
  open.push(listener);
  return listener.address;
}

const echo = serveUnary(ask, (request) => Promise.resolve(request));
const soon = { deadlineMs: 5000 };

/** A promise with its ends outside. */
function signalled<T = void>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((accept) => {
    resolve = accept;
  });
  return { promise, resolve };
}

describe.each([
  ["fake", fakeWorld],
  ["gRPC", realWorld],
])("rpc: %s", (_name, makeWorld) => {
  let world: World;
  const servers: RpcServer[] = [];

  const serve = async (bindings: readonly Binding[], port = 0): Promise<RpcServer> => {
    const server = await world.serverRpc.serve({ host: "127.0.0.1", port }, bindings);
    servers.push(server);
    return server;
  };
  const start = async (bindings: readonly Binding[]): Promise<RpcClient> => {
    world = makeWorld();
    return world.rpc.connect((await serve(bindings)).address);
  };
  afterEach(async () => {
    world.rpc.close();
    for (const server of servers.splice(0)) await server.close();
    world.serverRpc.close();
  });

  it("carries a unary request and its answer unchanged", async () => {
    const client = await start([
      serveUnary(ask, (q) => Promise.resolve(note(q.number + 1, q.data, `${q.text}!`))),
    ]);
    const answer = await client.unary(
      ask,
      note(2 ** 50, new Uint8Array([0, 255]), "Grüße 🌍"),
      soon,
    );
    expect(answer).toEqual(note(2 ** 50 + 1, new Uint8Array([0, 255]), "Grüße 🌍!"));
  });

  it("gives handlers and callers plain byte arrays, not the platform's buffers", async () => {
    let seen: Uint8Array | undefined;
    const client = await start([
      serveUnary(ask, (q) => {
        seen = q.data;
        return Promise.resolve(q);
      }),
    ]);
    const answer = await client.unary(ask, note(1, new Uint8Array(10)), soon);
    expect([seen?.constructor, answer.data.constructor]).toEqual([Uint8Array, Uint8Array]);
  });

  it("brings a handler's AntipodeError to the caller with code, message and details", async () => {
    const client = await start([
      serveUnary(ask, () =>
        Promise.reject(
          new AntipodeError("STALE_EPOCH", "epoch 3 < 4: »zu alt«", {
            epoch: 4,
            vdisk: "größe",
            final: true,
          }),
        ),
      ),
    ]);
    const error = await failureOf(client.unary(ask, note(1), soon));
    expect([error.code, error.message, error.details]).toEqual([
      "STALE_EPOCH",
      "epoch 3 < 4: »zu alt«",
      { epoch: 4, vdisk: "größe", final: true },
    ]);
  });

  it("answers INTERNAL for an unknown error and logs it at the server", async () => {
    const client = await start([serveUnary(ask, () => Promise.reject(new TypeError("boom")))]);
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("INTERNAL");
    expect(world.log.of("rpc.handlerFailed")[0]?.fields["err"]).toBeInstanceOf(TypeError);
  });

  it("shows the exact status of a foreign server in the details", async () => {
    const client = await start([
      serveUnary(ask, () =>
        Promise.reject(new RpcStatusError(5, "etcdserver: requested lease not found")),
      ),
    ]);
    const error = await failureOf(client.unary(ask, note(1), soon));
    expect(error.code).toBe("PEER_REFUSED");
    expect(error.details).toMatchObject({
      grpcStatus: 5,
      grpcMessage: "etcdserver: requested lease not found",
    });
  });

  it("says PEER_UNREACHABLE where nobody listens", async () => {
    const server = (await start([echo])).address;
    await servers.splice(0)[0]?.close();
    const client = world.rpc.connect(server);
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("PEER_UNREACHABLE");
    const stream = client.stream(talk);
    expect(await codeOfFailure(drain(stream.incoming))).toBe("PEER_UNREACHABLE");
  });

  it("says UNIMPLEMENTED for a method that is not bound", async () => {
    const client = await start([echo]);
    expect(await codeOfFailure(client.unary(other, note(1), soon))).toBe("UNIMPLEMENTED");
    expect(await codeOfFailure(drain(client.stream(talk).incoming))).toBe("UNIMPLEMENTED");
  });

  it("fails a call at its deadline and aborts its handler", async () => {
    const aborted = signalled();
    const client = await start([
      serveUnary(ask, async (q, { signal }) => {
        await new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            resolve();
          });
        });
        aborted.resolve();
        return q;
      }),
    ]);
    const code = codeOfFailure(client.unary(ask, note(1), { deadlineMs: 50 }));
    await world.pass(60);
    expect(await code).toBe("DEADLINE_EXCEEDED");
    await aborted.promise;
  });

  it("fails a call that its caller cancels and aborts its handler", async () => {
    const [started, aborted] = [signalled(), signalled()];
    const client = await start([
      serveUnary(ask, async (q, { signal }) => {
        signal.addEventListener("abort", () => {
          aborted.resolve();
        });
        started.resolve();
        await aborted.promise;
        return q;
      }),
    ]);
    const abort = new AbortController();
    const code = codeOfFailure(client.unary(ask, note(1), { ...soon, signal: abort.signal }));
    await started.promise;
    abort.abort();
    expect(await code).toBe("CANCELLED");
    await aborted.promise;
    expect(await codeOfFailure(client.unary(ask, note(1), { ...soon, signal: abort.signal }))).toBe(
      "CANCELLED",
    );
  });

  it("refuses garbage with MESSAGE_INVALID and does not run the handler (P10)", async () => {
    let calls = 0;
    const client = await start([
      serveUnary(ask, (q) => {
        calls += 1;
        return Promise.resolve(q);
      }),
      serveStream(talk, async (stream) => {
        calls += (await drain(stream.incoming)).length;
      }),
    ]);
    const badAsk: Method<NoteValue, NoteValue, "unary"> = { ...ask, request: garbage };
    expect(await codeOfFailure(client.unary(badAsk, note(1), soon))).toBe("MESSAGE_INVALID");
    const stream = client.stream({ ...talk, kind: "duplex" as const, request: garbage });
    await stream.send(note(1));
    expect(await codeOfFailure(drain(stream.incoming))).toBe("MESSAGE_INVALID");
    expect(calls).toBe(0);
  });

  it("refuses a garbage answer with MESSAGE_INVALID (P10)", async () => {
    const client = await start([
      serveUnary({ ...ask, response: garbage }, (q) => Promise.resolve(q)),
    ]);
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("MESSAGE_INVALID");
  });

  it("refuses to send a message larger than 32 MiB, or one with a value that does not fit", async () => {
    const client = await start([echo]);
    const large = note(1, new Uint8Array(33 * 1024 * 1024));
    expect(await codeOfFailure(client.unary(ask, large, soon))).toBe("MESSAGE_INVALID");
    expect(await codeOfFailure(client.unary(ask, note(-1), soon))).toBe("MESSAGE_INVALID");
  });

  it("keeps the order of many messages both ways", async () => {
    const client = await start([
      serveStream(talk, async (stream) => {
        for await (const m of stream.incoming) await stream.send(note(m.number * 2, m.data));
      }),
    ]);
    const stream = client.stream(talk);
    const sending = (async () => {
      for (let i = 0; i < 2000; i++) await stream.send(note(i, new Uint8Array(i % 300)));
      stream.end();
    })();
    const numbers: number[] = [];
    for await (const m of stream.incoming) numbers.push(m.number);
    await sending;
    expect(numbers).toEqual(Array.from({ length: 2000 }, (_, i) => i * 2));
  });

  it("serves one answer to many requests and many answers to one", async () => {
    const client = await start([
      serveStream(upload, async (stream) => {
        let sum = 0;
        for await (const m of stream.incoming) sum += m.number;
        await stream.send(note(sum));
      }),
      serveStream(download, async (stream) => {
        for await (const m of stream.incoming)
          for (let i = 0; i < m.number; i++) await stream.send(note(i));
      }),
    ]);
    const up = client.stream(upload);
    for (let i = 1; i <= 100; i++) await up.send(note(i));
    up.end();
    expect((await drain(up.incoming)).map((m) => m.number)).toEqual([5050]);
    const down = client.stream(download);
    await down.send(note(100));
    down.end();
    expect(await drain(down.incoming)).toHaveLength(100);
  });

  it("holds a sender back whose receiver does not read", async () => {
    const release = signalled();
    const client = await start([
      echo,
      serveStream(upload, async (stream) => {
        await release.promise;
        await stream.send(note((await drain(stream.incoming)).length));
      }),
    ]);
    const total = 160;
    const stream = client.stream(upload);
    let sent = 0;
    const sending = (async () => {
      for (; sent < total; sent++) await stream.send(note(sent, new Uint8Array(1024 * 1024)));
      stream.end();
    })();
    // Stalled: no send got through during many round trips on the same connection.
    for (let quiet = 0, before = -1; quiet < 20; quiet = sent === before ? quiet + 1 : 0) {
      before = sent;
      await client.unary(ask, note(0), soon);
    }
    expect(sent).toBeLessThan(100);
    release.resolve();
    expect((await drain(stream.incoming))[0]?.number).toBe(total);
    await sending;
  });

  it("breaks both directions of a stream when its server closes, and aborts the handler", async () => {
    const aborted = signalled<string>();
    const ended = signalled<string>();
    const client = await start([
      serveStream(talk, async (stream, { signal }) => {
        signal.addEventListener("abort", () => {
          aborted.resolve("aborted");
        });
        await stream.send(note(1));
        try {
          await drain(stream.incoming);
          ended.resolve("good end");
        } catch {
          ended.resolve("broke");
        }
      }),
    ]);
    const stream = client.stream(talk);
    const incoming = stream.incoming[Symbol.asyncIterator]();
    await incoming.next();
    await servers.splice(0)[0]?.close();
    expect(await codeOfFailure(incoming.next())).toBe("PEER_UNREACHABLE");
    expect(await codeOfFailure(stream.send(note(2)))).toBe("PEER_UNREACHABLE");
    expect(await aborted.promise).toBe("aborted");
    expect(await ended.promise).toBe("broke");
  });

  it.each(["cancel", "close"] as const)(
    "tells the handler when its caller goes away by %s",
    async (way) => {
      const aborted = signalled();
      const seen = signalled<AntipodeError>();
      const sendFailure = signalled<AntipodeError>();
      const client = await start([
        serveStream(talk, async (stream, { signal }) => {
          signal.addEventListener("abort", () => {
            aborted.resolve();
          });
          seen.resolve(await failureOf(drain(stream.incoming)));
          sendFailure.resolve(await failureOf(stream.send(note(1))));
        }),
      ]);
      const stream = client.stream(talk);
      await stream.send(note(1));
      await client.unary(other, note(0), soon).catch(() => undefined);
      if (way === "cancel") stream.cancel();
      else client.close();
      await aborted.promise;
      expect((await seen.promise).code).toBe("CANCELLED");
      expect((await sendFailure.promise).code).toBe("CANCELLED");
      expect(await codeOfFailure(drain(stream.incoming))).toBe("CANCELLED");
      expect(await codeOfFailure(stream.send(note(2)))).toBe("CANCELLED");
    },
  );

  it("tells both ends of a stream and of a call that the connection broke", async () => {
    const [aborted, unaryAborted] = [signalled(), signalled()];
    const seen = signalled<AntipodeError>();
    const client = await start([
      serveUnary(ask, async (q, { signal }) => {
        signal.addEventListener("abort", () => {
          unaryAborted.resolve();
        });
        await unaryAborted.promise;
        return q;
      }),
      serveStream(talk, async (stream, { signal }) => {
        signal.addEventListener("abort", () => {
          aborted.resolve();
        });
        await stream.send(note(1));
        seen.resolve(await failureOf(drain(stream.incoming)));
      }),
    ]);
    const remote = world.rpc.connect(await world.fragile(client.address));
    const pending = codeOfFailure(remote.unary(ask, note(1), soon));
    const stream = remote.stream(talk);
    const incoming = stream.incoming[Symbol.asyncIterator]();
    await incoming.next();
    world.tear();
    expect(await codeOfFailure(incoming.next())).toBe("PEER_UNREACHABLE");
    expect(await codeOfFailure(stream.send(note(1)))).toBe("PEER_UNREACHABLE");
    expect(await pending).toBe("PEER_UNREACHABLE");
    await Promise.all([aborted.promise, unaryAborted.promise]);
    expect((await seen.promise).code).toBe("CANCELLED");
  });

  it("brings a stream handler's failure to the caller", async () => {
    const client = await start([
      serveStream(talk, async (stream) => {
        for await (const m of stream.incoming)
          if (m.number === 3) throw new AntipodeError("CHUNK_CORRUPT", "number 3", { number: 3 });
      }),
    ]);
    const stream = client.stream(talk);
    for (let i = 0; i < 4; i++) await stream.send(note(i));
    const error = await failureOf(drain(stream.incoming));
    expect([error.code, error.details]).toEqual(["CHUNK_CORRUPT", { number: 3 }]);
    expect(await codeOfFailure(stream.send(note(9)))).toBe("CHUNK_CORRUPT");
  });

  it("refuses to send on a stream that the other side has ended well", async () => {
    const client = await start([
      serveStream(talk, async (stream) => {
        await stream.send(note(7));
      }),
    ]);
    const stream = client.stream(talk);
    expect((await drain(stream.incoming)).map((m) => m.number)).toEqual([7]);
    expect(await codeOfFailure(stream.send(note(1)))).toBe("CANCELLED");
  });

  it("lets a server break a stream", async () => {
    const client = await start([
      serveStream(talk, (stream) => {
        stream.cancel();
        return Promise.resolve();
      }),
    ]);
    expect(await codeOfFailure(drain(client.stream(talk).incoming))).toBe("CANCELLED");
  });

  it("names the holder of a port in use (P10)", async () => {
    const { address } = await start([echo]);
    const error = await failureOf(world.serverRpc.serve(address, []));
    expect([error.code, error.details["port"]]).toEqual(["PORT_IN_USE", address.port]);
    expect(error.details["holder"]).toBeTypeOf("string");
  });

  it("reaches a server that came back at the same address", async () => {
    const client = await start([echo]);
    await client.unary(ask, note(1), soon);
    await servers.splice(0)[0]?.close();
    expect(await codeOfFailure(client.unary(ask, note(2), soon))).toBe("PEER_UNREACHABLE");
    await serve([echo], client.address.port);
    expect((await retried(world, client.address)).number).toBe(3);
  });

  it("keeps one client an address until it is closed", async () => {
    const client = await start([echo]);
    expect(world.rpc.connect(client.address)).toBe(client);
    client.close();
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("CANCELLED");
    const again = world.rpc.connect(client.address);
    expect((await again.unary(ask, note(5), soon)).number).toBe(5);
  });
});

async function drain<T>(incoming: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of incoming) all.push(item);
  return all;
}

/** Asks until it is answered, as callers do: the transport tries again every half second. */
async function retried(world: World, address: Address): Promise<NoteValue> {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      return await world.rpc.connect(address).unary(ask, note(3), soon);
    } catch (error) {
      if (!(error instanceof AntipodeError) || error.code !== "PEER_UNREACHABLE") throw error;
      await world.pass(50);
    }
  }
  throw new Error("the server was not reached again");
}

describe("rpc: gRPC's windows", () => {
  const FRAME_BYTES = 256 * 1024;

  it("lets a stream be 16 MiB ahead of its reader, so that 100 ms of latency do not bound it", async () => {
    const server = createRpc();
    const caller = createRpc();
    const release = signalled();
    const listening = await server.serve({ host: "127.0.0.1", port: 0 }, [
      echo,
      serveStream(upload, async () => {
        await release.promise;
      }),
    ]);
    const client = caller.connect(listening.address);
    const stream = client.stream(upload);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 1000; sent++) await stream.send(note(sent, new Uint8Array(FRAME_BYTES)));
    })();
    for (let quiet = 0, before = -1; quiet < 20; quiet = sent === before ? quiet + 1 : 0) {
      before = sent;
      await client.unary(ask, note(0), soon);
    }
    expect(sent * FRAME_BYTES).toBeGreaterThan(16 * 1024 * 1024);
    release.resolve();
    expect(await codeOfFailure(sending)).toBe("CANCELLED");
    caller.close();
    await listening.close();
  });
});
