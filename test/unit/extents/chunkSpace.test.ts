/** The site's chunk space: copies, failures of CVMs and links, rot and repair, over the fake network. */

import { describe, expect, it } from "vitest";
import { codeOf } from "../../../services/base/errors.ts";
import type { StoredChunk } from "../../../services/stargate/chunks.ts";
import { encodePack } from "../../../services/stargate/extents/chunkPack.ts";
import { placementOrder, separateMember } from "../../../services/stargate/extents/placement.ts";
import { chunksOf, codec, EGROUP_1, fingerprintsOf } from "./extentWorld.ts";
import { createSiteWorld, type SiteWorld } from "./siteWorld.ts";

const rawOf = (chunk: StoredChunk): Uint8Array =>
  chunk.codec === 0 ? chunk.stored : codec.decompress(chunk.stored, chunk.rawLength);

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "resolved",
    (error: unknown) => codeOf(error) ?? error,
  );

/** For each chunk, the CVMs that have it. */
function holdersOf(
  world: SiteWorld,
  cvms: readonly number[],
  chunks: readonly StoredChunk[],
): number[][] {
  const has = cvms.map((cvm) => world.store(cvm).has(fingerprintsOf(chunks)));
  return chunks.map((_, i) => cvms.filter((_cvm, at) => has[at]?.[i] === true));
}

function orderOf(chunk: StoredChunk, count: number): readonly number[] {
  const members = Array.from({ length: count }, (_, i) => separateMember(i + 1));
  return placementOrder(chunk.fingerprint, members);
}

async function expectReadable(
  world: SiteWorld,
  cvm: number,
  chunks: readonly StoredChunk[],
): Promise<void> {
  const raws = await world.run(world.space(cvm).read(fingerprintsOf(chunks)));
  for (const [i, chunk] of chunks.entries())
    expect(Buffer.compare(raws[i] ?? new Uint8Array(0), rawOf(chunk))).toBe(0);
}

describe("chunk space", () => {
  for (const replicationFactor of [1, 2, 3])
    it(`stores ${replicationFactor} durable copies where placement says, and reads them anywhere (C1, P1)`, async () => {
      const world = await createSiteWorld(4);
      const chunks = chunksOf(1, 60);
      const outcome = await world.run(world.space(1).store(chunks, replicationFactor));
      expect(outcome.duplicateCount).toBe(0);
      expect(holdersOf(world, [1, 2, 3, 4], chunks)).toEqual(
        chunks.map((chunk) => orderOf(chunk, 4).slice(0, replicationFactor).toSorted()),
      );
      for (const cvm of [1, 2, 3, 4]) await expectReadable(world, cvm, chunks);
      const stored = await world.run(world.space(2).readStored(fingerprintsOf(chunks)));
      expect(stored.map(({ rawLength }) => rawLength)).toEqual(chunks.map((c) => c.rawLength));
      expect(
        await world.run(world.space(3).present(fingerprintsOf(chunks), replicationFactor)),
      ).toEqual(chunks.map(() => true));
    });

  it("counts what all its CVMs had already, and repetitions, and sends neither", async () => {
    const world = await createSiteWorld(3);
    const chunks = chunksOf(1, 40);
    await world.run(world.space(1).store(chunks, 2));
    const groups = [1, 2, 3].map((cvm) => world.store(cvm).stats().storedCount);
    const more = chunksOf(31, 20);
    const outcome = await world.run(world.space(1).store([...chunks, ...more, ...chunks], 2));
    expect(outcome.duplicateCount).toBe(40 + 40 + 10);
    const after = [1, 2, 3].map((cvm) => world.store(cvm).stats().storedCount);
    const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
    expect(sum(after) - sum(groups)).toBe(20);
  });

  it("carries many large stores at a time over one stream to each CVM (C5)", async () => {
    const world = await createSiteWorld(3);
    world.network.setDelay(world.host(1), world.host(2), 5);
    const chunks = Array.from({ length: 900 }, (_, i) => chunksOf(i, 1)[0]).flatMap((c) => c ?? []);
    const stores = Array.from({ length: 15 }, (_, i) =>
      world.space(1).store(chunks.slice(i * 60, (i + 1) * 60), 2),
    );
    await world.run(Promise.all(stores));
    expect(holdersOf(world, [1, 2, 3], chunks).every((cvms) => cvms.length === 2)).toBe(true);
  });

  it("puts copies on the next CVM when one is dead but still counted as live (C1)", async () => {
    const world = await createSiteWorld(3);
    world.network.kill(world.host(2));
    const chunks = chunksOf(1, 40);
    await world.run(world.space(1).store(chunks, 2));
    expect(holdersOf(world, [1, 3], chunks)).toEqual(chunks.map(() => [1, 3]));
    expect(world.space(1).stats().suspectedCount).toBeGreaterThan(0);
    expect(await world.run(world.space(1).present(fingerprintsOf(chunks), 2))).toContain(false);
    world.live.delete(2);
    expect(await world.run(world.space(1).present(fingerprintsOf(chunks), 2))).toEqual(
      chunks.map(() => true),
    );
  });

  it("acknowledges nothing with fewer copies than live CVMs allow, and fewer when fewer live (C1, P1)", async () => {
    const world = await createSiteWorld(2);
    world.network.kill(world.host(2));
    const chunks = chunksOf(1, 10);
    expect(await world.run(rejection(world.space(1).store(chunks, 2)))).toBe("PEERS_UNAVAILABLE");
    world.live.delete(2);
    expect(await world.run(rejection(world.space(1).store(chunks, 2)))).toBe("resolved");
    await expectReadable(world, 1, chunks);
  });

  it("gives up on a CVM that hangs and goes on elsewhere within a bound", async () => {
    const world = await createSiteWorld(3);
    await world.run(world.space(1).store(chunksOf(500, 20), 3));
    world.network.cut(world.host(1), world.host(2));
    const chunks = chunksOf(1, 30);
    const before = world.clock.now();
    await world.run(world.space(1).store(chunks, 2));
    expect(world.clock.now() - before).toBeLessThanOrEqual(5000);
    expect(holdersOf(world, [1, 3], chunks)).toEqual(chunks.map(() => [1, 3]));
    world.network.heal(world.host(1), world.host(2));
    await world.clock.tick(2000);
    await world.run(world.space(1).store(chunksOf(600, 30), 3));
    expect(holdersOf(world, [1, 2, 3], chunksOf(600, 30))).toEqual(
      chunksOf(600, 30).map(() => [1, 2, 3]),
    );
  });

  it("acknowledges only what is stored when streams tear again and again (P9)", async () => {
    const world = await createSiteWorld(3);
    world.network.setDelay(world.host(1), world.host(2), 3);
    world.network.setDelay(world.host(1), world.host(3), 3);
    for (let round = 0; round < 12; round++) {
      const chunks = chunksOf(round * 50, 50);
      const stored = rejection(world.space(1).store(chunks, 2));
      await world.clock.tick(round);
      world.network.tear(world.host(1), world.host(2 + (round % 2)));
      const outcome = await world.run(stored);
      expect(["resolved", "PEERS_UNAVAILABLE"]).toContain(outcome);
      const holders = holdersOf(world, [1, 2, 3], chunks);
      if (outcome === "resolved")
        expect(
          holders.every((cvms) => cvms.length >= 2),
          `round ${round}`,
        ).toBe(true);
      await world.clock.tick(2000);
    }
  });

  it("reads past dead CVMs, and says when nobody reachable has a chunk", async () => {
    const world = await createSiteWorld(3);
    const chunks = chunksOf(1, 40);
    await world.run(world.space(1).store(chunks, 2));
    world.network.kill(world.host(3));
    await expectReadable(world, 2, chunks);
    const absent = fingerprintsOf(chunksOf(900, 1));
    const space = world.space(1);
    expect(await world.run(rejection(space.read(absent)))).toBe("PEERS_UNAVAILABLE");
    expect(await world.run(rejection(space.readStored(absent)))).toBe("PEERS_UNAVAILABLE");
  });

  it("says that a chunk is lost only when every CVM says that it has none (P10)", async () => {
    const world = await createSiteWorld(3);
    const absent = fingerprintsOf(chunksOf(900, 1));
    const space = world.space(1);
    expect(await world.run(rejection(space.read(absent)))).toBe("CHUNK_NOT_FOUND");
    expect(await world.run(rejection(space.readStored(absent)))).toBe("CHUNK_NOT_FOUND");
  });

  it("finds a chunk wherever a good copy lies, and takes silence for no answer (C6, P10)", async () => {
    const world = await createSiteWorld(3);
    const [chunk] = chunksOf(1, 1);
    if (chunk === undefined) throw new Error("one chunk");
    const [first = 0, second = 0, last = 0] = orderOf(chunk, 3);
    await world.store(last).put([chunk]);
    const ask = (from: number): Promise<readonly string[]> =>
      world.run(world.space(from).locate([chunk.fingerprint, ...fingerprintsOf(chunksOf(900, 1))]));
    for (const from of [1, 2, 3]) expect(await ask(from)).toEqual(["yes", "no"]);
    world.network.kill(world.host(second));
    expect(await ask(first)).toEqual(["yes", "unknown"]);
    world.disk(last).corrupt(EGROUP_1, 200);
    expect(await ask(first)).toEqual(["unknown", "unknown"]);
    expect(await ask(last)).toEqual(["unknown", "unknown"]);
  });

  it("denies a chunk whose every copy is rotten (C6, P7)", async () => {
    const world = await createSiteWorld(2);
    const chunks = chunksOf(1, 1);
    await world.run(world.space(1).store(chunks, 2));
    for (const cvm of [1, 2]) world.disk(cvm).corrupt(EGROUP_1, 200);
    expect(await world.run(world.space(1).locate(fingerprintsOf(chunks)))).toEqual(["no"]);
  });

  for (const reader of [1, 2, 3])
    it(`never returns rot and writes bad copies anew, read at CVM ${reader} (C2, C3, P7)`, async () => {
      const world = await createSiteWorld(3);
      const chunks = chunksOf(1, 40);
      await world.run(world.space(1).store(chunks, 2));
      const size = world.disk(2).content(EGROUP_1)?.length ?? 0;
      for (let position = 100; position < size; position += 700)
        world.disk(2).corrupt(EGROUP_1, position);
      await expectReadable(world, reader, chunks);
      await world.run(world.space(reader).settled());
      const { corruptCount, repairedCount, unrepairedCount } = world.space(reader).stats();
      expect(corruptCount).toBeGreaterThan(reader === 2 ? 10 : 0);
      expect(repairedCount).toBe(corruptCount);
      expect(unrepairedCount).toBe(0);
      expect(await world.run(world.space(reader).present(fingerprintsOf(chunks), 2))).toEqual(
        chunks.map(() => true),
      );
    });

  it("says CHUNK_CORRUPT when every copy is bad, and never repairs with one that is not the chunk (P7)", async () => {
    const world = await createSiteWorld(2);
    const [chunk, liar] = chunksOf(1, 2);
    if (chunk === undefined || liar === undefined) throw new Error("two chunks");
    await world.run(world.space(1).store([chunk], 2));
    for (const cvm of [1, 2]) world.disk(cvm).corrupt(EGROUP_1, 200);
    expect(await world.run(rejection(world.space(1).read([chunk.fingerprint])))).toBe(
      "CHUNK_CORRUPT",
    );
    // A copy that is sound on disk but is not what the fingerprint names, put behind our back.
    await world.store(2).put([{ ...liar, fingerprint: chunk.fingerprint }]);
    await world.store(1).put([chunk]);
    const bytes = world.disk(1).content(EGROUP_1)?.length ?? 0;
    world.disk(1).corrupt(EGROUP_1, bytes - 20);
    await world.run(world.space(1).readStored([chunk.fingerprint]));
    await world.run(world.space(1).settled());
    expect(world.space(1).stats().repairedCount).toBe(0);
    expect(world.space(1).stats().unrepairedCount).toBe(1);
  });

  it("fetches a chunk once for many readers, and then from memory within its bound (C4, C5)", async () => {
    const world = await createSiteWorld(3, { cacheBytesMax: 8000 });
    const chunks = chunksOf(1, 30);
    await world.run(world.space(1).store(chunks, 3));
    const few = fingerprintsOf(chunks.slice(0, 3));
    await world.run(Promise.all(Array.from({ length: 10 }, () => world.space(1).read(few))));
    expect(world.store(1).stats().readCount).toBe(3);
    expect(world.space(1).stats()).toMatchObject({ readCount: 30, coalescedCount: 27 });
    await world.run(world.space(1).read(few));
    expect(world.space(1).stats().cacheHitCount).toBe(3);
    await expectReadable(world, 1, chunks);
    expect(world.space(1).stats().cacheBytes).toBeLessThanOrEqual(8000);
  });

  it("passes a full disk on, and takes another CVM for a failed one", async () => {
    const world = await createSiteWorld(3);
    world.disk(2).fail({ operation: "write", errno: "ENOSPC" });
    expect(await world.run(rejection(world.space(1).store(chunksOf(1, 20), 3)))).toBe("DISK_FULL");
    world.disk(2).fail({ operation: "sync", errno: "EIO" });
    const chunks = chunksOf(100, 20);
    await world.run(world.space(1).store(chunks, 2));
    expect(holdersOf(world, [1, 3], chunks)).toEqual(chunks.map(() => [1, 3]));
    expect(await world.run(rejection(world.space(1).store(chunksOf(200, 9), 3)))).toBe(
      "DISK_FAILED",
    );
  });

  it.each([1, 2, 3])(
    "fails with what was wrong when all CVMs fail one after the other, of %i (C1, P1)",
    async (cvms) => {
      const world = await createSiteWorld(cvms);
      for (let cvm = 1; cvm <= cvms; cvm++)
        world.disk(cvm).fail({ operation: "sync", errno: "EIO" });
      const outcome = await world.run(rejection(world.space(1).store(chunksOf(1, 20), 1)));
      expect(outcome).toBe("DISK_FAILED");
    },
  );

  it("refuses garbage from the network and stores nothing of it (P10)", async () => {
    const world = await createSiteWorld(2);
    const { ChunkService } = await import("../../../services/platform/wire/stargate.ts");
    const { rpc } = world.network.host("127.1.0.9");
    const client = rpc.connect({ host: world.host(1), port: 2009 });
    const call = { deadlineMs: 1000 };
    for (const fingerprints of [new Uint8Array(33), new Uint8Array(32 * 129)])
      expect(
        await world.run(rejection(client.unary(ChunkService.getChunks, { fingerprints }, call))),
      ).toBe("MESSAGE_INVALID");
    const [good] = chunksOf(1, 1);
    if (good === undefined) throw new Error("one chunk");
    const sound = encodePack(codec, [good]);
    const foreign = encodePack(codec, [{ ...good, codec: 9 as 0 }]);
    const stream = client.stream(ChunkService.putChunks);
    await stream.send({ sequence: 1, pack: sound.with(-1, (sound.at(-1) ?? 0) ^ 1) });
    await stream.send({ sequence: 2, pack: foreign });
    stream.end();
    const codes: string[] = [];
    const read = (async () => {
      for await (const answer of stream.incoming) codes.push(answer.errorCode);
    })();
    await world.run(read);
    expect(codes).toEqual(["CHUNK_CORRUPT", "MESSAGE_INVALID"]);
    expect(world.store(1).has([good.fingerprint])).toEqual([false]);
  });
});
