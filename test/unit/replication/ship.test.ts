// Replication end to end over the fake network: complete, cheap, safe against silence and damage.
// What a cut at each message does is in test/model/replication.
import { describe, expect, it } from "vitest";
import { toHex } from "../../../services/base/bytes.ts";
import {
  CHUNK_SIZE_BYTES as CHUNK,
  FINGERPRINT_SIZE_BYTES,
  KIB,
  MIB,
} from "../../../services/base/units.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { decodePack } from "../../../services/stargate/extents/chunkPack.ts";
import { codeOf } from "../../support/mapModel.ts";
import {
  expectNoHoles,
  expectReplica,
  expectSums,
  FILLED_SIZE_BYTES,
  filledWorld,
} from "../../support/replicaChecks.ts";
import { createReplicationWorld } from "../../support/replicationWorld.ts";

const codec = await createCodec();

describe("ship and receive", () => {
  it("make a complete replica, and account for every byte (P3)", async () => {
    const { world, root } = await filledWorld(codec);
    const order = await world.order(root, undefined);
    const ledger = await world.ship(order);
    await expectReplica(world, codec, root);
    expectNoHoles(world.target);
    expectSums(ledger);
    expect(ledger).toMatchObject({
      done: true,
      uniqueBytes: 351 * CHUNK,
      dedupedBytes: 49 * CHUNK,
      chunksSent: 351,
      resentBytes: 0,
      unchangedBytes: 0,
    });
    expect(ledger.compressedBytes).toBeLessThan(ledger.uniqueBytes);
    expect(ledger.wireBytes).toBeGreaterThan(ledger.compressedBytes + ledger.metadataBytes);
    expect(ledger.wireBytes).toBeLessThan((ledger.compressedBytes + ledger.metadataBytes) * 1.1);
  });

  it("send only what changed, and read only what changed", async () => {
    const { world, root } = await filledWorld(codec);
    await world.ship(await world.order(root, undefined));
    const next = await world.write(root, [
      [5, 9001],
      [2003, 0],
    ]);
    const order = await world.order(next, root);
    world.source.counts.nodesRead = 0;
    world.source.counts.chunksRead = 0;
    const ledger = await world.ship(order);
    await expectReplica(world, codec, next);
    expectSums(ledger);
    expect(ledger.uniqueBytes).toBe(CHUNK);
    expect(world.source.counts.chunksRead).toBe(1);
    // Two extents and the top, each now and at the base, and each new node once to send it.
    expect(world.source.counts.nodesRead).toBeLessThanOrEqual(9);
  });

  it("ask the target only about what changed since the base, whatever the size, also for the top", async () => {
    const { world, root } = await filledWorld(codec);
    await world.ship(await world.order(root, undefined));
    const next = await world.write(root, [[5, 9001]]);
    let asked = 0;
    world.alter = (message) => {
      asked += message.fingerprints.length / FINGERPRINT_SIZE_BYTES;
      return message;
    };
    await world.ship(await world.order(next, root));
    await expectReplica(world, codec, next);
    // One chunk, its extent, and the nodes above up to the root.
    expect(asked).toBeLessThanOrEqual(5);
  });

  it("send nothing twice when the whole order is repeated (P5)", async () => {
    const { world, root } = await filledWorld(codec);
    const order = await world.order(root, undefined);
    await world.ship(order);
    const ledger = await world.ship(order);
    expectSums(ledger);
    expect(ledger).toMatchObject({ uniqueBytes: 0, metadataBytes: 0, chunksSent: 0 });
    expect(ledger.wireBytes).toBeLessThan(4 * KIB);
  });

  it("count zero, unchanged and deduped space apart, clipped to the size", async () => {
    const sizeBytes = 3 * MIB + 100;
    const world = createReplicationWorld(codec, sizeBytes);
    const root = await world.write(undefined, [
      [0, 1],
      [1, 2],
      [192, 3],
    ]);
    const first = await world.ship(await world.order(root, undefined, 1));
    expect(first).toMatchObject({
      logicalBytes: sizeBytes,
      uniqueBytes: 2 * CHUNK + 100,
      zeroBytes: sizeBytes - 2 * CHUNK - 100,
    });
    const next = await world.write(root, [
      [1, 1],
      [2, 4],
    ]);
    const second = await world.ship(await world.order(next, root, 1));
    expect(second).toMatchObject({
      logicalBytes: sizeBytes,
      uniqueBytes: CHUNK,
      dedupedBytes: CHUNK,
      unchangedBytes: CHUNK + 100,
      zeroBytes: sizeBytes - 3 * CHUNK - 100,
    });
  });

  it("make good what a lost task left out, when the top is shipped (P9)", async () => {
    const { world, root } = await filledWorld(codec);
    const order = await world.order(root, undefined);
    await world.ship({ ...order, subtrees: order.subtrees.slice(0, 1), topRoot: "" });
    const ledger = await world.ship({ ...order, subtrees: [] });
    await expectReplica(world, codec, root);
    expect(ledger.logicalBytes).toBe(ledger.uniqueBytes);
  });

  it("replicate a root that became all zero without sending anything", async () => {
    const { world, root } = await filledWorld(codec);
    const order = await world.order(undefined, root);
    expect(order.subtrees).toEqual([]);
    const ledger = await world.ship(order);
    expect(ledger).toMatchObject({ logicalBytes: 0, wireBytes: 0, done: true });
  });
});

describe("ship through failures", () => {
  it("asks before it sends again: what arrived without an answer is not sent twice (P5)", async () => {
    const { world, root } = await filledWorld(codec);
    let chunksOnTheWire = 0;
    world.alter = (message) => {
      const chunks = decodePack(codec, message.pack, 1024);
      chunksOnTheWire += chunks.filter((chunk) => chunk.rawLength === CHUNK).length;
      return message;
    };
    world.crossing.after = 12;
    world.crossing.at = () => {
      for (const { host } of world.targets) world.network.cutOneWay(host, "127.1.0.1");
      world.clock.after(1000, () => {
        world.tear();
        for (const { host } of world.targets) world.network.heal(host, "127.1.0.1");
      });
    };
    const ledger = await world.ship(await world.order(root, undefined));
    await expectReplica(world, codec, root);
    expect(world.log.of("replication.laneBroken").length).toBeGreaterThan(0);
    expect(ledger.resentBytes).toBe(0);
    expect(chunksOnTheWire).toBe(351);
  });

  it("sends no node before a chunk that another part of the ship has on its way", async () => {
    const world = createReplicationWorld(codec, 32 * MIB);
    // A slice of 16 extents, and one more extent in the next slice that shares the chunk of the first.
    const root = await world.write(undefined, [
      ...Array.from({ length: 16 }, (_, extent) => [extent * 64 + 3, 7 + extent] as const),
      [20 * 64 + 9, 7],
    ]);
    world.target.beforeStore = (chunks) =>
      chunks.some((chunk) => chunk.rawLength === CHUNK)
        ? new Promise((resolve) => world.clock.after(3000, resolve))
        : Promise.resolve();
    const order = await world.order(root, undefined, 1);
    const ledger = await world.ship(order);
    await expectReplica(world, codec, root);
    expect(world.refused).toEqual([]);
    expect(ledger).toMatchObject({ uniqueBytes: 16 * CHUNK, dedupedBytes: CHUNK });
  });

  it("uses the other targets when one is silent, after the watchdog (P9)", async () => {
    const { world, root } = await filledWorld(codec);
    const [first] = world.targets;
    if (first !== undefined) world.network.cut("127.1.0.1", first.host);
    await world.ship(await world.order(root, undefined));
    await expectReplica(world, codec, root);
    expect(world.clock.now()).toBeGreaterThanOrEqual(10_000);
    expect(world.log.of("replication.laneBroken").length).toBeGreaterThan(0);
  });

  it("uses the other targets at once when one is not there", async () => {
    const { world, root } = await filledWorld(codec);
    world.network.kill("127.2.0.2");
    await world.ship(await world.order(root, undefined));
    await expectReplica(world, codec, root);
    expect(world.clock.now()).toBeLessThan(5_000);
  });

  it("gives up with REMOTE_UNAVAILABLE when nobody answers for long, and leaves no timer", async () => {
    const { world, root } = await filledWorld(codec);
    for (const { host } of world.targets) world.network.cut("127.1.0.1", host);
    expect(await codeOf(world.ship(await world.order(root, undefined)))).toBe("REMOTE_UNAVAILABLE");
    expect(world.clock.now()).toBeLessThan(10 * 60_000);
    expect(world.clock.timerCount()).toBe(0);
  });

  it("is not bound by latency: many requests are under way at once", async () => {
    const world = createReplicationWorld(codec, 24 * MIB);
    const chunks = Array.from({ length: 1536 }, (_, i) => [i, i + 1] as const);
    const root = await world.write(undefined, chunks);
    for (const { host } of world.targets) world.network.setDelay("127.1.0.1", host, 50);
    const startMs = world.clock.now();
    await world.ship(await world.order(root, undefined, 64));
    await expectReplica(world, codec, root);
    // About 80 messages: one at a time they would take 8 s.
    expect(world.clock.now() - startMs).toBeLessThan(1_200);
  });
});

describe("ship and damage", () => {
  it("sends a damaged frame again, and nothing of it is stored (P7)", async () => {
    const { world, root } = await filledWorld(codec);
    let damaged = 0;
    world.alter = (message) => {
      if (message.pack.length === 0 || damaged > 0) return message;
      damaged += 1;
      return { ...message, pack: message.pack.with(-3, (message.pack.at(-3) ?? 0) ^ 1) };
    };
    await world.ship(await world.order(root, undefined));
    expect(damaged).toBe(1);
    expect(world.refused).toEqual(["CHUNK_CORRUPT"]);
    await expectReplica(world, codec, root);
  });

  it("stops with a typed error when the source has no good copy, and sends nothing bad (P7)", async () => {
    for (const [harm, code] of [
      ["rot", "CHUNK_CORRUPT"],
      ["lose", "CHUNK_NOT_FOUND"],
    ] as const) {
      const { world, root } = await filledWorld(codec);
      const [bad] = await world.map.lookup(root, FILLED_SIZE_BYTES, 120, 1);
      if (bad !== undefined) world.source[harm](bad);
      expect(await codeOf(world.ship(await world.order(root, undefined)))).toBe(code);
      expect(bad !== undefined && world.target.chunks.has(toHex(bad))).toBe(false);
      if (root !== undefined) expect(world.target.chunks.has(toHex(root))).toBe(false);
      expectNoHoles(world.target);
      expect(world.refused).toEqual([]);
    }
  });

  it("tells rot that no checksum caught at the source from damage on the way (P7)", async () => {
    const { world, root } = await filledWorld(codec);
    const [bad] = await world.map.lookup(root, FILLED_SIZE_BYTES, 120, 1);
    const name = toHex(bad ?? new Uint8Array(32));
    const chunk = world.source.chunks.get(name);
    if (chunk === undefined) throw new Error("the chunk is there");
    const rotten = new Uint8Array(CHUNK).fill(9);
    world.source.chunks.set(name, { ...chunk, codec: 0, stored: rotten });
    expect(await codeOf(world.ship(await world.order(root, undefined)))).toBe(
      "FINGERPRINT_MISMATCH",
    );
    expect(world.target.chunks.has(name)).toBe(false);
    expect(world.refused).toEqual(["FINGERPRINT_MISMATCH"]);
  });

  it("refuses orders that make no sense (P10)", async () => {
    const { world, root } = await filledWorld(codec);
    const order = await world.order(root, undefined);
    const [subtree] = order.subtrees;
    if (subtree === undefined) throw new Error("there is a subtree");
    const bad = [
      { ...order, sizeBytes: 0 },
      { ...order, replicationFactor: 0 },
      { ...order, targets: [] },
      { ...order, topRoot: "zz" },
      { ...order, subtrees: [{ ...subtree, level: 9 }] },
      { ...order, subtrees: [{ ...subtree, index: 1e6 }] },
      { ...order, subtrees: [{ ...subtree, fingerprint: new Uint8Array(5) }] },
    ];
    for (const request of bad)
      expect(await codeOf(world.ship(request))).toMatch(/^(INVALID_ARGUMENT|SIZE_INVALID)$/);
  });
});
