/** Connections over links: what callers and callees see, over a fake network in virtual time. */

import { describe, expect, it } from "vitest";
import { concatBytes, fromUtf8, utf8 } from "../../../services/base/bytes.ts";
import type { Connection } from "../../../services/platform/net.ts";
import { parseWanConfig } from "../../../services/wan/config.ts";
import { Wan } from "../../../services/wan/wan.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const PASSAGE = { host: "wan", port: 2009 };
const TARGET = { host: "target", port: 2009 };
const BOTH = [
  { from: "A", to: "B" },
  { from: "B", to: "A" },
];

interface Seen {
  readonly connection: Connection;
  readonly text: () => string;
  ended: boolean;
  closed: boolean;
  error: Error | undefined;
}

function observe(connection: Connection): Seen {
  const chunks: Uint8Array[] = [];
  const seen: Seen = {
    connection,
    text: () => fromUtf8(concatBytes(chunks)),
    ended: false,
    closed: false,
    error: undefined,
  };
  connection.onData((chunk) => chunks.push(chunk));
  connection.onEnd(() => {
    seen.ended = true;
  });
  connection.onClose((error) => {
    seen.closed = true;
    seen.error = error;
  });
  return seen;
}

async function createWorld(latencyMs = 10) {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  const state = createFakeDisk();
  const failures: unknown[] = [];
  const link = (from: string, to: string, passages: unknown[]) => ({
    from,
    to,
    latencyMs,
    jitterMs: 0,
    bitsPerSecond: 0,
    passages,
  });
  const config = parseWanConfig({
    version: 1,
    admin: { host: "wan", port: 2110 },
    stateFolder: "/state",
    links: [link("A", "B", [{ listen: PASSAGE, target: TARGET }]), link("B", "A", [])],
    logLevel: "info",
  });
  const start = (): Promise<Wan> =>
    Wan.start(config, {
      clock,
      net: network.host("wan").net,
      state,
      log: createFakeLog(),
      onFailure: (error) => failures.push(error),
    });
  const wan = await start();
  const callees: Seen[] = [];
  const serve = () =>
    network.host("target").net.listen(TARGET, (connection) => callees.push(observe(connection)));
  const call = async () => observe(await network.host("caller").net.connect(PASSAGE, 1000));
  return { clock, network, wan, start, callees, serve, call, failures };
}

describe("a connection over a link", () => {
  it("carries bytes both ways, each delayed by the latency of its direction", async () => {
    const world = await createWorld(10);
    await world.serve();
    const caller = await world.call();
    caller.connection.write([utf8("ping")]);
    await world.clock.tick(25);
    expect(world.callees[0]?.text()).toBe("");
    // Opening takes a round trip, then the bytes travel once.
    await world.clock.tick(10);
    expect(world.callees[0]?.text()).toBe("ping");
    world.callees[0]?.connection.write([utf8("pong")]);
    await world.clock.tick(8);
    expect(caller.text()).toBe("");
    await world.clock.tick(5);
    expect(caller.text()).toBe("pong");
    expect(world.failures).toEqual([]);
  });

  it("delivers all delayed bytes before the end that follows them", async () => {
    const world = await createWorld(50);
    await world.serve();
    const caller = await world.call();
    caller.connection.write([utf8("last words")]);
    caller.connection.end();
    await world.clock.tick(500);
    expect(world.callees[0]?.text()).toBe("last words");
    expect(world.callees[0]?.ended).toBe(true);
    expect(caller.closed).toBe(false);
  });

  it("lets a side that has ended its direction go on reading", async () => {
    const world = await createWorld(10);
    await world.serve();
    const caller = await world.call();
    caller.connection.end();
    await world.clock.tick(100);
    world.callees[0]?.connection.write([utf8("answer")]);
    world.callees[0]?.connection.end();
    await world.clock.tick(100);
    expect(caller.text()).toBe("answer");
    expect(caller.ended).toBe(true);
    expect(world.wan.show().map((link) => link.connectionsOpen)).toEqual([0, 0]);
  });

  it("resets the caller when nobody listens at the far end", async () => {
    const world = await createWorld(10);
    const caller = await world.call();
    await world.clock.tick(100);
    expect(caller.error).toBeDefined();
    expect(world.wan.show()[0]?.connectionsRefused).toBe(1);
  });

  it("passes a reset on behind the bytes that were sent before it", async () => {
    const world = await createWorld(20);
    await world.serve();
    const caller = await world.call();
    await world.clock.tick(60);
    caller.connection.write([utf8("before")]);
    await world.clock.tick(1);
    caller.connection.destroy("reset");
    await world.clock.tick(100);
    expect(world.callees[0]?.text()).toBe("before");
    expect(world.callees[0]?.closed).toBe(true);
    expect(world.wan.show().map((link) => link.connectionsOpen)).toEqual([0, 0]);
  });

  it("closes the far end when the caller vanishes before the target has answered", async () => {
    const world = await createWorld(5);
    await world.serve();
    world.network.setDelay("wan", "target", 200);
    const caller = await world.call();
    await world.clock.tick(20);
    caller.connection.destroy("reset");
    await world.clock.tick(3000);
    expect(world.callees[0]?.closed).toBe(true);
    expect(world.wan.show().map((link) => link.connectionsOpen)).toEqual([0, 0]);
  });

  it("closes the far end when the caller vanishes while the link is cut, once it is healed", async () => {
    const world = await createWorld(10);
    await world.serve();
    const caller = await world.call();
    await world.clock.tick(100);
    await world.wan.change(BOTH, (settings) => ({ ...settings, cut: true }));
    caller.connection.destroy("reset");
    await world.clock.tick(5000);
    expect(world.callees[0]?.closed).toBe(false);
    await world.wan.change(BOTH, (settings) => ({ ...settings, cut: false }));
    await world.clock.tick(100);
    expect(world.callees[0]?.closed).toBe(true);
  });

  it("holds bytes and new connections while cut, and lets them go on when healed", async () => {
    const world = await createWorld(10);
    await world.serve();
    const early = await world.call();
    await world.clock.tick(100);
    await world.wan.change(BOTH, (settings) => ({ ...settings, cut: true }));
    early.connection.write([utf8("held")]);
    const late = await world.call();
    late.connection.write([utf8("new")]);
    await world.clock.tick(60_000);
    expect(world.callees).toHaveLength(1);
    expect(world.callees[0]?.text()).toBe("");
    expect([early.closed, late.closed]).toEqual([false, false]);
    await world.wan.change(BOTH, (settings) => ({ ...settings, cut: false }));
    await world.clock.tick(100);
    expect(world.callees.map((callee) => callee.text())).toEqual(["held", "new"]);
  });

  it("a cut of one direction lets the other one pass", async () => {
    const world = await createWorld(10);
    await world.serve();
    const caller = await world.call();
    await world.clock.tick(100);
    await world.wan.change([{ from: "A", to: "B" }], (settings) => ({ ...settings, cut: true }));
    world.callees[0]?.connection.write([utf8("still heard")]);
    caller.connection.write([utf8("unheard")]);
    await world.clock.tick(1000);
    expect(caller.text()).toBe("still heard");
    expect(world.callees[0]?.text()).toBe("");
  });

  it("stops reading a sender whose receiver does not read: memory is bounded", async () => {
    const world = await createWorld(10);
    await world.serve();
    const caller = await world.call();
    await world.clock.tick(100);
    world.callees[0]?.connection.pause();
    const chunk = new Uint8Array(64 * 1024);
    let writable = true;
    caller.connection.onDrain(() => {
      writable = true;
    });
    let written = 0;
    for (let i = 0; i < 4000 && writable; i++) {
      writable = caller.connection.write([chunk]);
      written += chunk.length;
      await world.clock.tick(1);
    }
    expect(writable).toBe(false);
    expect(written).toBeLessThan(32 * 1024 * 1024);
    world.callees[0]?.connection.resume();
    await world.clock.tick(1000);
    expect(world.wan.show()[0]?.bytesDelivered).toBe(written);
  });
});

describe("settings of links", () => {
  it("are the same after the process was started again", async () => {
    const world = await createWorld(10);
    await world.wan.change([{ from: "A", to: "B" }], (settings) => ({
      ...settings,
      latencyMs: 33,
      cut: true,
    }));
    await world.wan.close();
    const again = await world.start();
    expect(again.show().map(({ from, latencyMs, cut }) => [from, latencyMs, cut])).toEqual([
      ["A", 33, true],
      ["B", 10, false],
    ]);
  });

  it("P10: change for all named links or for none", async () => {
    const world = await createWorld(10);
    const names = [
      { from: "A", to: "B" },
      { from: "A", to: "C" },
    ];
    const change = world.wan.change(names, (settings) => ({ ...settings, latencyMs: 1 }));
    expect(await codeOfFailure(change)).toBe("INVALID_ARGUMENT");
    const wrong = world.wan.change(BOTH, (settings) => ({ ...settings, latencyMs: -1 }));
    expect(await codeOfFailure(wrong)).toBe("INVALID_ARGUMENT");
    expect(world.wan.show().map((link) => link.latencyMs)).toEqual([10, 10]);
  });
});
