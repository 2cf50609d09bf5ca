/**
 * A network in one process: named hosts, and between each two of them a line that can be slow, held
 * up or torn. Rpc and Net of a host share its ports. All time is the given clock's; with no delay a
 * message arrives in a later microtask, never at once.
 *
 * A hold delays what is sent until it is released, in order and without loss, as TCP does; callers
 * see only that nothing comes. A tear breaks what is open between two hosts.
 */

import { assert } from "../../services/base/assert.ts";
import { AntipodeError } from "../../services/base/errors.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Log } from "../../services/platform/log.ts";
import type { Address, Net } from "../../services/platform/net.ts";
import type { Rpc } from "../../services/platform/rpc.ts";
import type { Fabric, Pipe } from "./fakeFabric.ts";
import { createFakeNet } from "./fakeNet.ts";
import { createFakeRpc } from "./fakeRpc.ts";

const FIRST_FREE_PORT = 40_000;
const PORT_MAX = 65_535;

export interface FakeHost {
  readonly net: Net;
  readonly rpc: Rpc;
}

export interface FakeNetwork {
  /** The world as seen from a host, e.g. `127.1.0.2`. Ask again after `kill`. */
  host(name: string): FakeHost;
  /** One-way delay between two hosts, both directions. */
  setDelay(a: string, b: string, delayMs: number): void;
  /** Both directions: nothing arrives until `heal`, and new connections get no answer. */
  cut(a: string, b: string): void;
  /** One direction only. */
  cutOneWay(from: string, to: string): void;
  heal(a: string, b: string): void;
  /** Ends a cut of one direction. */
  healOneWay(from: string, to: string): void;
  /** Breaks every open stream, call and connection between two hosts. */
  tear(a: string, b: string): void;
  /** The host's processes are gone: its ports are closed, its connections broken. */
  kill(host: string): void;
  /** The next `count` answers of unary calls are lost after the handler ran, and the caller sees a break. */
  loseReplies(count: number, path?: string): void;
}

interface Line {
  delayMs: number;
  cut: boolean;
  readonly released: Set<() => void>;
}

/** A network without delay and without hosts. */
export function createFakeNetwork(options: {
  readonly clock: Clock;
  readonly log?: Log;
}): FakeNetwork {
  const lines = new Map<string, Line>();
  const lost: { path: string | undefined; count: number }[] = [];
  const lineOf = (from: string, to: string): Line => {
    const key = `${from}>${to}`;
    const line = lines.get(key) ?? { delayMs: 0, cut: false, released: new Set() };
    lines.set(key, line);
    return line;
  };
  const fabric: Fabric = {
    clock: options.clock,
    log: options.log,
    listeners: new Map(),
    open: new Set(),
    bind: (address, listener) => bind(fabric, address, listener),
    pipe: (from, to) => createPipe(options.clock, lineOf(from, to)),
    isCut: (from, to) => lineOf(from, to).cut,
    losesReply(path) {
      const plan = lost.find(
        (entry) => entry.count > 0 && (entry.path === undefined || entry.path === path),
      );
      if (plan !== undefined) plan.count -= 1;
      return plan !== undefined;
    },
  };
  const setCut = (from: string, to: string, cut: boolean): void => {
    const line = lineOf(from, to);
    line.cut = cut;
    if (!cut) for (const release of [...line.released]) release();
  };
  const tearWhere = (
    matches: (hosts: readonly [string, string]) => boolean,
    what: string,
  ): void => {
    for (const item of [...fabric.open])
      if (matches(item.hosts))
        item.tear(new AntipodeError("PEER_UNREACHABLE", `the connection broke: ${what}`));
  };
  return {
    host: (name) => ({ net: createFakeNet(fabric, name), rpc: createFakeRpc(fabric, name) }),
    setDelay(a, b, delayMs) {
      lineOf(a, b).delayMs = delayMs;
      lineOf(b, a).delayMs = delayMs;
    },
    cut(a, b) {
      setCut(a, b, true);
      setCut(b, a, true);
    },
    cutOneWay: (from, to) => {
      setCut(from, to, true);
    },
    healOneWay: (from, to) => {
      setCut(from, to, false);
    },
    heal(a, b) {
      setCut(a, b, false);
      setCut(b, a, false);
    },
    tear: (a, b) => {
      tearWhere(([x, y]) => (x === a && y === b) || (x === b && y === a), "torn");
    },
    kill(host) {
      for (const key of [...fabric.listeners.keys()])
        if (key.startsWith(`${host}:`)) fabric.listeners.delete(key);
      tearWhere((hosts) => hosts.includes(host), `${host} was killed`);
    },
    loseReplies: (count, path) => {
      lost.push({ path, count });
    },
  };
}

function bind(fabric: Fabric, address: Address, listener: unknown): Address {
  let { port } = address;
  if (port === 0) {
    port = FIRST_FREE_PORT;
    while (fabric.listeners.has(`${address.host}:${port}`)) port += 1;
    assert(port <= PORT_MAX, "a fake host has a free port");
  }
  const key = `${address.host}:${port}`;
  if (fabric.listeners.has(key))
    throw new AntipodeError("PORT_IN_USE", `${key} is in use by a fake process`, {
      host: address.host,
      port,
      holder: "a fake process",
    });
  fabric.listeners.set(key, listener);
  return { host: address.host, port };
}

/** Items leave in order: each waits for its own delay, for the one before, and while the line is cut. */
function createPipe(clock: Clock, line: Line): Pipe {
  let before: Promise<void> = Promise.resolve();
  const whenReleased = async (): Promise<void> => {
    while (line.cut)
      await new Promise<void>((resolve) => {
        const release = (): void => {
          line.released.delete(release);
          resolve();
        };
        line.released.add(release);
      });
  };
  return {
    send(arrive) {
      const delay =
        line.delayMs === 0
          ? Promise.resolve()
          : new Promise<void>((resolve) => {
              clock.after(line.delayMs, resolve);
            });
      before = Promise.all([before, delay]).then(whenReleased).then(arrive);
    },
  };
}
