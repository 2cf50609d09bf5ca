/** The way of a fake call: from which host to which server, and how errors cross it. */

import { assert, InvariantViolation } from "../../services/base/assert.ts";
import { AntipodeError, grpcStatus, messageOf } from "../../services/base/errors.ts";
import { WireError } from "../../services/base/wire.ts";
import type { Address } from "../../services/platform/net.ts";
import { type Binding, type CallContext, RpcStatusError } from "../../services/platform/rpc.ts";
import { errorOfStatus } from "../../services/platform/rpcStatus.ts";
import type { Fabric } from "./fakeFabric.ts";

/** What listens on a port for calls. */
export class FakeRpcServer {
  readonly host: string;
  readonly bindings: ReadonlyMap<string, Binding>;

  constructor(host: string, bindings: readonly Binding[]) {
    this.host = host;
    this.bindings = new Map(bindings.map((binding) => [binding.method.path, binding]));
    assert(this.bindings.size === bindings.length, "a path is bound once");
  }
}

/** From where a call goes to where. */
export interface Route {
  readonly fabric: Fabric;
  readonly from: string;
  readonly address: Address;
  readonly cancels: Set<(reason: AntipodeError) => void>;
}

/** The server at the route's end, or the error of one that is not there. */
export function serverAt(route: Route, where: string): FakeRpcServer | AntipodeError {
  const listener = route.fabric.listeners.get(`${route.address.host}:${route.address.port}`);
  if (listener instanceof FakeRpcServer) return listener;
  return errorOfStatus(grpcStatus.unavailable, "nobody listens there", where);
}

/** What a caller gets of whatever a handler threw; an error that is not ours is logged. */
export function errorAcross(
  error: unknown,
  path: string,
  fabric: Fabric,
): (where: string) => AntipodeError {
  if (error instanceof RpcStatusError)
    return (where) => errorOfStatus(error.statusCode, error.message, where);
  if (error instanceof AntipodeError)
    return () => new AntipodeError(error.code, error.message, { ...error.details });
  if (error instanceof WireError) return () => new AntipodeError("MESSAGE_INVALID", error.message);
  fabric.log?.error(
    { event: "rpc.handlerFailed", path, err: error },
    "a handler threw an unknown error",
  );
  if (error instanceof InvariantViolation)
    setImmediate(() => {
      throw error;
    });
  return () => new AntipodeError("INTERNAL", messageOf(error), { path });
}

/** An abort whose signal is made when somebody asks for it: most handlers never do. */
export class LateAbort {
  #controller: AbortController | undefined;
  #reason: AntipodeError | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: AntipodeError): void {
    this.#reason ??= reason;
    this.#controller?.abort(reason);
  }
}

/** What a handler is told of its call. */
export function contextOf(from: string, abort: LateAbort): CallContext {
  return {
    peer: `${from}:0`,
    get signal() {
      return abort.signal;
    },
  };
}
