/**
 * P3 and P4 on a real lab: a protection domain that moves to the other site, back, and there again, by the
 * same three commands each time, with a block client's writes between the moves. Nothing is deleted by hand,
 * and what a site had before is kept.
 */

import { afterAll, beforeAll, expect, it } from "vitest";
import { connectNbd, type NbdClient, parseNbdUri } from "../../services/guest/index.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import { LabCli } from "./labCli.ts";

const BLOCK = 4096;
const cli = new LabCli();
const dir = cli.directory();
const at = ["--dir", dir] as const;
const world = { net: createNet(), clock: createClock() };

beforeAll(() => cli.json("lab", "up", "--sites", "A,B", "--cvms", "1,1", ...at));
afterAll(() => cli.cleanUp());

async function withDisk<T>(
  site: string,
  name: string,
  use: (client: NbdClient) => Promise<T>,
): Promise<T> {
  const { uri } = await cli.json<{ uri: string }>("vdisk", "show", name, "--site", site, ...at);
  const client = await connectNbd(world, parseNbdUri(uri));
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

const write = (site: string, block: number, fill: number): Promise<void> =>
  withDisk(site, "disk", (client) => client.write(block * BLOCK, new Uint8Array(BLOCK).fill(fill)));

const read = (site: string, name: string, blocks: number): Promise<readonly number[]> =>
  withDisk(site, name, async (client) => {
    const bytes = await client.read(0, blocks * BLOCK);
    return Array.from({ length: blocks }, (_, i) => bytes[i * BLOCK] ?? -1);
  });

const namesAt = async (site: string): Promise<readonly string[]> =>
  (
    await cli.json<{ vdisks: { name: string }[] }>("vdisk", "list", "--site", site, ...at)
  ).vdisks.map((vdisk) => vdisk.name);

/** The three commands of README.md. @returns what the activation warns of */
async function move(from: string, to: string): Promise<string> {
  await cli.json("pd", "snapshot", "gold", "--site", from, ...at);
  await cli.json("pd", "replicate", "gold", "--site", from, "--to", to, "--wait", ...at);
  const activate = ["pd", "activate", "gold", "--site", to, "--force", ...at];
  return (await cli.json<{ warnings: string[] }>(...activate)).warnings.join("\n");
}

it("P3, P4: a domain moves to the other site and back, twice, with every write and nothing deleted", async () => {
  await cli.json("vdisk", "create", "disk", "--size", "1MiB", "--site", "A", ...at);
  await cli.json("pd", "create", "gold", "--site", "A", ...at);
  await cli.json("pd", "protect", "gold", "disk", "--site", "A", ...at);
  await write("A", 0, 1);
  await move("A", "B");
  await write("B", 1, 2);
  // A client that nobody disconnected: it writes where the domain is active no more.
  await write("A", 2, 9);

  expect(await move("B", "A")).toContain("kept as the vDisk disk-before-3");
  expect(await read("A", "disk", 3)).toEqual([1, 2, 0]);
  expect(await read("A", "disk-before-3", 3)).toEqual([1, 0, 9]);
  await write("A", 2, 3);
  await cli.json("vdisk", "delete", "disk-before-3", "--site", "A", ...at);

  await move("A", "B");
  expect(await read("B", "disk", 3)).toEqual([1, 2, 3]);
  expect([await namesAt("A"), await namesAt("B")]).toEqual([["disk"], ["disk", "disk-before-4"]]);
  const { pd } = await cli.json<{ pd: { state: string } }>(
    "pd",
    "show",
    "gold",
    "--site",
    "A",
    ...at,
  );
  expect(pd.state).toBe("inactive");
});
