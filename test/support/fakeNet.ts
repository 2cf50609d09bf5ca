/** TCP over the fake network: ordered bytes, backpressure, half-close, reset. */

import { concatBytes } from "../../services/base/bytes.ts";
import { AntipodeError } from "../../services/base/errors.ts";
import type { Address, Connection, Net } from "../../services/platform/net.ts";
import type { Fabric, Pipe, Tearable } from "./fakeFabric.ts";

/** Bytes sent and not yet handed to the reader before `write` says false; Node's is 16 KiB to 64 KiB. */
const UNREAD_BYTES_MAX = 64 * 1024;

class FakeListener {
  readonly onConnection: (connection: Connection) => void;

  constructor(onConnection: (connection: Connection) => void) {
    this.onConnection = onConnection;
  }
}

/** The TCP of one host. */
export function createFakeNet(fabric: Fabric, host: string): Net {
  return {
    async listen(address, onConnection) {
      await Promise.resolve();
      const listener = new FakeListener(onConnection);
      const bound = fabric.bind(address, listener);
      const key = `${bound.host}:${bound.port}`;
      return {
        address: bound,
        async close() {
          await Promise.resolve();
          if (fabric.listeners.get(key) === listener) fabric.listeners.delete(key);
        },
      };
    },
    connect: (address, timeoutMs) => dial(fabric, host, address, timeoutMs),
  };
}

function dial(
  fabric: Fabric,
  from: string,
  address: Address,
  timeoutMs: number,
): Promise<Connection> {
  const where = `${address.host}:${address.port}`;
  return new Promise((resolve, reject) => {
    const timer = fabric.clock.after(timeoutMs, () => {
      reject(
        new AntipodeError("DEADLINE_EXCEEDED", `no connection to ${where} within ${timeoutMs} ms`, {
          where,
          timeoutMs,
        }),
      );
    });
    const back = fabric.pipe(address.host, from);
    fabric.pipe(from, address.host).send(() => {
      const listener = fabric.listeners.get(where);
      back.send(() => {
        timer.cancel();
        if (listener === undefined) {
          reject(
            new AntipodeError("PEER_UNREACHABLE", `cannot connect to ${where}: ECONNREFUSED`, {
              where,
            }),
          );
          return;
        }
        const [here, there] = connected(fabric, from, address);
        // A server of calls takes a connection, and resets it at bytes of no call.
        if (listener instanceof FakeListener) listener.onConnection(there);
        else
          there.onData(() => {
            there.destroy("reset");
          });
        resolve(here);
      });
    });
  });
}

function connected(fabric: Fabric, from: string, address: Address): [Connection, Connection] {
  const here = new End(`${address.host}:${address.port}`, fabric.pipe(from, address.host));
  const there = new End(`${from}:0`, fabric.pipe(address.host, from));
  here.other = there;
  there.other = here;
  const link: Tearable = {
    hosts: [from, address.host],
    tear(reason) {
      here.closed(reason);
      there.closed(reason);
    },
  };
  fabric.open.add(link);
  const forget = (): void => {
    if (here.isClosed && there.isClosed) fabric.open.delete(link);
  };
  here.onGone = forget;
  there.onGone = forget;
  return [here, there];
}

class End implements Connection {
  readonly remote: string;
  readonly #pipe: Pipe;
  other: End | undefined;
  onGone: () => void = () => undefined;
  #data: ((chunk: Uint8Array) => void) | undefined;
  #end: () => void = () => {
    this.end();
  };
  #close: ((error: Error | undefined) => void) | undefined;
  readonly #drain: (() => void)[] = [];
  readonly #inbox: Uint8Array[] = [];
  #unreadBytes = 0;
  #wantsDrain = false;
  #paused = false;
  #sentEnd = false;
  #peerEnded = false;
  #toldEnd = false;
  #gone: { readonly error: Error | undefined } | undefined;

  constructor(remote: string, pipe: Pipe) {
    this.remote = remote;
    this.#pipe = pipe;
  }

  get isClosed(): boolean {
    return this.#gone !== undefined;
  }

  onData(handler: (chunk: Uint8Array) => void): void {
    this.#data = handler;
    queueMicrotask(() => {
      this.#deliver();
    });
  }

  onEnd(handler: () => void): void {
    this.#end = handler;
  }

  onClose(handler: (error: Error | undefined) => void): void {
    const gone = this.#gone;
    if (gone !== undefined)
      queueMicrotask(() => {
        handler(gone.error);
      });
    else this.#close = handler;
  }

  onDrain(handler: () => void): void {
    this.#drain.push(handler);
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#gone !== undefined || this.#sentEnd) return false;
    const bytes = concatBytes(parts);
    this.#unreadBytes += bytes.length;
    this.#pipe.send(() => this.other?.arrived(bytes), bytes.length);
    if (this.#unreadBytes > UNREAD_BYTES_MAX) this.#wantsDrain = true;
    return !this.#wantsDrain;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    queueMicrotask(() => {
      this.#deliver();
    });
  }

  end(): void {
    if (this.#sentEnd || this.#gone !== undefined) return;
    this.#sentEnd = true;
    this.#pipe.send(() => this.other?.peerEnded());
    this.#closeWhenDone();
  }

  destroy(reset?: "reset"): void {
    if (this.#gone !== undefined) return;
    const error =
      reset === undefined
        ? undefined
        : new AntipodeError("PEER_UNREACHABLE", "the connection broke: ECONNRESET");
    this.#pipe.send(() => {
      if (error !== undefined) this.other?.closed(error);
      else this.other?.peerEnded();
    });
    this.closed(undefined);
  }

  /** The connection is gone for this end. */
  closed(error: Error | undefined): void {
    if (this.#gone !== undefined) return;
    this.#gone = { error };
    this.#close?.(error);
    this.onGone();
  }

  arrived(bytes: Uint8Array): void {
    // Like TCP: data for an end that is gone is answered with a reset.
    if (this.#gone !== undefined) {
      this.#pipe.send(() =>
        this.other?.closed(
          new AntipodeError("PEER_UNREACHABLE", "the connection broke: ECONNRESET"),
        ),
      );
      return;
    }
    this.#inbox.push(bytes);
    this.#deliver();
  }

  peerEnded(): void {
    this.#peerEnded = true;
    this.#deliver();
  }

  #deliver(): void {
    while (!this.#paused && this.#data !== undefined && this.#gone === undefined) {
      const chunk = this.#inbox.shift();
      if (chunk === undefined) break;
      this.#data(chunk);
      this.other?.taken(chunk.length);
    }
    const dry = this.#inbox.length === 0 && this.#data !== undefined && !this.#paused;
    if (this.#peerEnded && dry && !this.#toldEnd && this.#gone === undefined) {
      this.#toldEnd = true;
      this.#end();
      this.#closeWhenDone();
    }
  }

  taken(length: number): void {
    this.#unreadBytes -= length;
    if (!this.#wantsDrain || this.#unreadBytes > 0 || this.#gone !== undefined) return;
    this.#wantsDrain = false;
    for (const handler of this.#drain) handler();
  }

  #closeWhenDone(): void {
    if (this.#sentEnd && this.#toldEnd)
      queueMicrotask(() => {
        this.closed(undefined);
      });
  }
}
