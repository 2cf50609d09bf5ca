/**
 * TCP over node:net. Every connection is half-open capable and has TCP_NODELAY set: callers batch
 * for themselves. The parts of one `write` leave in one gathered system call.
 */

import {
  type AddressInfo,
  createServer,
  connect as dial,
  type Server,
  type Socket,
} from "node:net";
import { assert } from "../../base/assert.ts";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { Address, Connection, Listener, Net } from "../net.ts";
import { asBytes } from "./buffers.ts";
import { listenError } from "./listenErrors.ts";

/** Connections that wait to be accepted. */
const BACKLOG_MAX = 511;

/** The machine's TCP. */
export function createNet(): Net {
  return { listen, connect };
}

async function listen(
  address: Address,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    onConnection(connectionOver(socket));
  });
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      void listenError(address, error.code ?? error.message, error).then(reject);
    };
    server.once("error", onError);
    server.listen(
      { host: address.host, port: address.port, backlog: BACKLOG_MAX, exclusive: true },
      () => {
        server.off("error", onError);
        resolve();
      },
    );
  });
  return {
    address: { host: address.host, port: boundPort(server) },
    close: () => stopListening(server),
  };
}

function boundPort(server: Server): number {
  const bound = server.address();
  assert(bound !== null && typeof bound === "object", "a listening server has a port");
  return (bound satisfies AddressInfo).port;
}

/** The callback of `close` comes when all connections have ended, which is not waited for. */
function stopListening(server: Server): Promise<void> {
  server.close();
  return new Promise((resolve) => setImmediate(resolve));
}

function connect(address: Address, timeoutMs: number): Promise<Connection> {
  const where = `${address.host}:${address.port}`;
  return new Promise((resolve, reject) => {
    const socket = dial({
      host: address.host,
      port: address.port,
      noDelay: true,
      allowHalfOpen: true,
    });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        new AntipodeError("DEADLINE_EXCEEDED", `no connection to ${where} within ${timeoutMs} ms`, {
          where,
          timeoutMs,
        }),
      );
    }, timeoutMs);
    const onError = (error: Error): void => {
      clearTimeout(timer);
      reject(
        new AntipodeError(
          "PEER_UNREACHABLE",
          `cannot connect to ${where}: ${messageOf(error)}`,
          { where },
          error,
        ),
      );
    };
    socket.once("error", onError);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", onError);
      resolve(connectionOver(socket));
    });
  });
}

function connectionOver(socket: Socket): Connection {
  const remote = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
  let failure: Error | undefined;
  let closed = false;
  let onEnd = (): void => {
    connection.end();
  };
  let onClose: ((error: Error | undefined) => void) | undefined;
  socket.on("error", (error) => {
    failure ??= new AntipodeError(
      "PEER_UNREACHABLE",
      `the connection to ${remote} broke: ${messageOf(error)}`,
      { remote },
      error,
    );
  });
  socket.on("end", () => {
    onEnd();
  });
  socket.on("close", () => {
    closed = true;
    onClose?.(failure);
  });
  const connection: Connection = {
    remote,
    onData: (handler) => {
      socket.on("data", (chunk) => {
        handler(asBytes(chunk));
      });
    },
    onEnd: (handler) => {
      onEnd = handler;
    },
    onClose: (handler) => {
      if (closed)
        queueMicrotask(() => {
          handler(failure);
        });
      else onClose = handler;
    },
    onDrain: (handler) => {
      socket.on("drain", handler);
    },
    write: (parts) => writeParts(socket, parts),
    pause: () => {
      socket.pause();
    },
    resume: () => {
      socket.resume();
    },
    end: () => {
      socket.end();
    },
    destroy: (reset) => {
      if (reset === undefined) socket.destroy();
      else socket.resetAndDestroy();
    },
  };
  return connection;
}

/** Corked, so that all parts leave in one writev. A connection that is gone takes nothing. */
function writeParts(socket: Socket, parts: readonly Uint8Array[]): boolean {
  if (!socket.writable) return false;
  socket.cork();
  for (const part of parts) socket.write(part);
  socket.uncork();
  return !socket.writableNeedDrain;
}
