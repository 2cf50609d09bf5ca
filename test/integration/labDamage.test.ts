/**
 * P7 and P10 on a real lab: files of the extent store that rotted, or lost their end, while the lab was
 * down. With a second copy nothing is missed; with one copy what is lost is told, chunk by chunk, and
 * everything else is served. No byte that was not written is ever read.
 */

import {
  closeSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPrng } from "../../services/base/prng.ts";
import { connectNbd, parseNbdUri } from "../../services/guest/index.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import { LabCli } from "./labCli.ts";

const CHUNK_BYTES = 16 * 1024;
const DISK_BYTES = 2 * 1024 * 1024;
const CHUNKS = DISK_BYTES / CHUNK_BYTES;

describe("a lab whose files were damaged while it was down", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  const world = { net: createNet(), clock: createClock() };
  const content = createPrng(77).fill(new Uint8Array(DISK_BYTES));

  /** The newest egroup of a CVM: the one that holds what was written. */
  function egroupOf(site: string, cvm: number): string {
    const folder = join(dir, "sites", site, `cvm-${cvm}`, "stargate", "extents", "egroups");
    const name = readdirSync(folder).sort().at(-1);
    if (name === undefined) throw new Error(`no egroup in ${folder}`);
    return join(folder, name);
  }

  function flipBit(path: string, position: number): void {
    const file = openSync(path, "r+");
    const byte = new Uint8Array(1);
    readSync(file, byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ 1;
    writeSync(file, byte, 0, 1, position);
    closeSync(file);
  }

  const urisOf = async (site: string): Promise<readonly string[]> =>
    (await cli.json<{ uris: string[] }>("vdisk", "show", "disk", "--site", site, ...at)).uris;

  /** Chunks that cannot be read. Every one that can must be what was written. */
  async function lostChunks(uri: string): Promise<readonly number[]> {
    const client = await connectNbd(world, parseNbdUri(uri));
    const lost: number[] = [];
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const offset = chunk * CHUNK_BYTES;
      const bytes = await client.read(offset, CHUNK_BYTES).catch(() => undefined);
      if (bytes === undefined) lost.push(chunk);
      else expect(Buffer.compare(bytes, content.subarray(offset, offset + CHUNK_BYTES))).toBe(0);
    }
    await client.close();
    return lost;
  }

  beforeAll(async () => {
    await cli.json("lab", "up", "--sites", "A,B", "--cvms", "2,1", ...at);
    for (const site of ["A", "B"]) {
      const here = ["--site", site, ...at];
      await cli.json("vdisk", "create", "disk", "--size", `${DISK_BYTES}`, ...here);
      const [uri = ""] = await urisOf(site);
      const client = await connectNbd(world, parseNbdUri(uri));
      await client.write(0, content);
      await client.close();
      await cli.json("pd", "create", `gold-${site}`, ...here);
      await cli.json("pd", "protect", `gold-${site}`, "disk", ...here);
      // A recovery point is there when everything before it is in the extent store.
      await cli.json("pd", "snapshot", `gold-${site}`, ...here);
    }
    await cli.json("lab", "down", ...at);
  });
  afterAll(() => cli.cleanUp());

  it("P7: with two copies everything is read, at every CVM, although one copy rotted and lost its end", async () => {
    const path = egroupOf("A", 1);
    const { size } = statSync(path);
    expect(size).toBeGreaterThan(DISK_BYTES);
    for (let position = 5000; position < size / 2; position += 40_000) flipBit(path, position);
    truncateSync(path, Math.floor(size * 0.75));
    flipBit(egroupOf("B", 1), DISK_BYTES / 2);
    await cli.json("lab", "up", ...at);
    for (const uri of await urisOf("A")) expect(await lostChunks(uri)).toEqual([]);
    const verify = ["recovery-point", "verify", "rp-1", "--pd"];
    await cli.json(...verify, "gold-A", "--site", "A", ...at);
  });

  it("P7: with one copy the one chunk that rotted is refused until it is written again", async () => {
    const [uri = ""] = await urisOf("B");
    const lost = await lostChunks(uri);
    expect(lost).toHaveLength(1);
    const verify = ["recovery-point", "verify", "rp-1", "--pd", "gold-B", "--site", "B", ...at];
    const error = await cli.failure(...verify);
    expect([error.code, error.exit]).toEqual(["CHECK_FAILED", 9]);
    // The same bytes written again are stored again, and serve the recovery point, too.
    const offset = (lost[0] ?? 0) * CHUNK_BYTES;
    const client = await connectNbd(world, parseNbdUri(uri));
    await client.write(offset, content.subarray(offset, offset + CHUNK_BYTES));
    await client.close();
    expect(await lostChunks(uri)).toEqual([]);
    await cli.json("pd", "snapshot", "gold-B", "--site", "B", ...at);
    await cli.json(...verify);
  });
});
