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
import { createPrng, type Prng } from "../../services/base/prng.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Log } from "../../services/platform/log.ts";
import type { Address, Net } from "../../services/platform/net.ts";
import type { Rpc } from "../../services/platform/rpc.ts";
import type { Fabric, Pipe } from "./fakeFabric.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";
import { FakeLine, type LineShape } from "./fakeLine.ts";
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
  loseReplies(count: number, path?: string): Undo;
  /** The next `count` messages that handlers of streams send are lost, and their streams break. */
  loseStreamReplies(count: number, path?: string): Undo;
  /** Delay, jitter and bandwidth of one direction, beside what `setDelay` says. */
  shape(from: string, to: string, shape: LineShape): Undo;
  /** One direction stands still; at the end, or after `forMs`, all of it arrives at once and in order. */
  stall(from: string, to: string, forMs?: number): Undo;
  /** What is open, or opened meanwhile, stays open and silent both ways, also after the end. */
  blackHole(a: string, b: string): Undo;
  /**
   * The host's power is gone: its ports are closed, and what was open to it stays open and silent. New
   * connections are refused; cut it off as well for a machine that does not answer at all.
   */
  vanish(host: string): void;
  /** After so many more messages, or bytes, in this direction everything open between the two breaks. */
  tearAfter(
    from: string,
    to: string,
    after: { readonly messages: number } | { readonly bytes: number },
  ): Undo;
  /** Ends every fault of every line, cuts too; delays set by `setDelay` stay. */
  undoAll(): void;
}

interface LostReplies {
  readonly path: string | undefined;
  count: number;
}

/** A network without delay and without hosts. */
export function createFakeNetwork(options: {
  readonly clock: Clock;
  readonly log?: Log;
  /** For jitter. */
  readonly prng?: Prng;
  /** What carries between two hosts in place of their line; by default, and where it says nothing, the line. */
  readonly pipeOver?: (from: string, to: string) => Pipe | undefined;
}): FakeNetwork {
  const lines = new Map<string, FakeLine>();
  const lost = new FaultSet<LostReplies>();
  const lostInStreams = new FaultSet<LostReplies>();
  const prng = options.prng ?? createPrng(1);
  const lineOf = (from: string, to: string): FakeLine => {
    const key = `${from}>${to}`;
    const line = lines.get(key) ?? new FakeLine(options.clock, prng);
    lines.set(key, line);
    return line;
  };
  const fabric: Fabric = {
    clock: options.clock,
    log: options.log,
    listeners: new Map(),
    open: new Set(),
    bind: (address, listener) => bind(fabric, address, listener),
    pipe: (from, to) => options.pipeOver?.(from, to) ?? lineOf(from, to).pipe(),
    isCut: (from, to) => lineOf(from, to).isCut,
    losesReply: (path) => loses(lost, path),
    losesStreamReply: (path) => loses(lostInStreams, path),
  };
  const setCut = (from: string, to: string, cut: boolean): void => {
    lineOf(from, to).setCut(cut);
  };
  const tearWhere = (
    matches: (hosts: readonly [string, string]) => boolean,
    what: string,
  ): void => {
    for (const item of [...fabric.open])
      if (matches(item.hosts))
        item.tear(new AntipodeError("PEER_UNREACHABLE", `the connection broke: ${what}`));
  };
  const tear = (a: string, b: string): void => {
    tearWhere(([x, y]) => (x === a && y === b) || (x === b && y === a), "torn");
  };
  const closePorts = (host: string): void => {
    for (const key of [...fabric.listeners.keys()])
      if (key.startsWith(`${host}:`)) fabric.listeners.delete(key);
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
    tear,
    kill(host) {
      closePorts(host);
      tearWhere((hosts) => hosts.includes(host), `${host} was killed`);
    },
    loseReplies: (count, path) => lost.add({ path, count }),
    loseStreamReplies: (count, path) => lostInStreams.add({ path, count }),
    shape: (from, to, shape) => lineOf(from, to).shape(shape),
    stall(from, to, forMs) {
      const undo = lineOf(from, to).hold();
      if (forMs !== undefined) options.clock.after(forMs, undo);
      return undo;
    },
    blackHole(a, b) {
      const undos = [lineOf(a, b).blackHole(), lineOf(b, a).blackHole()];
      return () => {
        for (const undo of undos) undo();
      };
    },
    vanish(host) {
      closePorts(host);
      for (const [key, line] of lines) if (key.split(">").includes(host)) line.silence();
    },
    tearAfter(from, to, after) {
      const undo = lineOf(from, to).cutShort({
        ...after,
        act: () => {
          undo();
          tear(from, to);
        },
      });
      return undo;
    },
    undoAll() {
      lost.undoAll();
      lostInStreams.undoAll();
      for (const line of lines.values()) line.undoAll();
    },
  };
}

function loses(plans: FaultSet<LostReplies>, path: string): boolean {
  if (plans.isEmpty) return false;
  const plan = plans
    .all()
    .find((entry) => entry.count > 0 && (entry.path === undefined || entry.path === path));
  if (plan !== undefined) plan.count -= 1;
  return plan !== undefined;
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
