/**
 * The block clients of others, unchanged, against the NBD server over a memory device: nbdinfo,
 * nbdcopy, qemu-img, qemu-io, fio with verification. Runs when they are installed; says so when not.
 */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DISK_BYTES, type NbdWorldBase, realNbdWorld } from "../support/nbdWorld.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import {
  BLOCK_TOOLS,
  fioVerified,
  makeImage,
  sha256OfFile,
  tool,
  toolsOf,
  WRITABLE_EXPORT,
} from "./blockTools.ts";

const { missing, isRunning } = toolsOf("nbdClients", BLOCK_TOOLS, "libnbd-bin, qemu-utils, fio");

describe.runIf(isRunning)("block clients of others", () => {
  const folder = temporaryFolder("nbd-clients");
  let world: NbdWorldBase;
  let uri = "";

  beforeAll(async () => {
    world = await realNbdWorld();
    uri = `nbd://127.0.0.1:${world.address.port}`;
  });
  afterAll(() => world.server.close());

  it("nbdinfo lists the exports and sees every offer", async () => {
    const list = await tool("nbdinfo", "--list", "--json", uri);
    const { exports } = JSON.parse(list) as { exports: Record<string, unknown>[] };
    expect(exports.map((entry) => entry["export-name"])).toEqual(["disk", "disk@rp1"]);
    expect(exports[0]).toMatchObject({
      "export-size": DISK_BYTES,
      ...WRITABLE_EXPORT,
      can_fast_zero: false,
      block_size_minimum: 1,
      block_size_maximum: 32 * 1024 * 1024,
    });
    expect(exports[1]).toMatchObject({ is_read_only: true });
    await expect(tool("nbdinfo", `${uri}/nope`)).rejects.toThrow(/nope/);
  });

  it("nbdcopy brings an image in and out over four connections, byte for byte", async () => {
    const { path: image } = makeImage(join(folder, "in.img"), DISK_BYTES, 99);
    const back = join(folder, "out.img");
    await tool("nbdcopy", "--connections=4", image, `${uri}/disk`);
    await tool("nbdcopy", "--connections=4", `${uri}/disk`, back);
    expect(sha256OfFile(back)).toBe(sha256OfFile(image));
    const map = await tool("nbdinfo", "--map", `${uri}/disk`);
    expect(map).toMatch(/hole,zero/);
  });

  it("qemu-img converts, compares and maps", async () => {
    const { path: image } = makeImage(join(folder, "qemu.img"), DISK_BYTES, 99);
    const target = `${uri}/disk`;
    const raw = ["-f", "raw"] as const;
    await tool("qemu-img", "convert", "-n", ...raw, "-O", "raw", image, target);
    expect(await tool("qemu-img", "compare", ...raw, "-F", "raw", image, target)).toMatch(
      /identical/,
    );
    const map = JSON.parse(await tool("qemu-img", "map", "--output=json", ...raw, target)) as {
      zero: boolean;
    }[];
    expect(map.some((run) => run.zero)).toBe(true);
  });

  it("qemu-io writes, reads with a pattern, discards, zeroes and flushes", async () => {
    const steps = [
      "write -P 0xa5 12345 70000",
      "read -P 0xa5 12345 70000",
      "write -f -P 0x5a 0 512",
      "discard 12288 65536",
      "read -P 0 12288 65536",
      "write -z 0 1M",
      "read -P 0 0 1M",
      "flush",
    ];
    const args = ["-f", "raw", ...steps.flatMap((step) => ["-c", step]), `${uri}/disk`];
    const output = await tool("qemu-io", ...args);
    expect(output).not.toMatch(/failed|differ|error/i);
  });

  it("qemu-io cannot write a recovery point (P3)", async () => {
    const args = ["-f", "raw", "-c", "write 0 512", `${uri}/disk@rp1`];
    await expect(tool("qemu-io", ...args)).rejects.toThrow(/denied|read-?only|not permitted/i);
  });

  it("fio writes at random at depth 32 and verifies every block with crc32c (P1)", async () => {
    const job = await fioVerified(`${uri}/disk`, DISK_BYTES, "randrw");
    expect(job.error).toBe(0);
    expect(job.write.total_ios).toBeGreaterThan(100);
  });
});

it.runIf(!isRunning)("says which block clients are missing", () => {
  expect(missing).not.toEqual([]);
});
