/**
 * The serving side of gRPC. Bindings are registered by path; messages pass the library as bytes and
 * are decoded here, so that garbage is answered with `MESSAGE_INVALID` and not with the library's text.
 */

import type { Http2Server, ServerHttp2Session } from "node:http2";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { assert, InvariantViolation } from "../../base/assert.ts";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { Log } from "../log.ts";
import type { Address } from "../net.ts";
import type { Binding, RpcServer } from "../rpc.ts";
import { endDeafSessions } from "./deafSessions.ts";
import { listenError } from "./listenErrors.ts";
import { type Answer, answerOf } from "./rpcErrors.ts";
import {
  CLOSE_GRACE_MS,
  CONNECTION_WINDOW_BYTES,
  STREAM_WINDOW_BYTES,
  serverOptions,
} from "./rpcOptions.ts";
import { decodeMessage, encodeMessage, StreamFate, streamOver } from "./rpcStream.ts";

type StreamBinding = Extract<Binding, { kind: "stream" }>;
type UnaryBinding = Extract<Binding, { kind: "unary" }>;

const same = (bytes: Buffer): Buffer => bytes;

/** What all calls of one server share. */
interface Hall {
  readonly log: Log | undefined;
  /** Ends an open stream; called for each when the server closes. */
  readonly streams: Set<() => void>;
}

/** @throws AntipodeError `PORT_IN_USE` */
export async function createRpcServer(
  address: Address,
  bindings: readonly Binding[],
  log: Log | undefined,
): Promise<RpcServer> {
  const server = new Server(serverOptions);
  const hall: Hall = { log, streams: new Set() };
  for (const binding of bindings) register(server, binding, hall);
  const port = await bind(server, address);
  for (const http2 of http2ServersOf(server)) {
    widenWindows(http2);
    endDeafSessions(http2);
  }
  return { address: { host: address.host, port }, close: () => close(server, hall) };
}

function register(server: Server, binding: Binding, hall: Hall): void {
  const fresh =
    binding.kind === "unary"
      ? server.register(binding.method.path, unaryHandler(binding, hall), same, same, "unary")
      : server.register(binding.method.path, streamHandler(binding, hall), same, same, "bidi");
  assert(fresh, `${binding.method.path} is bound once`);
}

function bind(server: Server, address: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(
      `${address.host}:${address.port}`,
      ServerCredentials.createInsecure(),
      (error, port) => {
        if (error === null) resolve(port);
        // The library gives a text only; the system's name of the failure is a word of it.
        else
          void listenError(
            address,
            /\bE[A-Z]{3,}\b/.exec(error.message)?.[0] ?? error.message,
            error,
          ).then(reject);
      },
    );
  });
}

/** The HTTP/2 servers of a bound server, which the library keeps in a private field. */
function http2ServersOf(server: Server): readonly Http2Server[] {
  const inner: unknown = Reflect.get(server, "http2Servers");
  assert(inner instanceof Map && inner.size > 0, "grpc-js keeps its HTTP/2 servers in a map");
  return [...(inner as Map<Http2Server, unknown>).keys()];
}

/**
 * grpc-js 1.14 has an option for the client's windows and none for the server's, which would stay at
 * HTTP/2's 64 KiB and bound every upload over a long link. So the windows are set on each session; a
 * test measures that this works.
 */
function widenWindows(http2: Http2Server): void {
  http2.on("session", (session: ServerHttp2Session) => {
    session.settings({ initialWindowSize: STREAM_WINDOW_BYTES });
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  });
}

function unaryHandler(binding: UnaryBinding, hall: Hall) {
  const { method } = binding;
  return (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void => {
    const abort = new AbortController();
    let answered = false;
    call.on("cancelled", () => {
      if (!answered) abort.abort(callerGone(method.path));
    });
    const serve = async (): Promise<void> => {
      try {
        const request = decodeMessage(method.request, call.request);
        const answer = await binding.handle(request, {
          signal: abort.signal,
          peer: call.getPeer(),
        });
        respond(null, encodeMessage(method.response, answer));
      } catch (error) {
        respond(answerOf(error, method.path, hall.log));
        endOnBug(error);
      } finally {
        answered = true;
      }
    };
    void serve();
  };
}

function streamHandler(binding: StreamBinding, hall: Hall) {
  const { method } = binding;
  return (call: ServerDuplexStream<Buffer, Buffer>): void => {
    const abort = new AbortController();
    const fate = new StreamFate();
    let finished = false;
    const finish = (): void => {
      finished = true;
      hall.streams.delete(onServerClose);
    };
    /** Ends the call with a status; what waits in `incoming` wakes with the break. */
    const refuse = (answer: Answer, reason: AntipodeError): void => {
      if (finished) return;
      finish();
      fate.break(reason);
      abort.abort(reason);
      call.emit("error", answer);
    };
    const onServerClose = (): void => {
      refuse(closingAnswer(), new AntipodeError("CANCELLED", "the server is closing"));
    };
    hall.streams.add(onServerClose);
    call.on("cancelled", () => {
      if (finished) return;
      finish();
      fate.break(callerGone(method.path));
      abort.abort(fate.breakage);
    });
    const stream = streamOver({
      duplex: call,
      outgoing: method.response,
      incoming: method.request,
      fate,
      cancel: () => {
        const reason = new AntipodeError(
          "CANCELLED",
          `${method.path}: the server cancelled the stream`,
        );
        refuse(answerOf(reason, method.path, hall.log), reason);
      },
      onUnreadable: () => undefined,
    });
    const serve = async (): Promise<void> => {
      try {
        await binding.handle(stream, { signal: abort.signal, peer: call.getPeer() });
        if (finished) return;
        finish();
        call.end();
      } catch (error) {
        if (fate.breakage !== undefined)
          reportIfStrange(error, fate.breakage, method.path, hall.log);
        refuse(
          answerOf(error, method.path, finished ? undefined : hall.log),
          callerGone(method.path),
        );
        endOnBug(error);
      }
    };
    void serve();
  };
}

/** A handler of a broken stream usually fails with the break itself; anything else is told. */
function reportIfStrange(
  error: unknown,
  breakage: AntipodeError,
  path: string,
  log: Log | undefined,
): void {
  if (error === breakage || (error instanceof AntipodeError && error.code === breakage.code))
    return;
  log?.warn(
    { event: "rpc.handlerFailedAfterBreak", path, err: error },
    "a handler failed after its stream broke",
  );
}

/** A bug must end the process (base/assert.ts): it is thrown where nothing catches it. */
function endOnBug(error: unknown): void {
  if (error instanceof InvariantViolation)
    setImmediate(() => {
      throw error;
    });
}

/** A bare "unavailable", as from a server that is not there: callers try elsewhere or later. */
function closingAnswer(): Answer {
  return { code: status.UNAVAILABLE, details: "the server is closing", metadata: new Metadata() };
}

function callerGone(path: string): AntipodeError {
  return new AntipodeError("CANCELLED", `${path}: the caller went away`, { path });
}

async function close(server: Server, hall: Hall): Promise<void> {
  for (const endStream of [...hall.streams]) endStream();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, CLOSE_GRACE_MS);
    server.tryShutdown((error) => {
      clearTimeout(timer);
      if (error !== undefined) {
        hall.log?.warn(
          { event: "rpc.closeFailed", reason: messageOf(error) },
          "a server did not close in order",
        );
        server.forceShutdown();
      }
      resolve();
    });
  });
}
