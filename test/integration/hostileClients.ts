/**
 * Clients that send garbage or vanish in the middle, against real servers, and what a process holds.
 * Every session ends by itself: a client that goes without a word drops its connection, one that says
 * goodbye waits for the server to close. What is sent follows from the seed.
 */

import { readdirSync, readFileSync } from "node:fs";
import { connect as connectHttp2, constants, type IncomingHttpHeaders } from "node:http2";
import { connect, type Socket } from "node:net";
import { concatBytes } from "../../services/base/bytes.ts";
import { encodeNbdOption, nbdCommand, nbdCommandFlag, nbdOption } from "../../services/base/nbd.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { Address } from "../../services/platform/net.ts";
import { CLIENT_FLAGS, goData, metaData, request } from "../support/nbdWorld.ts";

/** A server that does not close a connection after a goodbye within this keeps it. */
const SESSION_LIMIT_MS = 10_000;
const SESSIONS_AT_ONCE = 8;
const MIB = 1024 * 1024;

export interface ProcessFigures {
  readonly descriptors: number;
  readonly residentBytes: number;
}

/** Open files and sockets of a process and its memory, by /proc. */
export function figuresOf(pid: number): ProcessFigures {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    residentBytes: Number(kilobytes) * 1024,
  };
}

/** Runs `count` sessions, some at a time. */
export async function inParallel(
  count: number,
  session: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await session(next++);
  };
  await Promise.all(Array.from({ length: SESSIONS_AT_ONCE }, lane));
}

/** How a client goes. */
type Farewell = "goodbye" | "silence" | "reset";
const FAREWELLS: readonly Farewell[] = ["goodbye", "silence", "reset"];
const farewellOf = (prng: Prng): Farewell => FAREWELLS[prng.below(FAREWELLS.length)] ?? "reset";

/** Sends the parts without reading any answer it need not read, then goes. */
function sendAndGo(
  address: Address,
  parts: readonly Uint8Array[],
  farewell: Farewell,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...address, allowHalfOpen: true });
    socket.setTimeout(SESSION_LIMIT_MS, () => {
      socket.destroy(new Error(`${address.host}:${address.port} keeps a connection that ended`));
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // The server may drop a client that sends garbage, while it still sends.
      if (error.code === "ECONNRESET" || error.code === "EPIPE") resolve();
      else reject(error);
    });
    socket.on("close", () => {
      resolve();
    });
    // Whoever goes silently does not read either: the server has answers that nobody takes.
    if (farewell === "goodbye") socket.resume();
    socket.on("connect", () => {
      for (const part of parts) socket.write(part);
      go(socket, farewell);
    });
  });
}

function go(socket: Socket, farewell: Farewell): void {
  if (farewell === "goodbye") {
    socket.end();
    socket.on("end", () => socket.end());
    return;
  }
  // What was written has reached the server when this is called.
  socket.write(new Uint8Array(0), () => {
    if (farewell === "reset") socket.resetAndDestroy();
    else socket.destroy();
  });
}

/** A handshake that ends in an export. */
function handshake(name: string): Uint8Array {
  return concatBytes([
    CLIENT_FLAGS,
    encodeNbdOption(nbdOption.structuredReply, new Uint8Array(0)),
    encodeNbdOption(nbdOption.setMetaContext, metaData(name, "base:allocation")),
    encodeNbdOption(nbdOption.go, goData(name)),
  ]);
}

/**
 * What one hostile NBD client sends. Nothing of it may change the export: whole writes are all out of
 * range, and a write in range never comes to its end.
 */
function nbdSession(prng: Prng, name: string, sizeBytes: number): readonly Uint8Array[] {
  const noise = prng.fill(new Uint8Array(1 + prng.below(8000)));
  const write = (offset: number, length: number): Uint8Array =>
    request({ command: nbdCommand.write, flags: nbdCommandFlag.fua, offset, length });
  const read = (length: number): Uint8Array => request({ command: nbdCommand.read, length });
  switch (prng.below(9)) {
    case 0:
      return [];
    case 1:
      return [noise];
    case 2:
      return [handshake(name).subarray(0, 1 + prng.below(100))];
    case 3:
      return [handshake(["nope", "", "../x", "x".repeat(5000)][prng.below(4)] ?? ""), read(512)];
    case 4:
    case 5:
      return [
        handshake(name),
        write(0, sizeBytes),
        new Uint8Array(sizeBytes - 1 - prng.below(8000)).fill(7),
      ];
    case 6:
      return [handshake(name), ...Array.from({ length: 8 }, () => read(MIB))];
    case 7:
      return [
        handshake(name),
        write(sizeBytes - 512, 1024),
        new Uint8Array(1024),
        read(0xffff_ffff),
      ];
    default:
      return [handshake(name), noise];
  }
}

/** Hostile NBD clients at servers that serve the export. */
export function attackNbd(
  prng: Prng,
  target: {
    readonly servers: readonly Address[];
    readonly exportName: string;
    readonly sizeBytes: number;
    readonly sessions: number;
  },
): Promise<void> {
  return inParallel(target.sessions, (index) => {
    const server = target.servers[index % target.servers.length];
    if (server === undefined) throw new Error("no server to attack");
    const parts = nbdSession(prng, target.exportName, target.sizeBytes);
    return sendAndGo(server, parts, farewellOf(prng));
  });
}

const HTTP2_PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const HTTP2_SETTINGS = new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** What a client that does not speak gRPC sends to a gRPC server, and how it goes. */
function foreignSession(prng: Prng): { parts: readonly Uint8Array[]; farewell: Farewell } {
  const noise = prng.fill(new Uint8Array(1 + prng.below(8000)));
  const farewell = farewellOf(prng);
  // A session whose framing was broken is ended after seconds (deafSessions.ts): not waited for here.
  const impolite = farewell === "goodbye" ? "silence" : farewell;
  switch (prng.below(5)) {
    case 0:
      return { parts: [noise], farewell };
    case 1: {
      const text = "GET / HTTP/1.1\r\nHost: antipode\r\n\r\n";
      return { parts: [new TextEncoder().encode(text)], farewell };
    }
    case 2:
      return { parts: [HTTP2_PREFACE], farewell };
    case 3:
      return { parts: [HTTP2_PREFACE, HTTP2_SETTINGS, noise], farewell: impolite };
    default: {
      // A frame that announces more than it brings.
      const head = new Uint8Array([0, 64, 0, 0, 0, 0, 0, 0, 1]);
      return { parts: [HTTP2_PREFACE, HTTP2_SETTINGS, head, noise], farewell: impolite };
    }
  }
}

/** Clients of something else at gRPC servers. */
export function attackPorts(
  prng: Prng,
  servers: readonly Address[],
  sessions: number,
): Promise<void> {
  return inParallel(sessions, (index) => {
    const server = servers[index % servers.length];
    if (server === undefined) throw new Error("no server to attack");
    const { parts, farewell } = foreignSession(prng);
    return sendAndGo(server, parts, farewell);
  });
}

/** What a gRPC server said of a call: `undefined` where it said nothing. */
export interface Refusal {
  readonly grpcStatus: number | undefined;
  readonly code: string | undefined;
}

/** A body of a gRPC call that is no protobuf message of any kind: a tag of wire type 7, then noise. */
function noMessage(prng: Prng): Uint8Array {
  const body = prng.fill(new Uint8Array(1 + prng.below(200)));
  body[0] = 0x0f;
  return body;
}

function framed(body: Uint8Array, announcedBytes = body.length): Uint8Array {
  const frame = new Uint8Array(5 + body.length);
  new DataView(frame.buffer).setUint32(1, announcedBytes);
  frame.set(body, 5);
  return frame;
}

/**
 * Calls methods of one server over one connection, each with a body that is no message; or, to vanish,
 * announces a message, sends a part of it and drops the connection in the middle of all calls.
 * @returns the answers by path; none when it vanished
 */
export function callWithGarbage(
  prng: Prng,
  server: Address,
  paths: readonly string[],
  how: "whole" | "vanish",
): Promise<ReadonlyMap<string, Refusal>> {
  const session = connectHttp2(`http://${server.host}:${server.port}`);
  const answers = new Map<string, Refusal>();
  return new Promise((resolve, reject) => {
    session.setTimeout(SESSION_LIMIT_MS, () => {
      const silent = paths.filter((path) => !answers.has(path));
      session.destroy(new Error(`${server.host}:${server.port}: no answer to ${silent.join()}`));
    });
    session.on("error", reject);
    session.on("close", () => {
      resolve(answers);
    });
    const note = (path: string, headers: IncomingHttpHeaders): void => {
      const status = headers["grpc-status"];
      const code = headers["antipode-code"];
      if (status === undefined) return;
      answers.set(path, {
        grpcStatus: Number(status),
        code: typeof code === "string" ? code : undefined,
      });
      if (answers.size === paths.length) session.close();
    };
    let sent = 0;
    for (const path of paths) {
      const call = session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: path,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
        [constants.HTTP2_HEADER_TE]: "trailers",
      });
      call.on("error", how === "whole" ? reject : () => undefined);
      call.resume();
      const body = noMessage(prng);
      if (how === "whole") {
        call.on("response", (headers) => {
          note(path, headers);
        });
        call.on("trailers", (headers: IncomingHttpHeaders) => {
          note(path, headers);
        });
        call.end(framed(body));
      } else
        call.write(framed(body, body.length + 1 + prng.below(MIB)), () => {
          sent += 1;
          if (sent === paths.length) session.destroy();
        });
    }
  });
}
