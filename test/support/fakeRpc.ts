/**
 * Typed calls over the fake network. Every message is encoded and decoded by its codec, errors cross
 * as code, message and details, and both ends have the bounded buffers of the real transport.
 */

import { AntipodeError, grpcStatus, messageOf } from "../../services/base/errors.ts";
import type { Method } from "../../services/base/wire.ts";
import { decodeMessage, encodeMessage } from "../../services/platform/adapters/rpcStream.ts";
import type { Address } from "../../services/platform/net.ts";
import type {
  CallContext,
  CallOptions,
  Rpc,
  RpcClient,
  RpcStream,
} from "../../services/platform/rpc.ts";
import { errorOfStatus } from "../../services/platform/rpcStatus.ts";
import type { Fabric, Tearable } from "./fakeFabric.ts";
import {
  contextOf,
  errorAcross,
  FakeRpcServer,
  LateAbort,
  type Route,
  serverAt,
} from "./fakeRpcRoute.ts";
import { openFakeStream } from "./fakeRpcStream.ts";

/** The rpc port of one host. */
export function createFakeRpc(fabric: Fabric, host: string): Rpc {
  const clients = new Map<string, RpcClient>();
  return {
    connect(address) {
      const key = `${address.host}:${address.port}`;
      const known = clients.get(key);
      if (known !== undefined) return known;
      const client = createClient(fabric, host, address, () => clients.delete(key));
      clients.set(key, client);
      return client;
    },
    async serve(address, bindings) {
      await Promise.resolve();
      const server = new FakeRpcServer(address.host, bindings);
      const bound = fabric.bind(address, server);
      const key = `${bound.host}:${bound.port}`;
      return {
        address: bound,
        async close() {
          if (fabric.listeners.get(key) === server) fabric.listeners.delete(key);
          const reason = new AntipodeError("PEER_UNREACHABLE", `${key}: the server is closing`);
          for (const item of [...fabric.open])
            if ("server" in item && item.server === server) item.tear(reason);
          await Promise.resolve();
        },
      };
    },
    close() {
      for (const client of [...clients.values()]) client.close();
    },
  };
}

function createClient(
  fabric: Fabric,
  from: string,
  address: Address,
  onClose: () => void,
): RpcClient {
  const target = `${address.host}:${address.port}`;
  const cancels = new Set<(reason: AntipodeError) => void>();
  let closed = false;
  const checkOpen = (path: string): void => {
    if (closed) throw new AntipodeError("CANCELLED", `${target}${path}: the client is closed`);
  };
  return {
    address,
    async unary(method, request, options) {
      checkOpen(method.path);
      return callUnary({ fabric, from, address, cancels }, method, request, options);
    },
    stream<Q, A>(
      method: Method<Q, A, "duplex" | "clientStream" | "serverStream">,
    ): RpcStream<Q, A> {
      checkOpen(method.path);
      return openFakeStream({ fabric, from, address, cancels }, method);
    },
    close() {
      closed = true;
      for (const cancel of [...cancels])
        cancel(new AntipodeError("CANCELLED", `${target}: the client is closed`));
      onClose();
    },
  };
}

function callUnary<Q, A>(
  route: Route,
  method: Method<Q, A, "unary">,
  request: Q,
  options: CallOptions,
): Promise<A> {
  const { fabric, from, address } = route;
  const where = `${address.host}:${address.port}${method.path}`;
  const bytes = encodeMessage(method.request, request);
  return new Promise<A>((resolve, reject) => {
    const abort = new LateAbort();
    let settled = false;
    const finish = (act: () => void): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      route.cancels.delete(cancel);
      fabric.open.delete(call);
      options.signal?.removeEventListener("abort", onAbort);
      act();
    };
    const fail = (error: Error): void => {
      finish(() => {
        reject(error);
      });
    };
    const cancel = (reason: AntipodeError): void => {
      fail(reason);
      abort.abort(reason);
    };
    const onAbort = (): void => {
      cancel(
        new AntipodeError(
          "CANCELLED",
          `${where}: the call was cancelled here`,
          {},
          options.signal?.reason,
        ),
      );
    };
    const call: Tearable & { server?: FakeRpcServer } = {
      hosts: [from, address.host],
      tear: cancel,
    };
    const timer = fabric.clock.after(options.deadlineMs, () => {
      cancel(errorOfStatus(grpcStatus.deadlineExceeded, "Deadline exceeded", where));
    });
    if (options.signal?.aborted) {
      onAbort();
      return;
    }
    options.signal?.addEventListener("abort", onAbort, { once: true });
    route.cancels.add(cancel);
    fabric.open.add(call);

    const there = fabric.pipe(from, address.host);
    const back = fabric.pipe(address.host, from);
    there.send(() => {
      const server = serverAt(route, where);
      if (server instanceof AntipodeError) {
        fail(server);
        return;
      }
      call.server = server;
      void answer(server, method.path, bytes, contextOf(from, abort), fabric).then((reply) => {
        if (fabric.losesReply(method.path))
          fail(
            errorOfStatus(
              grpcStatus.unavailable,
              "the connection dropped before the answer",
              where,
            ),
          );
        else
          back.send(
            () => {
              finish(() => {
                try {
                  if (reply.kind === "failed") reject(reply.error(where));
                  else resolve(decodeMessage(method.response, reply.bytes));
                } catch (error) {
                  reject(error instanceof Error ? error : new Error(messageOf(error)));
                }
              });
            },
            reply.kind === "ok" ? reply.bytes.length : 0,
          );
      });
    }, bytes.length);
  });
}

type Reply =
  | { readonly kind: "ok"; readonly bytes: Uint8Array }
  | { readonly kind: "failed"; readonly error: (where: string) => AntipodeError };

async function answer(
  server: FakeRpcServer,
  path: string,
  bytes: Uint8Array,
  context: CallContext,
  fabric: Fabric,
): Promise<Reply> {
  const binding = server.bindings.get(path);
  if (binding === undefined || binding.kind !== "unary")
    return {
      kind: "failed",
      error: (where) =>
        errorOfStatus(
          grpcStatus.unimplemented,
          `The server does not implement the method ${path}`,
          where,
        ),
    };
  try {
    const result = await binding.handle(decodeMessage(binding.method.request, bytes), context);
    return { kind: "ok", bytes: encodeMessage(binding.method.response, result) };
  } catch (error) {
    return { kind: "failed", error: errorAcross(error, path, fabric) };
  }
}
