/** The faults of the fake network do what their names say, keep the order of a stream, and end when undone. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import type { Connection } from "../../../services/platform/net.ts";
import {
  type Binding,
  type RpcClient,
  serveStream,
  serveUnary,
} from "../../../services/platform/rpc.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeNetwork, type FakeNetwork } from "../../support/fakeNetwork.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { ask, note, talk } from "../../support/rpcWorlds.ts";

const [A, B] = ["10.0.0.1", "10.0.0.2"];
const ADDRESS = { host: B, port: 2009 };
const soon = { deadlineMs: 1000 };

interface Rig {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly client: RpcClient;
  /** Numbers that the server's handlers took, with the virtual time. */
  readonly taken: { readonly number: number; readonly atMs: number }[];
}

/** Host A, which calls B; B answers what it is asked and what it is told in a stream. */
async function rig(seed = 1): Promise<Rig> {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock, prng: createPrng(seed) });
  const taken: { number: number; atMs: number }[] = [];
  const bindings: readonly Binding[] = [
    serveUnary(ask, (q) => {
      taken.push({ number: q.number, atMs: clock.now() });
      return Promise.resolve(q);
    }),
    serveStream(talk, async (stream) => {
      for await (const one of stream.incoming) {
        taken.push({ number: one.number, atMs: clock.now() });
        await stream.send(one);
      }
    }),
  ];
  await network.host(B).rpc.serve(ADDRESS, bindings);
  return { clock, network, client: network.host(A).rpc.connect(ADDRESS), taken };
}

/** Sends a number and its size over a new stream; failures of the stream are not this test's. */
function streamOf(client: RpcClient): {
  send(number: number, bytes?: number): void;
  readonly broke: Promise<string>;
} {
  const stream = client.stream(talk);
  const read = async (): Promise<void> => {
    const incoming = stream.incoming[Symbol.asyncIterator]();
    while ((await incoming.next()).done !== true);
  };
  const broke = codeOfFailure(read());
  return {
    send(number, bytes = 0) {
      stream.send(note(number, new Uint8Array(bytes))).catch(() => undefined);
    },
    broke,
  };
}

const numbers = (one: Rig): readonly number[] => one.taken.map((entry) => entry.number);

describe("jitter", () => {
  it("reorders across streams, never within one, and repeats nothing", async () => {
    let reordered = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const one = await rig(seed);
      one.network.shape(A, B, { delayMs: 1, jitterMs: 50 });
      const streams = [streamOf(one.client), streamOf(one.client)];
      for (let i = 0; i < 6; i++) streams[i % 2]?.send(i);
      await one.clock.tick(200);
      const seen = numbers(one);
      expect(seen.filter((n) => n % 2 === 0)).toEqual([0, 2, 4]);
      expect(seen.filter((n) => n % 2 === 1)).toEqual([1, 3, 5]);
      if (seen.join() !== "0,1,2,3,4,5") reordered += 1;
    }
    expect(reordered).toBeGreaterThan(5);
  });

  it("gives the same arrivals for the same seed, and none once undone", async () => {
    const arrivals: string[] = [];
    for (const seed of [4, 4]) {
      const one = await rig(seed);
      const undo = one.network.shape(A, B, { jitterMs: 50 });
      for (let i = 0; i < 4; i++) void one.client.unary(ask, note(i), soon);
      await one.clock.tick(100);
      arrivals.push(JSON.stringify(one.taken));
      undo();
      void one.client.unary(ask, note(9), soon);
      await one.clock.settle();
      expect(numbers(one)).toContain(9);
    }
    expect(arrivals[0]).toBe(arrivals[1]);
  });
});

describe("loss", () => {
  it("sends again what was lost 200 to 800 ms later, and everything arrives once and in order", async () => {
    const one = await rig();
    one.network.shape(A, B, { lossShare: 0.5 });
    const stream = streamOf(one.client);
    for (let i = 0; i < 20; i++) stream.send(i);
    await one.clock.tick(199);
    const early = numbers(one).length;
    expect(early).toBeLessThan(20);
    await one.clock.tick(601);
    expect(numbers(one)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(one.taken.slice(early).every(({ atMs }) => atMs >= 200)).toBe(true);
  });
});

describe("bandwidth", () => {
  it("lets the burst pass at once and the rest at its rate, for all streams of a direction together", async () => {
    const one = await rig();
    one.network.shape(A, B, { bytesPerSecond: 100_000, burstBytes: 2100 });
    const [first, second] = [streamOf(one.client), streamOf(one.client)];
    first.send(1, 1000);
    second.send(2, 1000);
    first.send(3, 1000);
    second.send(4, 1000);
    await one.clock.tick(100);
    const times = one.taken.map((entry) => Math.round(entry.atMs / 10) * 10);
    expect(times).toEqual([0, 0, 10, 20]);
  });

  it("does not slow the other direction", async () => {
    const one = await rig();
    one.network.shape(B, A, { bytesPerSecond: 1 });
    streamOf(one.client).send(1, 5000);
    await one.clock.settle();
    expect(numbers(one)).toEqual([1]);
  });
});

describe("a stall", () => {
  it("holds one direction and lets everything arrive at once, in order, when it ends by itself", async () => {
    const one = await rig();
    one.network.stall(A, B, 300);
    const stream = streamOf(one.client);
    for (const number of [1, 2, 3]) stream.send(number);
    await one.clock.tick(299);
    expect(one.taken).toEqual([]);
    await one.clock.tick(1);
    expect(one.taken).toEqual([1, 2, 3].map((number) => ({ number, atMs: 300 })));
  });

  it("ends only with the last of several", async () => {
    const one = await rig();
    const undo = one.network.stall(A, B);
    one.network.stall(A, B, 10);
    streamOf(one.client).send(1);
    await one.clock.tick(20);
    expect(one.taken).toEqual([]);
    undo();
    await one.clock.settle();
    expect(numbers(one)).toEqual([1]);
  });
});

describe("a black hole", () => {
  it("leaves open streams open and silent for ever, and lets new ones pass once it is over", async () => {
    const one = await rig();
    const old = streamOf(one.client);
    old.send(1);
    await one.clock.settle();
    let broke = false;
    void old.broke.then(() => {
      broke = true;
    });
    const undo = one.network.blackHole(A, B);
    old.send(2);
    expect(
      await Promise.all([
        codeOfFailure(one.client.unary(ask, note(3), soon)),
        one.clock.tick(2000),
      ]),
    ).toEqual(["DEADLINE_EXCEEDED", undefined]);
    undo();
    old.send(4);
    streamOf(one.client).send(5);
    await one.clock.tick(60_000);
    expect(numbers(one)).toEqual([1, 5]);
    expect(broke).toBe(false);
  });
});

describe("a host that vanishes", () => {
  it("closes its ports and tells nobody who was connected", async () => {
    const one = await rig();
    const old = streamOf(one.client);
    old.send(1);
    await one.clock.settle();
    let broke = false;
    void old.broke.then(() => {
      broke = true;
    });
    one.network.vanish(B);
    old.send(2);
    await one.clock.tick(60_000);
    expect([numbers(one), broke]).toEqual([[1], false]);
    expect(await codeOfFailure(one.client.unary(ask, note(3), soon))).toBe("PEER_UNREACHABLE");
  });
});

describe("a reset in the middle", () => {
  it("lets so many messages pass, loses the next one and breaks the stream for both ends", async () => {
    const one = await rig();
    one.network.tearAfter(A, B, { messages: 3 });
    const stream = streamOf(one.client); // its opening is the first
    for (const number of [1, 2, 3, 4]) stream.send(number);
    expect(await stream.broke).toBe("PEER_UNREACHABLE");
    await one.clock.settle();
    expect(numbers(one)).toEqual([1, 2]);
    streamOf(one.client).send(9);
    await one.clock.settle();
    expect(numbers(one)).toEqual([1, 2, 9]);
  });

  it("counts bytes of TCP, and resets the connection", async () => {
    const { clock, network } = await rig();
    const got: number[] = [];
    await network.host(B).net.listen({ host: B, port: 80 }, (connection) => {
      connection.onData((chunk) => got.push(chunk.length));
      connection.onClose(() => undefined);
    });
    const connection: Connection = await network.host(A).net.connect({ host: B, port: 80 }, 100);
    const closed = new Promise<Error | undefined>((resolve) => {
      connection.onClose(resolve);
    });
    network.tearAfter(A, B, { bytes: 150 });
    for (let i = 0; i < 3; i++) connection.write([new Uint8Array(100)]);
    expect(String(await closed)).toContain("the connection broke");
    await clock.settle();
    expect(got).toEqual([100]);
  });

  it("does not happen once undone", async () => {
    const one = await rig();
    one.network.tearAfter(A, B, { messages: 0 })();
    streamOf(one.client).send(1);
    await one.clock.settle();
    expect(numbers(one)).toEqual([1]);
  });
});

describe("a lost answer", () => {
  it("of a stream comes after the handler took the message: the caller sees a break, the work is done", async () => {
    const one = await rig();
    one.network.loseStreamReplies(1, talk.path);
    const stream = streamOf(one.client);
    stream.send(1);
    expect(await stream.broke).toBe("PEER_UNREACHABLE");
    expect(numbers(one)).toEqual([1]);
  });

  it("of a call is not counted for streams, nor the other way round, and neither happens once undone", async () => {
    const one = await rig();
    const undo = one.network.loseStreamReplies(1);
    one.network.loseReplies(1);
    expect(await codeOfFailure(one.client.unary(ask, note(1), soon))).toBe("PEER_UNREACHABLE");
    expect((await one.client.unary(ask, note(2), soon)).number).toBe(2);
    undo();
    const answers = one.client.stream(talk);
    await answers.send(note(3));
    for await (const answer of answers.incoming) {
      expect(answer.number).toBe(3);
      break;
    }
  });
});

it("undoAll ends every fault of every line, and cuts", async () => {
  const one = await rig();
  one.network.cut(A, B);
  one.network.stall(A, B);
  one.network.blackHole(A, B);
  one.network.shape(A, B, { delayMs: 1000 });
  one.network.loseReplies(5);
  one.network.tearAfter(A, B, { messages: 0 });
  one.network.undoAll();
  const answer = one.client.unary(ask, note(1), soon);
  await one.clock.settle();
  expect((await answer).number).toBe(1);
});
