/**
 * Calls and connections as one process sees them: what comes in waits while the process is paused,
 * nothing comes in or goes out after its death.
 */

import { InvariantViolation } from "../../../services/base/assert.ts";
import type { Method } from "../../../services/base/wire.ts";
import type { Connection, Net } from "../../../services/platform/net.ts";
import type {
  Binding,
  CallContext,
  Rpc,
  RpcClient,
  RpcStream,
} from "../../../services/platform/rpc.ts";
import type { Life } from "./life.ts";
import type { StreamTap, TappedCall } from "./tap.ts";

/** An exception of these ends the process that threw it. */
const isBug = (error: unknown): boolean => error instanceof InvariantViolation;

/** Calls as the process makes and serves them. */
export function mortalRpc(real: Rpc, life: Life): Rpc {
  return {
    connect: (address) => mortalClient(real.connect(address), life),
    serve: (address, bindings) =>
      life.pass("rpc.serve", `${address.host}:${address.port}`, () =>
        real.serve(
          address,
          bindings.map((binding) => mortalBinding(binding, life)),
        ),
      ),
    close: () => {
      if (!life.isDead) real.close();
    },
  };
}

function mortalClient(real: RpcClient, life: Life): RpcClient {
  const where = real.address.host;
  return {
    address: real.address,
    unary: (method, request, options) =>
      life.pass("rpc.call", `${where}${method.path}`, () => real.unary(method, request, options)),
    stream<Q, A>(method: Method<Q, A, "duplex" | "clientStream" | "serverStream">) {
      const tap = life.tap?.opens({ process: life.name, peer: where, path: method.path });
      return mortalStream(real.stream(method), `${where}${method.path}`, life, tap);
    },
    close: () => {
      if (!life.isDead) real.close();
    },
  };
}

function mortalBinding(binding: Binding, life: Life): Binding {
  const { path } = binding.method;
  const serve = `serve ${path}`;
  if (binding.kind === "unary") {
    const unary: typeof binding = {
      ...binding,
      handle: (request, context) =>
        life.work(serve, isBug, () => {
          const told = life.tap?.takes(callOf(life, path, context), request);
          const work = binding.handle(request, context);
          return told === undefined ? work : seenBy(told, work);
        }),
    };
    return unary;
  }
  const streaming: typeof binding = {
    ...binding,
    handle: (stream, context) =>
      life.work(serve, isBug, () =>
        binding.handle(
          mortalStream(stream, path, life, life.tap?.serves(callOf(life, path, context))),
          context,
        ),
      ),
  };
  return streaming;
}

async function seenBy<T>(see: (answer: T) => void, work: Promise<T>): Promise<T> {
  const answer = await work;
  see(answer);
  return answer;
}

function callOf(life: Life, path: string, { peer }: CallContext): TappedCall {
  return { process: life.name, peer: peer.slice(0, peer.lastIndexOf(":")), path };
}

function mortalStream<Out, In>(
  real: RpcStream<Out, In>,
  where: string,
  life: Life,
  tap: StreamTap | undefined,
): RpcStream<Out, In> {
  const see = (next: IteratorResult<In, unknown>): IteratorResult<In, unknown> => {
    if (next.done !== true) tap?.received(next.value);
    return next;
  };
  const receive = (): AsyncIterator<In, unknown> => {
    const source = real.incoming[Symbol.asyncIterator]();
    const pull = (): Promise<IteratorResult<In, unknown>> => source.next();
    return {
      next() {
        const next = life.pass("rpc.receive", where, pull);
        return tap === undefined ? next : next.then(see);
      },
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  };
  return {
    send: (message) =>
      life.pass("rpc.send", where, () => {
        tap?.sent(message);
        return real.send(message);
      }),
    incoming: { [Symbol.asyncIterator]: receive },
    end: () => {
      if (!life.isDead) real.end();
    },
    cancel: () => {
      if (!life.isDead) real.cancel();
    },
  };
}

/** TCP as the process sees it. */
export function mortalNet(real: Net, life: Life): Net {
  return {
    listen: (address, onConnection) =>
      life.pass("net.listen", `${address.host}:${address.port}`, () =>
        real.listen(address, (connection) => {
          life.enter("net.accept", () => {
            onConnection(mortalConnection(connection, life));
          });
        }),
      ),
    connect: (address, timeoutMs) =>
      life.pass("net.connect", `${address.host}:${address.port}`, async () =>
        mortalConnection(await real.connect(address, timeoutMs), life),
      ),
  };
}

function mortalConnection(real: Connection, life: Life): Connection {
  const ifAlive = (act: () => void): void => {
    if (!life.isDead) act();
  };
  return {
    remote: real.remote,
    onData: (handler) => {
      real.onData((chunk) => {
        life.enter("net.data", () => {
          handler(chunk);
        });
      });
    },
    onEnd: (handler) => {
      real.onEnd(() => {
        life.enter("net.end", handler);
      });
    },
    onClose: (handler) => {
      real.onClose((error) => {
        life.enter("net.close", () => {
          handler(error);
        });
      });
    },
    onDrain: (handler) => {
      real.onDrain(() => {
        life.enter("net.drain", handler);
      });
    },
    write: (parts) => !life.isDead && real.write(parts),
    pause: () => {
      ifAlive(() => {
        real.pause();
      });
    },
    resume: () => {
      ifAlive(() => {
        real.resume();
      });
    },
    end: () => {
      ifAlive(() => {
        real.end();
      });
    },
    destroy: (reset) => {
      ifAlive(() => {
        real.destroy(reset);
      });
    },
  };
}
