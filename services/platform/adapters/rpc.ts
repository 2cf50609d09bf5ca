/** Typed calls over gRPC (grpc-js): the adapter of platform/rpc.ts. */

import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import type { Log } from "../log.ts";
import type { Rpc, RpcClient } from "../rpc.ts";
import { createRpcClient } from "./rpcClient.ts";
import { createRpcServer } from "./rpcServer.ts";

export interface RpcOptions {
  /** Where handlers' unknown failures are told. */
  readonly log?: Log;
}

/** The machine's gRPC. */
export function createRpc(options: RpcOptions = {}): Rpc {
  // What the library would print on standard error, it also reports: as errors, which we type.
  setLogVerbosity(logVerbosity.NONE);
  const clients = new Map<string, RpcClient>();
  return {
    connect(address) {
      const key = `${address.host}:${address.port}`;
      const known = clients.get(key);
      if (known !== undefined) return known;
      const client = createRpcClient(address, () => clients.delete(key));
      clients.set(key, client);
      return client;
    },
    serve: (address, bindings) => createRpcServer(address, bindings, options.log),
    close() {
      for (const client of [...clients.values()]) client.close();
    },
  };
}
