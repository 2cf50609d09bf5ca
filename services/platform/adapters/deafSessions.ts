/**
 * Ends HTTP/2 sessions that have gone deaf. When a peer breaks HTTP/2's framing (a frame that is too
 * long, say), nghttp2 sends GOAWAY and Node stops reading the socket for good: seen with Node 20.20. It
 * tells nobody, and never learns that the peer is gone, be it by FIN or by RST. Socket, session and calls
 * would stay until the process ends, so that garbage alone uses up all descriptors.
 *
 * Such a session takes a PING and never writes it: the frame stays in nghttp2's queue although the
 * socket has nothing left to write. A peer that is frozen or behind a cut link looks different: its PING
 * was written, or the socket is still writing. Those are not our business: users of calls watch for
 * progress (platform/rpc.ts).
 */

import type { Http2Server, ServerHttp2Session } from "node:http2";

/** Between two looks at a session; a deaf one is ended at the third, so within 6 s. */
const LOOK_EVERY_MS = 2000;

interface Watched {
  readonly socket: ServerHttp2Session["socket"];
  bytesRead: number;
  /** A PING was asked for at the look before, and no answer has come. */
  pinged: boolean;
}

/** Watches all sessions of a server until it closes. */
export function endDeafSessions(http2: Http2Server, lookEveryMs: number = LOOK_EVERY_MS): void {
  const sessions = new Map<ServerHttp2Session, Watched>();
  http2.on("session", (session: ServerHttp2Session) => {
    sessions.set(session, { socket: session.socket, bytesRead: -1, pinged: false });
    session.once("close", () => sessions.delete(session));
  });
  const timer = setInterval(() => {
    for (const [session, watched] of sessions) look(session, watched);
  }, lookEveryMs).unref();
  http2.once("close", () => {
    clearInterval(timer);
  });
}

function look(session: ServerHttp2Session, watched: Watched): void {
  if (session.destroyed) return;
  const { bytesRead } = watched.socket;
  if (bytesRead !== watched.bytesRead) {
    watched.bytesRead = bytesRead;
    watched.pinged = false;
    return;
  }
  if (watched.pinged) {
    if (hasFramesThatNeverLeave(session, watched)) session.destroy();
    return;
  }
  // The answer counts as bytes that were read; there is nothing else to learn from it.
  watched.pinged = session.ping(() => undefined);
}

/** Frames wait, and the socket is not what they wait for. */
function hasFramesThatNeverLeave(session: ServerHttp2Session, { socket }: Watched): boolean {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null) return false;
  return (session.state.outboundQueueSize ?? 0) > 0 && Reflect.get(handle, "writeQueueSize") === 0;
}
