/** The caller's side of gRPC: one channel to one address, which connects when it is first used. */

import {
  Client,
  type ClientDuplexStream,
  credentials,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { Method } from "../../base/wire.ts";
import type { Address } from "../net.ts";
import type { CallOptions, RpcClient, RpcStream } from "../rpc.ts";
import { errorOfAnswer } from "./rpcErrors.ts";
import { clientOptions } from "./rpcOptions.ts";
import { decodeMessage, encodeMessage, StreamFate, streamOver } from "./rpcStream.ts";

type StreamMethod<Q, A> = Method<Q, A, "duplex" | "clientStream" | "serverStream">;
type Cancel = (reason: AntipodeError) => void;

const same = (bytes: Buffer): Buffer => bytes;

/** @param onClose called once when the client is closed */
export function createRpcClient(address: Address, onClose: () => void): RpcClient {
  const target = `${address.host}:${address.port}`;
  const client = new Client(target, credentials.createInsecure(), clientOptions);
  const underWay = new Set<Cancel>();
  let closed = false;

  const closedError = (path: string): AntipodeError =>
    new AntipodeError("CANCELLED", `${target}${path}: the client is closed`, { where: target });
  return {
    address,
    async unary(method, request, options) {
      if (closed) throw closedError(method.path);
      return callUnary({ client, target, underWay }, method, request, options);
    },
    stream(method) {
      if (closed) throw closedError(method.path);
      return openStream({ client, target, underWay }, method);
    },
    close() {
      if (closed) return;
      closed = true;
      for (const cancel of [...underWay]) cancel(closedError(""));
      client.close();
      onClose();
    },
  };
}

interface Channel {
  readonly client: Client;
  readonly target: string;
  /** Calls that `close` must end. */
  readonly underWay: Set<Cancel>;
}

function callUnary<Q, A>(
  channel: Channel,
  method: Method<Q, A, "unary">,
  request: Q,
  options: CallOptions,
): Promise<A> {
  const where = `${channel.target}${method.path}`;
  const { signal } = options;
  const bytes = encodeMessage(method.request, request);
  return new Promise<A>((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelled(where, signal.reason));
      return;
    }
    let cancelReason: AntipodeError | undefined;
    const settle = (error: ServiceError | null, answer: Buffer | undefined): void => {
      channel.underWay.delete(cancel);
      signal?.removeEventListener("abort", onAbort);
      try {
        if (error !== null) throw cancelReason ?? errorOfAnswer(error, where);
        resolve(decodeMessage(method.response, answer ?? new Uint8Array(0)));
      } catch (failure) {
        reject(failure instanceof Error ? failure : new Error(messageOf(failure)));
      }
    };
    const deadline = Date.now() + options.deadlineMs;
    const call = channel.client.makeUnaryRequest(
      method.path,
      same,
      same,
      bytes,
      { deadline },
      settle,
    );
    const cancel: Cancel = (reason) => {
      cancelReason ??= reason;
      call.cancel();
    };
    const onAbort = (): void => {
      cancel(cancelled(where, signal?.reason));
    };
    channel.underWay.add(cancel);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Every kind of stream is the same on the wire, so that all are opened as duplex ones. */
function openStream<Q, A>(channel: Channel, method: StreamMethod<Q, A>): RpcStream<Q, A> {
  const where = `${channel.target}${method.path}`;
  const fate = new StreamFate();
  const call: ClientDuplexStream<Buffer, Buffer> = channel.client.makeBidiStreamRequest(
    method.path,
    same,
    same,
  );
  const cancel: Cancel = (reason) => {
    fate.break(reason);
    call.cancel();
  };
  channel.underWay.add(cancel);
  call.on("error", (error: Error) => {
    fate.break(errorOfStream(error, where));
  });
  call.on("status", (final) => {
    channel.underWay.delete(cancel);
    if (final.code === status.OK)
      fate.stopSending(
        new AntipodeError("CANCELLED", `${where}: the other side has ended the stream`, { where }),
      );
  });
  const cancelHere = (): void => {
    cancel(cancelled(where, undefined));
  };
  return streamOver({
    duplex: call,
    outgoing: method.request,
    incoming: method.response,
    fate,
    cancel: cancelHere,
    onUnreadable: cancelHere,
  });
}

/**
 * Node destroys a stream whose reader saw it fail, and that emits a second error, which has no
 * gRPC status.
 */
function errorOfStream(error: Error, where: string): AntipodeError {
  if ("metadata" in error) return errorOfAnswer(error as ServiceError, where);
  return new AntipodeError("PEER_UNREACHABLE", `${where}: ${error.message}`, { where }, error);
}

function cancelled(where: string, cause: unknown): AntipodeError {
  return new AntipodeError("CANCELLED", `${where}: the call was cancelled here`, { where }, cause);
}
