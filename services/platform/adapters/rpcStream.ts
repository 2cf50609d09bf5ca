/**
 * One end of an open gRPC stream as the port has it, the same code for both ends.
 *
 * Memory: `send` resolves when fewer than 16 messages wait in Node's stream (its high-water mark);
 * `incoming` takes a message from the transport only when at most 16 wait here. Beyond that HTTP/2's
 * flow control holds the other side.
 *
 * A break is recorded in `fate` before any waiter runs, so that an end of data that in truth was a
 * break is never taken for a good end.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { type WireCodec, WireError } from "../../base/wire.ts";
import type { RpcStream } from "../rpc.ts";
import { asBuffer, asBytes } from "./buffers.ts";
import { asAntipodeError } from "./rpcErrors.ts";
import { MESSAGE_BYTES_MAX } from "./rpcOptions.ts";

/** How a stream has ended so far. Written once by whoever hears of it first. */
export class StreamFate {
  /** Why nothing can be sent any more. */
  sendFailure: AntipodeError | undefined;
  /** Why what was received is not all; `undefined` also after a good end. */
  breakage: AntipodeError | undefined;
  readonly #waiters = new Set<() => void>();

  /** The stream broke in both directions. */
  break(error: AntipodeError): void {
    this.breakage ??= error;
    this.stopSending(error);
  }

  throwIfBroken(): void {
    if (this.breakage !== undefined) throw this.breakage;
  }

  /** The other side takes no more. */
  stopSending(error: AntipodeError): void {
    this.sendFailure ??= error;
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  onStopSending(wake: () => void): void {
    this.#waiters.add(wake);
  }

  offStopSending(wake: () => void): void {
    this.#waiters.delete(wake);
  }
}

/** What is used of Node's stream: bytes of one message are one chunk. */
export interface MessageDuplex {
  once(event: "drain", listener: () => void): unknown;
  off(event: "drain", listener: () => void): unknown;
  write(chunk: Buffer): boolean;
  end(): unknown;
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<Buffer>;
}

export interface StreamEnds<Out, In> {
  readonly duplex: MessageDuplex;
  readonly outgoing: WireCodec<Out>;
  readonly incoming: WireCodec<In>;
  readonly fate: StreamFate;
  readonly cancel: () => void;
  /** A message could not be read. The serving end leaves it to its handler to fail the call. */
  readonly onUnreadable: () => void;
}

/** The port's stream over one end of a gRPC call. */
export function streamOver<Out, In>(ends: StreamEnds<Out, In>): RpcStream<Out, In> {
  const { duplex, fate } = ends;
  let ended = false;
  let draining: Promise<void> | undefined;
  return {
    async send(message) {
      assert(!ended, "nothing is sent after the end");
      if (fate.sendFailure !== undefined) throw fate.sendFailure;
      if (!duplex.write(encodeMessage(ends.outgoing, message))) {
        draining ??= drained(duplex, fate).finally(() => {
          draining = undefined;
        });
        await draining;
      }
    },
    incoming: { [Symbol.asyncIterator]: () => receive(ends) },
    end() {
      ended = true;
      if (fate.sendFailure === undefined) duplex.end();
    },
    cancel: ends.cancel,
  };
}

/**
 * A message's bytes for the transport, which copies them once behind its own header.
 * @throws AntipodeError `MESSAGE_INVALID` when a value does not fit its field or the whole is too large
 */
export function encodeMessage<T>(codec: WireCodec<T>, message: T): Buffer {
  const bytes = translateWireErrors(codec.name, () => codec.encode(message));
  if (bytes.length > MESSAGE_BYTES_MAX)
    throw new AntipodeError(
      "MESSAGE_INVALID",
      `a ${codec.name} has ${bytes.length} bytes, more than ${MESSAGE_BYTES_MAX}`,
      {
        sizeBytes: bytes.length,
      },
    );
  return asBuffer(bytes);
}

/** @throws AntipodeError `MESSAGE_INVALID` */
export function decodeMessage<T>(codec: WireCodec<T>, bytes: Uint8Array): T {
  return translateWireErrors(codec.name, () => codec.decode(asBytes(bytes)));
}

function translateWireErrors<T>(name: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof WireError)
      throw new AntipodeError(
        "MESSAGE_INVALID",
        `no valid ${name}: ${error.message}`,
        { message: name },
        error,
      );
    throw error;
  }
}

function drained(duplex: MessageDuplex, fate: StreamFate): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      duplex.off("drain", settle);
      fate.offStopSending(settle);
      if (fate.sendFailure === undefined) resolve();
      else reject(fate.sendFailure);
    };
    duplex.once("drain", settle);
    fate.onStopSending(settle);
  });
}

async function* receive<Out, In>(ends: StreamEnds<Out, In>): AsyncGenerator<In, void, undefined> {
  ends.fate.throwIfBroken();
  try {
    for await (const chunk of ends.duplex.iterator({ destroyOnReturn: false }))
      yield decodeMessage(ends.incoming, chunk);
  } catch (error) {
    ends.fate.throwIfBroken();
    ends.onUnreadable();
    throw (
      asAntipodeError(error) ?? new AntipodeError("PEER_UNREACHABLE", "the stream broke", {}, error)
    );
  }
  // When a caller cancels or vanishes, Node's HTTP/2 stream tells its end first and its close, which
  // grpc-js turns into "cancelled", a few ticks later, but before the next turn of the event loop.
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
  ends.fate.throwIfBroken();
}
