/**
 * Port: typed calls between processes. Methods are declared in platform/wire; the adapter speaks
 * gRPC (adapters/rpc.ts). A failure arrives at the caller as the AntipodeError that the handler
 * threw, with its code and details; what the transport itself reports is `PEER_UNREACHABLE`,
 * `DEADLINE_EXCEEDED`, `CANCELLED` or `MESSAGE_INVALID`. A status without a code of ours, as from a
 * foreign server, has the details `grpcStatus` and `grpcMessage` (rpcStatus.ts).
 *
 * Delivery: a call whose answer did not arrive may have been carried out. Every request that changes
 * something is therefore idempotent or carries an epoch.
 */

import type { Method } from "../base/wire.ts";
import type { Address } from "./net.ts";

export interface CallOptions {
  /** The call fails with `DEADLINE_EXCEEDED` after this long. Required: no call waits for ever. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** Both directions of an open stream, seen from one end. */
export interface RpcStream<Outgoing, Incoming> {
  /**
   * Sends one message; resolves when the transport wants another, so awaiting it bounds memory.
   * @throws AntipodeError when the stream is broken
   */
  send(message: Outgoing): Promise<void>;
  /** What the other side sends, in order; ends when it is done, throws when the stream breaks. */
  readonly incoming: AsyncIterable<Incoming>;
  /** No more messages from here. */
  end(): void;
  /** Breaks the stream at once in both directions. */
  cancel(): void;
}

/** Calls to one other process over one connection, which is made when needed and made again. */
export interface RpcClient {
  readonly address: Address;
  unary<Q, A>(method: Method<Q, A, "unary">, request: Q, options: CallOptions): Promise<A>;
  /** A stream has no deadline of its own; its user watches for progress and cancels. */
  stream<Q, A>(method: Method<Q, A, "duplex" | "clientStream" | "serverStream">): RpcStream<Q, A>;
  close(): void;
}

export interface CallContext {
  /** Aborts when the caller cancelled or vanished. */
  readonly signal: AbortSignal;
  /** Address of the caller, for logs. */
  readonly peer: string;
}

/**
 * Thrown by a handler that must answer with an exact gRPC status and message, as a protocol of
 * somebody else demands (our server of etcd's API). The caller sees no antipode code.
 */
export class RpcStatusError extends Error {
  override readonly name = "RpcStatusError";
  /** gRPC status number, 1 to 16. */
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** A method together with what serves it. Make one with `serveUnary` or `serveStream`. */
export type Binding =
  | {
      readonly kind: "unary";
      readonly method: Method<unknown, unknown, "unary">;
      readonly handle: (request: unknown, context: CallContext) => Promise<unknown>;
    }
  | {
      readonly kind: "stream";
      readonly method: Method<unknown, unknown>;
      readonly handle: (stream: RpcStream<unknown, unknown>, context: CallContext) => Promise<void>;
    };

/** Serves a unary method. An AntipodeError thrown reaches the caller as it is. */
export function serveUnary<Q, A>(
  method: Method<Q, A, "unary">,
  handle: (request: Q, context: CallContext) => Promise<A>,
): Binding {
  return { kind: "unary", method, handle } as Binding;
}

/** Serves a streaming method; the stream ends well when the handler resolves. */
export function serveStream<Q, A>(
  method: Method<Q, A, "duplex" | "clientStream" | "serverStream">,
  handle: (stream: RpcStream<A, Q>, context: CallContext) => Promise<void>,
): Binding {
  return { kind: "stream", method, handle } as Binding;
}

export interface RpcServer {
  readonly address: Address;
  /**
   * Stops listening and ends open calls: streams have their signals aborted, unary calls get a short
   * grace to answer, then all connections are dropped. Ends within a bound.
   */
  close(): Promise<void>;
}

export interface Rpc {
  /** One client an address; ask again rather than keep many. */
  connect(address: Address): RpcClient;
  /**
   * Serves all bindings at an address.
   * @throws AntipodeError `PORT_IN_USE`
   */
  serve(address: Address, bindings: readonly Binding[]): Promise<RpcServer>;
  /** Closes every client made here. */
  close(): void;
}
