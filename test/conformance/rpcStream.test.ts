/** The contract of platform/rpc.ts for streams: order, backpressure, ends and breaks. */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../services/base/errors.ts";
import { createRpc } from "../../services/platform/adapters/rpc.ts";
import { serveStream, serveUnary } from "../../services/platform/rpc.ts";
import { codeOfFailure, failureOf } from "../support/outcome.ts";
import {
  ask,
  download,
  drain,
  echo,
  note,
  other,
  Rig,
  rpcWorlds,
  signalled,
  soon,
  talk,
  upload,
} from "../support/rpcWorlds.ts";

describe.each(rpcWorlds)("rpc: %s", (_name, makeWorld) => {
  const rig = new Rig(makeWorld);

  it("keeps the order of many messages both ways", async () => {
    const client = await rig.start([
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
    const client = await rig.start([
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
    const client = await rig.start([
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
    const client = await rig.start([
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
    await rig.closeServer();
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
      const client = await rig.start([
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
    const client = await rig.start([
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
    const remote = rig.world.rpc.connect(await rig.world.fragile(client.address));
    const pending = codeOfFailure(remote.unary(ask, note(1), soon));
    const stream = remote.stream(talk);
    const incoming = stream.incoming[Symbol.asyncIterator]();
    await incoming.next();
    rig.world.tear();
    expect(await codeOfFailure(incoming.next())).toBe("PEER_UNREACHABLE");
    expect(await codeOfFailure(stream.send(note(1)))).toBe("PEER_UNREACHABLE");
    expect(await pending).toBe("PEER_UNREACHABLE");
    await Promise.all([aborted.promise, unaryAborted.promise]);
    expect((await seen.promise).code).toBe("CANCELLED");
  });

  it("brings a stream handler's failure to the caller", async () => {
    const client = await rig.start([
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
    const client = await rig.start([
      serveStream(talk, async (stream) => {
        await stream.send(note(7));
      }),
    ]);
    const stream = client.stream(talk);
    expect((await drain(stream.incoming)).map((m) => m.number)).toEqual([7]);
    expect(await codeOfFailure(stream.send(note(1)))).toBe("CANCELLED");
  });

  it("lets a server break a stream", async () => {
    const client = await rig.start([
      serveStream(talk, (stream) => {
        stream.cancel();
        return Promise.resolve();
      }),
    ]);
    expect(await codeOfFailure(drain(client.stream(talk).incoming))).toBe("CANCELLED");
  });
});

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
