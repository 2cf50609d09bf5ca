/** The contract of platform/rpc.ts for calls, errors and addresses, against the fake and gRPC. */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../services/base/errors.ts";
import type { Method } from "../../services/base/wire.ts";
import type { Address } from "../../services/platform/net.ts";
import { RpcStatusError, serveStream, serveUnary } from "../../services/platform/rpc.ts";
import { codeOfFailure, failureOf } from "../support/outcome.ts";
import {
  ask,
  drain,
  echo,
  garbage,
  type NoteValue,
  note,
  other,
  Rig,
  rpcWorlds,
  signalled,
  soon,
  talk,
  type World,
} from "../support/rpcWorlds.ts";

describe.each(rpcWorlds)("rpc: %s", (_name, makeWorld) => {
  const rig = new Rig(makeWorld);

  it("carries a unary request and its answer unchanged", async () => {
    const client = await rig.start([
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
    const client = await rig.start([
      serveUnary(ask, (q) => {
        seen = q.data;
        return Promise.resolve(q);
      }),
    ]);
    const answer = await client.unary(ask, note(1, new Uint8Array(10)), soon);
    expect([seen?.constructor, answer.data.constructor]).toEqual([Uint8Array, Uint8Array]);
  });

  it("brings a handler's AntipodeError to the caller with code, message and details", async () => {
    const client = await rig.start([
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
    const client = await rig.start([serveUnary(ask, () => Promise.reject(new TypeError("boom")))]);
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("INTERNAL");
    expect(rig.world.log.of("rpc.handlerFailed")[0]?.fields["err"]).toBeInstanceOf(TypeError);
  });

  it("shows the exact status of a foreign server in the details", async () => {
    const client = await rig.start([
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
    const server = (await rig.start([echo])).address;
    await rig.closeServer();
    const client = rig.world.rpc.connect(server);
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("PEER_UNREACHABLE");
    const stream = client.stream(talk);
    expect(await codeOfFailure(drain(stream.incoming))).toBe("PEER_UNREACHABLE");
  });

  it("says UNIMPLEMENTED for a method that is not bound", async () => {
    const client = await rig.start([echo]);
    expect(await codeOfFailure(client.unary(other, note(1), soon))).toBe("UNIMPLEMENTED");
    expect(await codeOfFailure(drain(client.stream(talk).incoming))).toBe("UNIMPLEMENTED");
  });

  it("fails a call at its deadline and aborts its handler", async () => {
    const aborted = signalled();
    const client = await rig.start([
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
    await rig.world.pass(60);
    expect(await code).toBe("DEADLINE_EXCEEDED");
    await aborted.promise;
  });

  it("fails a call that its caller cancels and aborts its handler", async () => {
    const [started, aborted] = [signalled(), signalled()];
    const client = await rig.start([
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
    const client = await rig.start([
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
    const client = await rig.start([
      serveUnary({ ...ask, response: garbage }, (q) => Promise.resolve(q)),
    ]);
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("MESSAGE_INVALID");
  });

  it("refuses to send a message larger than 32 MiB, or one with a value that does not fit", async () => {
    const client = await rig.start([echo]);
    const large = note(1, new Uint8Array(33 * 1024 * 1024));
    expect(await codeOfFailure(client.unary(ask, large, soon))).toBe("MESSAGE_INVALID");
    expect(await codeOfFailure(client.unary(ask, note(-1), soon))).toBe("MESSAGE_INVALID");
  });

  it("names the holder of a port in use (P10)", async () => {
    const { address } = await rig.start([echo]);
    const error = await failureOf(rig.world.serverRpc.serve(address, []));
    expect([error.code, error.details["port"]]).toEqual(["PORT_IN_USE", address.port]);
    expect(error.details["holder"]).toBeTypeOf("string");
  });

  it("reaches a server that came back at the same address", async () => {
    const client = await rig.start([echo]);
    await client.unary(ask, note(1), soon);
    await rig.closeServer();
    expect(await codeOfFailure(client.unary(ask, note(2), soon))).toBe("PEER_UNREACHABLE");
    await rig.serve([echo], client.address.port);
    expect((await retried(rig.world, client.address)).number).toBe(3);
  });

  it("keeps one client an address until it is closed", async () => {
    const client = await rig.start([echo]);
    expect(rig.world.rpc.connect(client.address)).toBe(client);
    client.close();
    expect(await codeOfFailure(client.unary(ask, note(1), soon))).toBe("CANCELLED");
    const again = rig.world.rpc.connect(client.address);
    expect((await again.unary(ask, note(5), soon)).number).toBe(5);
  });
});

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
