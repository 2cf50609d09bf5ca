/** Streams over the fake network: two bounded directions, an end or a break for each side. */

import { assert } from "../../services/base/assert.ts";
import { AntipodeError, grpcStatus } from "../../services/base/errors.ts";
import type { Method, WireCodec } from "../../services/base/wire.ts";
import { decodeMessage, encodeMessage } from "../../services/platform/adapters/rpcStream.ts";
import type { RpcStream } from "../../services/platform/rpc.ts";
import { errorOfStatus } from "../../services/platform/rpcStatus.ts";
import type { Pipe, Tearable } from "./fakeFabric.ts";
import { FakeQueue } from "./fakeQueue.ts";
import {
  contextOf,
  errorAcross,
  type FakeRpcServer,
  LateAbort,
  type Route,
  serverAt,
} from "./fakeRpcRoute.ts";

/** Messages sent and not yet taken by the other side's reader before `send` waits. */
const UNTAKEN_MAX = 32;

/** One direction of a stream. */
class Direction {
  readonly queue = new FakeQueue<Uint8Array>(() => {
    this.#onTaken();
  });
  readonly #pipe: Pipe;
  readonly #waiting: (() => void)[] = [];
  #untaken = 0;
  /** Why nothing can be sent any more. */
  failure: AntipodeError | undefined;
  ended = false;

  constructor(pipe: Pipe) {
    this.#pipe = pipe;
  }

  /** One async function for all of it: this is passed more often than most. */
  async send<T>(codec: WireCodec<T>, message: T): Promise<void> {
    const bytes = encodeMessage(codec, message);
    assert(!this.ended, "nothing is sent after the end");
    this.#throwIfStopped();
    this.#untaken += 1;
    this.#pipe.send(() => {
      this.queue.push(bytes);
    }, bytes.length);
    while (this.#untaken >= UNTAKEN_MAX && !this.#isStopped())
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    this.#throwIfStopped();
  }

  /** Ends after what was sent; `then` runs when the other side has heard of it. */
  end(error: AntipodeError | undefined, then: () => void = () => undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.#pipe.send(() => {
      this.queue.end(error);
      then();
    });
  }

  stopSending(error: AntipodeError): void {
    this.failure ??= error;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #isStopped(): boolean {
    return this.failure !== undefined;
  }

  #throwIfStopped(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  #onTaken(): void {
    this.#untaken -= 1;
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Opens a stream to the route's end and starts its handler there. */
export function openFakeStream<Q, A>(
  route: Route,
  method: Method<Q, A, "duplex" | "clientStream" | "serverStream">,
): RpcStream<Q, A> {
  const { fabric, from, address } = route;
  const where = `${address.host}:${address.port}${method.path}`;
  const up = new Direction(fabric.pipe(from, address.host));
  const down = new Direction(fabric.pipe(address.host, from));
  const opening = fabric.pipe(from, address.host);
  const abort = new LateAbort();
  let over = false;

  const finish = (): void => {
    over = true;
    route.cancels.delete(breakBoth);
    fabric.open.delete(stream);
  };
  const breakBoth = (reason: AntipodeError): void => {
    if (over) return;
    finish();
    // The caller hears the reason; for the serving end it is always that its caller went away.
    const gone = new AntipodeError("CANCELLED", `${method.path}: the caller went away`);
    up.stopSending(reason);
    down.queue.end(reason);
    down.stopSending(gone);
    up.queue.end(gone);
    abort.abort(gone);
  };
  const stream: Tearable & { server?: FakeRpcServer } = {
    hosts: [from, address.host],
    tear: breakBoth,
  };
  fabric.open.add(stream);
  route.cancels.add(breakBoth);

  /** The handler is done: its caller hears it after all that was sent. */
  const endFromServer = (error: AntipodeError | undefined): void => {
    up.queue.end(new AntipodeError("CANCELLED", `${method.path}: the stream is over`));
    down.end(error, () => {
      if (over) return;
      finish();
      up.stopSending(
        error ?? new AntipodeError("CANCELLED", `${where}: the other side has ended the stream`),
      );
    });
  };
  opening.send(() => {
    const server = serverAt(route, where);
    if (server instanceof AntipodeError) {
      breakBoth(server);
      return;
    }
    stream.server = server;
    const binding = server.bindings.get(method.path);
    if (binding === undefined || binding.kind !== "stream") {
      endFromServer(
        errorOfStatus(
          grpcStatus.unimplemented,
          `The server does not implement the method ${method.path}`,
          where,
        ),
      );
      return;
    }
    const cancelByServer = (): void => {
      const reason = new AntipodeError(
        "CANCELLED",
        `${method.path}: the server cancelled the stream`,
      );
      down.stopSending(reason);
      endFromServer(reason);
      abort.abort(reason);
    };
    const there = endOver(
      down,
      up,
      binding.method.response,
      binding.method.request,
      cancelByServer,
      () => undefined,
    );
    const answering: typeof there = {
      ...there,
      send(message) {
        if (fabric.losesStreamReply(method.path))
          breakBoth(
            errorOfStatus(
              grpcStatus.unavailable,
              "the connection dropped before the answer",
              where,
            ),
          );
        return there.send(message);
      },
    };
    void binding.handle(answering, contextOf(from, abort)).then(
      () => {
        endFromServer(undefined);
      },
      (error: unknown) => {
        if (!over) endFromServer(errorAcross(error, method.path, fabric)(where));
      },
    );
  });
  const cancelHere = (): void => {
    breakBoth(new AntipodeError("CANCELLED", `${where}: the call was cancelled here`));
  };
  return endOver(up, down, method.request, method.response, cancelHere, cancelHere);
}

function endOver<Out, In>(
  out: Direction,
  into: Direction,
  outgoing: WireCodec<Out>,
  incoming: WireCodec<In>,
  cancel: () => void,
  onUnreadable: () => void,
): RpcStream<Out, In> {
  return {
    send: (message) => out.send(outgoing, message),
    incoming: { [Symbol.asyncIterator]: () => messagesOf(into.queue, incoming, onUnreadable) },
    end: () => {
      out.end(undefined);
    },
    cancel,
  };
}

/** What a stream brings, decoded; like an async generator, but for its promises. */
function messagesOf<In>(
  queue: FakeQueue<Uint8Array>,
  codec: WireCodec<In>,
  onUnreadable: () => void,
): AsyncIterator<In, undefined> {
  const over = { done: true, value: undefined } as const;
  let isOver = false;
  const take = (bytes: Uint8Array | undefined): IteratorResult<In, undefined> => {
    isOver = bytes === undefined;
    if (bytes === undefined) return over;
    try {
      return { done: false, value: decodeMessage(codec, bytes) };
    } catch (error) {
      isOver = true;
      onUnreadable();
      throw error;
    }
  };
  return {
    next: () => (isOver ? Promise.resolve(over) : queue.pull().then(take)),
    return() {
      isOver = true;
      return Promise.resolve(over);
    },
  };
}
