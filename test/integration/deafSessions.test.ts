/**
 * HTTP/2 sessions that went deaf on a broken frame, on Node's own server: they are ended, whatever the
 * peer does, and the calls in them end, too. Nobody else is.
 */

import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endDeafSessions } from "../../services/platform/adapters/deafSessions.ts";
import { until } from "./labCli.ts";

const LOOK_EVERY_MS = 20;
const LIMIT_MS = 5_000;
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0]);
/** A HEADERS frame of stream 1 that is longer than any may be. */
const BROKEN_FRAME = new Uint8Array([0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 1, 1, 2, 3]);

describe("HTTP/2 sessions that went deaf", () => {
  let server: Http2Server;
  let port = 0;
  let sessions: ServerHttp2Session[] = [];
  const openCount = (): number => sessions.filter((session) => !session.destroyed).length;

  beforeEach(async () => {
    sessions = [];
    server = createServer();
    server.on("session", (session) => sessions.push(session));
    // Calls are taken and never answered.
    server.on("stream", (stream) => stream.on("error", () => undefined).resume());
    endDeafSessions(server, LOOK_EVERY_MS);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(async () => {
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each(["says goodbye", "goes silently", "resets", "stays"])(
    "P10: a peer that breaks the framing and then %s",
    async (how) => {
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      socket.on("error", () => undefined).resume();
      for (const part of [PREFACE, SETTINGS, BROKEN_FRAME]) socket.write(part);
      await until(() => sessions.length === 1, LIMIT_MS, "the server has the session");
      if (how === "says goodbye") socket.end();
      else if (how === "goes silently") socket.destroy();
      else if (how === "resets") socket.resetAndDestroy();
      await until(() => openCount() === 0, LIMIT_MS, "the session ends");
      socket.destroy();
    },
  );

  it("leaves a session alone that is idle, or whose peer has stopped to read", async () => {
    const idle: ClientHttp2Session = connectHttp2(`http://127.0.0.1:${port}`);
    const call = idle.request({ ":path": "/waits", ":method": "POST" });
    call.on("error", () => undefined);
    const stopped = connect({ host: "127.0.0.1", port });
    stopped.on("error", () => undefined).pause();
    for (const part of [PREFACE, SETTINGS]) stopped.write(part);
    await until(() => sessions.length === 2, LIMIT_MS, "the server has both sessions");
    // One at every second look: its answer is what the server sees at the other.
    let pings = 0;
    idle.on("ping", () => {
      pings += 1;
    });
    await until(() => pings >= 5, LIMIT_MS, "many looks");
    expect([openCount(), idle.closed, call.closed]).toEqual([2, false, false]);
    stopped.destroy();
    idle.destroy();
    await until(() => openCount() === 0, LIMIT_MS, "both sessions end");
  });
});
