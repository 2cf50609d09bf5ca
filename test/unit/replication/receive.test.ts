// The receiving side alone, against a peer that sends what it likes: nothing unproved is ever stored.
import { describe, expect, it } from "vitest";
import type { Infer } from "../../../services/base/wire.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { type ReceiveRequest, ReceiveService } from "../../../services/platform/wire/stargate.ts";
import { encodeNode } from "../../../services/stargate/blockmap/node.ts";
import type { Fingerprint, StoredChunk } from "../../../services/stargate/chunks.ts";
import { encodePack, joinFingerprints } from "../../../services/stargate/extents/chunkPack.ts";
import { receiveBindings } from "../../../services/stargate/replication/receive.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { contentOf } from "../../support/mapModel.ts";
import { createMemoryChunkSpace } from "../../support/memoryChunkSpace.ts";

const codec = await createCodec();
const ADDRESS = { host: "127.2.0.1", port: 2009 };

type Request = Infer<typeof ReceiveRequest>;
const request = (fields: Partial<Request>): Request => ({
  sequence: 1,
  fingerprints: new Uint8Array(0),
  pack: new Uint8Array(0),
  replicationFactor: 2,
  ...fields,
});

async function createReceiver() {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  const space = createMemoryChunkSpace(codec);
  const refused: string[] = [];
  const bindings = receiveBindings({
    space,
    codec,
    log: createFakeLog(),
    onRefused: (code) => refused.push(code),
  });
  await network.host(ADDRESS.host).rpc.serve(ADDRESS, bindings);
  const stream = network.host("127.1.0.1").rpc.connect(ADDRESS).stream(ReceiveService.receive);
  const answers = stream.incoming[Symbol.asyncIterator]();
  return {
    space,
    refused,
    clock,
    send: (fields: Partial<Request>) => stream.send(request(fields)),
    async answer() {
      const next = await answers.next();
      if (next.done === true) throw new Error("the stream ended");
      return next.value;
    },
  };
}

/** A chunk in plain form, so that tests can harm it. */
function plain(raw: Uint8Array): StoredChunk {
  return { fingerprint: codec.sha256(raw), codec: 0, rawLength: raw.length, stored: raw };
}
/** A sound pack of chunks that may be harmed. */
const packed = (...chunks: readonly StoredChunk[]): Uint8Array => encodePack(codec, chunks);
/** The last stored byte of a pack changes on the way. */
const harmed = (pack: Uint8Array): Uint8Array => pack.with(-1, (pack.at(-1) ?? 0) ^ 1);
const ofCodec = (chunk: StoredChunk, id: number): StoredChunk => ({ ...chunk, codec: id as 0 });

function node(level: number, children: readonly Fingerprint[]): Uint8Array {
  const list = Array.from({ length: 64 }, (_, i) => children[i]);
  const bytes = encodeNode(level, list);
  if (bytes === undefined) throw new Error("the node is empty");
  return bytes;
}

describe("receive", () => {
  const good = plain(contentOf(5));
  const garbage: readonly (readonly [string, string, Partial<Request>])[] = [
    ["neither a query nor chunks", "MESSAGE_INVALID", {}],
    [
      "a query and chunks at once",
      "MESSAGE_INVALID",
      { fingerprints: good.fingerprint, pack: packed(good) },
    ],
    ["half a fingerprint", "MESSAGE_INVALID", { fingerprints: new Uint8Array(40) }],
    [
      "more fingerprints than a query may have",
      "MESSAGE_INVALID",
      { fingerprints: new Uint8Array(32 * 16_385) },
    ],
    ["replication factor 0", "MESSAGE_INVALID", { pack: packed(good), replicationFactor: 0 }],
    ["replication factor 4", "MESSAGE_INVALID", { pack: packed(good), replicationFactor: 4 }],
    ["a pack cut short", "CHUNK_CORRUPT", { pack: packed(good).slice(0, -1) }],
    ["a pack shorter than a head", "MESSAGE_INVALID", { pack: packed(good).slice(0, 40) }],
    ["an unknown codec", "MESSAGE_INVALID", { pack: packed(ofCodec(good, 9)) }],
    ["LZ4 that did not shrink", "MESSAGE_INVALID", { pack: packed(ofCodec(good, 1)) }],
    ["bytes that changed on the way", "CHUNK_CORRUPT", { pack: harmed(packed(good)) }],
    [
      "bytes that are something else, with a good checksum",
      "FINGERPRINT_MISMATCH",
      { pack: packed({ ...good, stored: good.stored.with(0, 99) }) },
    ],
    [
      "an LZ4 block that is none",
      "FINGERPRINT_MISMATCH",
      { pack: packed({ ...good, codec: 1, stored: new Uint8Array(50).fill(255) }) },
    ],
    ["the all-zero chunk", "MESSAGE_INVALID", { pack: packed(plain(new Uint8Array(16_384))) }],
    [
      "a length between node and chunk",
      "MESSAGE_INVALID",
      { pack: packed(plain(new Uint8Array(4096).fill(1))) },
    ],
    [
      "short bytes that are no node",
      "MESSAGE_INVALID",
      { pack: packed(plain(new Uint8Array(48).fill(1))) },
    ],
    [
      "a node before its children",
      "RECOVERY_POINT_INCOMPLETE",
      { pack: packed(plain(node(1, [good.fingerprint]))) },
    ],
    [
      "a node in one frame with its child",
      "RECOVERY_POINT_INCOMPLETE",
      { pack: packed(good, plain(node(1, [good.fingerprint]))) },
    ],
    [
      "one bad chunk among good ones",
      "FINGERPRINT_MISMATCH",
      {
        pack: packed(
          plain(contentOf(1)),
          { ...good, fingerprint: codec.sha256(new Uint8Array(1)) },
          plain(contentOf(2)),
        ),
      },
    ],
  ];
  it.each(garbage)(
    "refuses %s with %s, stores nothing and goes on (P7, P10)",
    async (_, code, fields) => {
      const receiver = await createReceiver();
      await receiver.send({ ...fields, sequence: 7 });
      const answer = await receiver.answer();
      expect(answer).toMatchObject({ sequence: 7, errorCode: code });
      expect(receiver.space.chunks.size).toBe(0);
      expect(receiver.refused).toEqual([code]);

      await receiver.send({ pack: packed(good), sequence: 8 });
      expect(await receiver.answer()).toMatchObject({ sequence: 8, errorCode: "" });
      expect(receiver.space.chunks.size).toBe(1);
    },
  );

  it("says what is there, and what came in vain", async () => {
    const receiver = await createReceiver();
    const [a, b] = [plain(contentOf(1)), plain(contentOf(2))];
    await receiver.send({ pack: packed(a) });
    await receiver.send({ fingerprints: joinFingerprints([b.fingerprint, a.fingerprint]) });
    await receiver.send({ pack: packed(a, b) });
    expect(await receiver.answer()).toMatchObject({ duplicateCount: 0 });
    expect([...(await receiver.answer()).present]).toEqual([0, 1]);
    expect(await receiver.answer()).toMatchObject({ duplicateCount: 1, duplicateBytes: 16_384 });
  });

  it("takes a node when all its children are there", async () => {
    const receiver = await createReceiver();
    const child = plain(contentOf(1));
    await receiver.send({ pack: packed(child) });
    await receiver.answer();
    await receiver.send({ pack: packed(plain(node(1, [child.fingerprint, child.fingerprint]))) });
    expect(await receiver.answer()).toMatchObject({ errorCode: "" });
    expect(receiver.space.chunks.size).toBe(2);
  });

  it("answers only what is durable, in order, while it works on later requests (P1)", async () => {
    const receiver = await createReceiver();
    const release: (() => void)[] = [];
    receiver.space.beforeStore = () => new Promise((resolve) => release.push(resolve));
    const answered: number[] = [];
    for (const sequence of [1, 2, 3])
      await receiver.send({ sequence, pack: packed(plain(contentOf(sequence))) });
    void (async () => {
      for (let i = 0; i < 3; i++) answered.push((await receiver.answer()).sequence);
    })();
    await receiver.clock.settle();
    expect(receiver.space.counts.storeCalls).toBe(3);
    release[2]?.();
    await receiver.clock.settle();
    expect(answered).toEqual([]);
    release[0]?.();
    await receiver.clock.settle();
    expect(answered).toEqual([1]);
    release[1]?.();
    await receiver.clock.settle();
    expect(answered).toEqual([1, 2, 3]);
  });

  it("takes no more from the stream than its budget while nothing becomes durable", async () => {
    const receiver = await createReceiver();
    receiver.space.beforeStore = () => new Promise(() => undefined);
    let sent = 0;
    void (async () => {
      for (let i = 0; i < 2000; i++) {
        await receiver.send({ sequence: i + 1, pack: packed(good) });
        sent += 1;
      }
    })();
    for (let i = 0; i < 50; i++) await receiver.clock.settle();
    expect(receiver.space.counts.storeCalls).toBeLessThanOrEqual(512);
    expect(sent).toBeLessThan(600);
  });
});
