/**
 * NBD between our client and our server, over the fake network and over the machine's TCP: what the
 * client promises (services/guest/nbdConnection.ts) and what the server serves.
 */

import { afterEach, describe, expect, it } from "vitest";
import { concatBytes, equalBytes } from "../../services/base/bytes.ts";
import { createPrng } from "../../services/base/prng.ts";
import {
  isIndeterminate,
  listNbdExports,
  readDisk,
  writeDisk,
} from "../../services/guest/index.ts";
import {
  DISK_BYTES,
  type FakeNbdWorld,
  fakeNbdWorld,
  type NbdWorldBase,
  type NbdWorldOptions,
  realNbdWorld,
} from "../support/nbdWorld.ts";
import { failureOf } from "../support/outcome.ts";

const KIB = 1024;

/** Not `toEqual`, which takes minutes for megabytes. */
function same(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && equalBytes(a, b);
}

async function wholeDisk(world: NbdWorldBase, exportName = "disk"): Promise<Uint8Array> {
  const client = await world.client(exportName);
  const parts: Uint8Array[] = [];
  for await (const piece of readDisk(client))
    parts.push(piece.bytes ?? new Uint8Array(piece.length));
  await client.close();
  return concatBytes(parts);
}

describe.each([
  ["the fake network", fakeNbdWorld],
  ["TCP", realNbdWorld],
] as const)("NBD over %s", (_name, make) => {
  const worlds: (NbdWorldBase | FakeNbdWorld)[] = [];
  const makeWorld = async (options?: NbdWorldOptions): Promise<NbdWorldBase> => {
    const world = await make(options);
    worlds.push(world);
    return world;
  };
  afterEach(async () => {
    await Promise.all(
      worlds.splice(0).map(async (world) => {
        const closing = world.server.close();
        if ("network" in world) await world.clock.tick(60_000);
        await closing;
      }),
    );
  });

  it("tells size, kind and block sizes of an export", async () => {
    const world = await makeWorld();
    const disk = await world.client("disk");
    const point = await world.client("disk@rp1");
    expect([disk.sizeBytes, disk.readOnly, disk.hasBlockStatus]).toEqual([DISK_BYTES, false, true]);
    expect([point.readOnly, point.payloadBytesMax]).toEqual([true, 32 * KIB * KIB]);
    await Promise.all([disk.close(), point.close()]);
  });

  it("reads back what was written, at any offset and of any length", async () => {
    const world = await makeWorld();
    const client = await world.client();
    const prng = createPrng(7);
    const model = new Uint8Array(DISK_BYTES);
    for (let round = 0; round < 60; round++) {
      const offset = prng.below(DISK_BYTES - 400_000);
      const bytes = prng.fill(new Uint8Array(1 + prng.below(round % 10 === 0 ? 400_000 : 9_000)));
      model.set(bytes, offset);
      await client.write(offset, bytes, round % 3 === 0 ? "fua" : undefined);
    }
    await client.zero(100_000, 77_777);
    model.fill(0, 100_000, 177_777);
    await client.trim(5, 3);
    model.fill(0, 5, 8);
    await client.flush();
    expect(same(await client.read(99_000, 90_000), model.slice(99_000, 189_000))).toBe(true);
    await client.close();
    expect(same(await wholeDisk(world), model)).toBe(true);
  });

  it("keeps many operations in flight and answers each with its own data", async () => {
    const world = await makeWorld();
    const client = await world.client("disk", { outstandingMax: 32 });
    const blocks = Array.from({ length: 300 }, (_, i) => new Uint8Array(4 * KIB).fill(i % 251));
    await Promise.all(blocks.map((block, i) => client.write(i * 4 * KIB, block)));
    const back = await Promise.all(blocks.map((_, i) => client.read(i * 4 * KIB, 4 * KIB)));
    expect(back.every((block, i) => same(block, blocks[i]))).toBe(true);
    expect(world.disk.inflightPeak).toBeLessThanOrEqual(32);
    expect(client.outstanding).toBe(0);
    await client.close();
  });

  it("moves a whole disk of 16 MiB in one request, and refuses a request of more than it has", async () => {
    const size = 32 * KIB * KIB;
    const world = await makeWorld();
    const client = await world.client();
    const error = await failureOf(client.read(0, size));
    expect([error.code, isIndeterminate(error)]).toEqual(["INVALID_ARGUMENT", false]);
    const half = createPrng(3).fill(new Uint8Array(DISK_BYTES));
    await client.write(0, half);
    expect(same(await client.read(0, DISK_BYTES), half)).toBe(true);
    await client.close();
  });

  it("tells data from holes, in runs that cover the range", async () => {
    const world = await makeWorld();
    const client = await world.client();
    await client.write(64 * KIB, new Uint8Array(64 * KIB).fill(1));
    expect(await client.blockStatus(0, DISK_BYTES)).toEqual([
      { lengthBytes: 64 * KIB, kind: "zero" },
      { lengthBytes: 64 * KIB, kind: "data" },
      { lengthBytes: DISK_BYTES - 128 * KIB, kind: "zero" },
    ]);
    await client.close();
  });

  it("lists the exports", async () => {
    const world = await makeWorld();
    expect(await listNbdExports(world, world.address)).toEqual(["disk", "disk@rp1"]);
  });

  it("refuses unknown exports and writes to a recovery point with typed errors (P3, P10)", async () => {
    const world = await makeWorld();
    expect((await failureOf(world.client("nope"))).code).toBe("VDISK_NOT_FOUND");
    const point = await world.client("disk@rp1");
    const error = await failureOf(point.write(0, new Uint8Array(512)));
    expect([error.code, error.details["errno"], isIndeterminate(error)]).toEqual([
      "READ_ONLY",
      1,
      false,
    ]);
    expect((await failureOf(point.zero(0, 512))).code).toBe("READ_ONLY");
    await point.close();
  });

  it("streams a source to a disk and back, zeros left out", async () => {
    const world = await makeWorld();
    const client = await world.client();
    const prng = createPrng(11);
    const image = new Uint8Array(DISK_BYTES);
    prng.fill(image.subarray(0, 300_000));
    prng.fill(image.subarray(8_000_000, 9_111_111));
    const chunks = function* (): Generator<Uint8Array> {
      for (let at = 0; at < image.length; ) {
        const count = 1 + prng.below(200_000);
        yield image.subarray(at, at + count);
        at += count;
      }
    };
    let progress = 0;
    const onProgress = (done: number): void => {
      progress = done;
    };
    const options = { pieceBytes: 128 * KIB, depth: 4, onProgress };
    expect(await writeDisk(client, chunks(), options)).toBe(DISK_BYTES);
    expect(progress).toBe(DISK_BYTES);
    expect(world.disk.inflightPeak).toBeLessThanOrEqual(5);
    expect(same(await wholeDisk(world), image)).toBe(true);
    const runs = await client.blockStatus(0, DISK_BYTES);
    expect(runs.filter((run) => run.kind === "data").length).toBe(2);
    const tooLong = writeDisk(client, [image, new Uint8Array(1)]);
    expect((await failureOf(tooLong)).code).toBe("OUT_OF_RANGE");
    await client.close();
  });

  it("fails a stream with the first error of the disk, and leaves nothing in flight", async () => {
    const world = await makeWorld();
    const client = await world.client();
    await client.write(0, new Uint8Array(DISK_BYTES).fill(1));
    world.disk.failWith(new Error("a bug"));
    expect((await failureOf(writeDisk(client, [new Uint8Array(DISK_BYTES).fill(2)]))).code).toBe(
      "INTERNAL",
    );
    expect(client.outstanding).toBe(0);
    world.disk.failWith(undefined);
    await client.close();
  });
});
