/**
 * The block clients of others, unchanged, against the NBD server over a memory device: nbdinfo,
 * nbdcopy, qemu-img, qemu-io, fio with verification. Runs when they are installed; says so when not.
 */

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPrng } from "../../services/base/prng.ts";
import { DISK_BYTES, type NbdWorldBase, realNbdWorld } from "../support/nbdWorld.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const TOOLS = ["nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio"];
const missing = TOOLS.filter((tool) => spawnSync("which", [tool]).status !== 0);
const demanded = process.env["ANTIPODE_BLOCK_TOOLS"] === "1";
if (missing.length > 0)
  console.log(
    `nbdClients: ${missing.join(", ")} not installed; run with the Debian packages libnbd-bin, qemu-utils, fio`,
  );

/** Runs a tool beside this process, which serves it; resolves with its output when it succeeds. */
function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const collect = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(output);
      else reject(new Error(`${command} ${args.join(" ")} ended with ${status}: ${output}`));
    });
  });
}

const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

describe.runIf(demanded || missing.length === 0)("block clients of others", () => {
  const folder = temporaryFolder("nbd-clients");
  let world: NbdWorldBase;
  let uri = "";

  beforeAll(async () => {
    world = await realNbdWorld();
    uri = `nbd://127.0.0.1:${world.address.port}`;
  });
  afterAll(() => world.server.close());

  /** A sparse image: data, a hole, data up to the last byte. */
  function makeImage(name: string): string {
    const image = new Uint8Array(DISK_BYTES);
    const prng = createPrng(99);
    prng.fill(image.subarray(0, 3_000_000));
    prng.fill(image.subarray(9_000_001, 9_700_000));
    prng.fill(image.subarray(DISK_BYTES - 4096));
    const path = join(folder, name);
    writeFileSync(path, image);
    return path;
  }

  it("nbdinfo lists the exports and sees every offer", async () => {
    const list = await run("nbdinfo", ["--list", "--json", uri], folder);
    const { exports } = JSON.parse(list) as { exports: Record<string, unknown>[] };
    expect(exports.map((entry) => entry["export-name"])).toEqual(["disk", "disk@rp1"]);
    expect(exports[0]).toMatchObject({
      "export-size": DISK_BYTES,
      contexts: ["base:allocation"],
      can_df: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      can_fast_zero: false,
      is_read_only: false,
      block_size_minimum: 1,
      block_size_maximum: 32 * 1024 * 1024,
    });
    expect(exports[1]).toMatchObject({ is_read_only: true });
    await expect(run("nbdinfo", [`${uri}/nope`], folder)).rejects.toThrow(/nope/);
  });

  it("nbdcopy brings an image in and out over four connections, byte for byte", async () => {
    const image = makeImage("in.img");
    const back = join(folder, "out.img");
    await run("nbdcopy", ["--connections=4", image, `${uri}/disk`], folder);
    await run("nbdcopy", ["--connections=4", `${uri}/disk`, back], folder);
    expect(sha256(back)).toBe(sha256(image));
    const map = await run("nbdinfo", ["--map", `${uri}/disk`], folder);
    expect(map).toMatch(/hole,zero/);
  });

  it("qemu-img converts, compares and maps", async () => {
    const image = makeImage("qemu.img");
    const target = `${uri}/disk`;
    await run("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", image, target], folder);
    const compared = await run(
      "qemu-img",
      ["compare", "-f", "raw", "-F", "raw", image, target],
      folder,
    );
    expect(compared).toMatch(/identical/);
    const map = JSON.parse(
      await run("qemu-img", ["map", "--output=json", "-f", "raw", target], folder),
    ) as {
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
    const output = await run("qemu-io", args, folder);
    expect(output).not.toMatch(/failed|differ|error/i);
  });

  it("qemu-io cannot write a recovery point (P3)", async () => {
    const args = ["-f", "raw", "-c", "write 0 512", `${uri}/disk@rp1`];
    await expect(run("qemu-io", args, folder)).rejects.toThrow(/denied|read-?only|not permitted/i);
  });

  it("fio writes at random at depth 32 and verifies every block with crc32c (P1)", async () => {
    const args = [
      "--name=verify",
      "--ioengine=nbd",
      `--uri=${uri}/disk`,
      `--size=${DISK_BYTES}`,
      "--rw=randrw",
      "--bsrange=4k-64k",
      "--bs_unaligned=0",
      "--iodepth=32",
      "--verify=crc32c",
      "--verify_fatal=1",
      "--verify_state_save=0",
      "--output-format=json",
    ];
    const output = await run("fio", args, folder);
    const report = JSON.parse(output.slice(output.indexOf("{"))) as {
      jobs: { error: number; write: { total_ios: number } }[];
    };
    expect(report.jobs.map((job) => job.error)).toEqual([0]);
    expect(report.jobs[0]?.write.total_ios).toBeGreaterThan(100);
  });
});

it.runIf(!demanded && missing.length > 0)("says which block clients are missing", () => {
  expect(missing).not.toEqual([]);
});
