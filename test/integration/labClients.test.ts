/**
 * The block clients of others, unchanged, against exports of a real lab: from the owner's CVM, and from
 * one that has to forward. Then a real file system on a vDisk, through the loss of its site.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import {
  BLOCK_TOOLS,
  type ExportAs,
  fioVerified,
  fuseProblem,
  makeImage,
  sha256OfFile,
  type ToolRun,
  tool,
  toolsOf,
  tryTool,
  WRITABLE_EXPORT,
  withExport,
} from "./blockTools.ts";
import { LabCli, type LabStatus, processesWith } from "./labCli.ts";

const FILE_SYSTEM_TOOLS = ["mkfs.ext4", "debugfs", "e2fsck"];
const MIB = 1024 * 1024;
const DISK_BYTES = 16 * MIB;
const FIO_BYTES = 6 * MIB;
const FILE_SYSTEM = "64MiB";

const { missing, isRunning } = toolsOf(
  "labClients",
  [...BLOCK_TOOLS, ...FILE_SYSTEM_TOOLS],
  "libnbd-bin, qemu-utils, fio, e2fsprogs",
);

interface Vdisk {
  readonly owner: number;
  readonly epoch: number;
  readonly uri: string;
  readonly uris: readonly string[];
}

interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
}

const folder = temporaryFolder("lab-clients");

/** A map must cover the disk without gap, call nothing zero that is not, and know the large hole. */
function expectTrueMap(extents: readonly Extent[], bytes: Uint8Array): void {
  let end = 0;
  for (const { offset, length, isZero } of extents) {
    expect(offset).toBe(end);
    end = offset + length;
    if (isZero) expect(bytes.subarray(offset, end).every((byte) => byte === 0)).toBe(true);
  }
  expect(end).toBe(DISK_BYTES);
  const zeroBytes = extents.reduce((sum, one) => sum + (one.isZero ? one.length : 0), 0);
  expect(zeroBytes).toBeGreaterThan(DISK_BYTES / 2);
}

/** A regular expression inside `toMatchObject` matches everything, so the two are told apart. */
function expectRun(run: ToolRun, status: number, output: RegExp): void {
  expect(run.output).toMatch(output);
  expect(run.status).toBe(status);
}

async function startLab(cli: LabCli, dir: string): Promise<void> {
  await cli.json("lab", "up", "--sites", "A,B", "--cvms", "2,1", "--dir", dir);
}

describe.runIf(isRunning)("clients of others on a real lab", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  let as: ExportAs = "copy";

  const vdisk = (name: string, site = "A"): Promise<Vdisk> =>
    cli.json<Vdisk>("vdisk", "show", name, "--site", site, ...at);

  beforeAll(async () => {
    const problem = await fuseProblem(folder);
    as = problem === undefined ? "fuse" : "copy";
    if (problem !== undefined)
      console.log(`labClients: file systems through nbdcopy, not nbdfuse: ${problem}`);
    await startLab(cli, dir);
    await cli.json("vdisk", "create", "disk", "--size", `${DISK_BYTES}`, ...at);
  });
  afterAll(() => cli.cleanUp());

  describe.each(["the owner's CVM", "a CVM that forwards"])("at %s", (where) => {
    const isOwner = where === "the owner's CVM";
    let server = "";
    let uri = "";
    let other = "";

    beforeAll(async () => {
      const { uri: owned, uris } = await vdisk("disk");
      const forwarded = uris.find((one) => one !== owned) ?? "";
      [uri, other] = isOwner ? [owned, forwarded] : [forwarded, owned];
      server = uri.slice(0, uri.lastIndexOf("/"));
    });

    it("nbdinfo lists the export with everything it offers, and no other name", async () => {
      const list = await tool("nbdinfo", "--list", "--json", server);
      const { exports } = JSON.parse(list) as { exports: Record<string, unknown>[] };
      expect(exports.map((entry) => entry["export-name"])).toEqual(["disk"]);
      const offers = {
        "export-size": DISK_BYTES,
        ...WRITABLE_EXPORT,
      };
      expect(exports[0]).toMatchObject(offers);
      const own = JSON.parse(await tool("nbdinfo", "--json", uri)) as { exports: unknown[] };
      expect(own.exports[0]).toMatchObject(offers);
      for (const name of ["nope", "disk@rp-1", "", "../disk", "d".repeat(4096)]) {
        const refused = await tryTool("nbdinfo", `${server}/${name}`);
        expect(refused.status, `export "${name.slice(0, 20)}"`).not.toBe(0);
      }
    });

    it("nbdcopy brings an image in and out over four connections, and at the other CVM", async () => {
      const image = makeImage(join(folder, "in.img"), DISK_BYTES, isOwner ? 1 : 2);
      const back = join(folder, "out.img");
      await tool("nbdcopy", "--connections=4", "--flush", image.path, uri);
      for (const from of [uri, other]) {
        await tool("nbdcopy", "--connections=4", from, back);
        expect(sha256OfFile(back)).toBe(sha256OfFile(image.path));
      }
      const map = JSON.parse(await tool("nbdinfo", "--map", "--json", uri)) as {
        offset: number;
        length: number;
        type: number;
      }[];
      expectTrueMap(
        map.map(({ offset, length, type }) => ({ offset, length, isZero: (type & 2) !== 0 })),
        image.bytes,
      );
    });

    it("qemu-img converts, tells equal from different, maps and knows the size", async () => {
      const image = makeImage(join(folder, "qemu.img"), DISK_BYTES, isOwner ? 3 : 4);
      const raw = ["-f", "raw"] as const;
      await tool("qemu-img", "convert", "-n", ...raw, "-O", "raw", image.path, uri);
      const compare = (): ReturnType<typeof tryTool> =>
        tryTool("qemu-img", "compare", ...raw, "-F", "raw", image.path, uri);
      expectRun(await compare(), 0, /identical/);
      const info = await tool("qemu-img", "info", "--output=json", ...raw, uri);
      expect(JSON.parse(info)).toMatchObject({ "virtual-size": DISK_BYTES, format: "raw" });
      const map = await tool("qemu-img", "map", "--output=json", ...raw, uri);
      expectTrueMap(
        (JSON.parse(map) as { start: number; length: number; zero: boolean }[]).map((run) => ({
          offset: run.start,
          length: run.length,
          isZero: run.zero,
        })),
        image.bytes,
      );
      await tool("qemu-io", ...raw, "-c", "write -P 1 8000000 1", other);
      expectRun(await compare(), 1, /mismatch at offset 8000000/);
    });

    it("qemu-io reads back what it wrote, discarded and zeroed, at any byte and at the end", async () => {
      const steps = [
        "write -P 0xa5 12345 70000",
        "read -P 0xa5 12345 70000",
        "write -f -P 0x5a 0 512",
        "discard 16384 32768",
        "read -P 0 16384 32768",
        "read -P 0xa5 49152 33193",
        "write -z 20000 5",
        "read -P 0 20000 5",
        "write -P 0x77 4M 4M",
        "write -z 5000001 1000003",
        "read -P 0x77 4194304 805697",
        "read -P 0 5000001 1000003",
        "read -P 0x77 6000004 2388604",
        `write -P 0x11 ${DISK_BYTES - 512} 512`,
        "flush",
        `read -P 0x11 ${DISK_BYTES - 512} 512`,
      ];
      const run = (uri: string, ...commands: readonly string[]): ReturnType<typeof tryTool> =>
        tryTool("qemu-io", "-f", "raw", ...commands.flatMap((one) => ["-c", one]), uri);
      const own = await run(uri, ...steps);
      expect(own).toMatchObject({ status: 0 });
      expect(own.output).not.toMatch(/failed|differ|error/i);
      expect(own.output.match(/ ops; /g)).toHaveLength(steps.length - 1);
      const there = await run(other, "read -P 0x77 6000004 2388604", "read -P 0x5a 0 512");
      expect(there).toMatchObject({ status: 0 });
      // The tool notices: a pattern that is not there is an error.
      expect((await run(uri, "read -P 0x78 4M 512")).output).toMatch(/verification failed/);
      expect((await run(uri, `write ${DISK_BYTES} 512`)).status).not.toBe(0);
    });

    it("fio writes at random at depth 32 and finds every block's crc32c (P1)", async () => {
      const job = await fioVerified(uri, FIO_BYTES, "randwrite");
      expect([job.error, job.write.io_bytes, job.read.io_bytes]).toEqual([0, FIO_BYTES, FIO_BYTES]);
    });

    it("was served by the same owner from first to last", async () => {
      const { uri: owned } = await vdisk("disk");
      expect(owned === uri).toBe(isOwner);
    });
  });

  /** Content of the file system's files by name: real text, a large binary, nothing. */
  const files = new Map<string, Buffer>([
    ["readme", readFileSync(join(import.meta.dirname, "..", "..", "README.md"))],
    ["binary", readFileSync(process.execPath).subarray(MIB, 3 * MIB)],
    ["empty", Buffer.alloc(0)],
  ]);
  const tree = join(folder, "tree");
  const onFile = <T>(uri: string, use: (path: string) => Promise<T>): Promise<T> =>
    withExport({ as, folder }, uri, use);

  /** Runs debugfs commands that must all succeed: its exit status is 0 whatever happens. */
  async function debugfs(path: string, ...commands: readonly string[]): Promise<void> {
    const script = join(folder, "debugfs.txt");
    writeFileSync(script, `${commands.join("\n")}\n`);
    const output = await tool("debugfs", "-w", "-f", script, path);
    const said = output.split("\n").filter((line) => !/^(debugfs|Allocated inode)|^$/.test(line));
    expect(said.filter((line) => line !== "")).toEqual([]);
  }

  /** The file system is whole and holds exactly these files. */
  async function expectFiles(path: string, names: readonly string[]): Promise<void> {
    expect(await tryTool("e2fsck", "-f", "-n", path)).toMatchObject({ status: 0 });
    const listed = await tool("debugfs", "-R", "ls -p /data", path);
    const found = [...listed.matchAll(/^\/\d+\/\d+\/\d+\/\d+\/([^/]+)\//gm)].map(
      ([, name]) => name,
    );
    expect(found.filter((name) => !/^\.+$/.test(name ?? "")).sort()).toEqual([...names].sort());
    for (const name of names) {
      const back = join(folder, "dumped");
      await tool("debugfs", "-R", `dump /data/${name} ${back}`, path);
      expect(readFileSync(back).equals(files.get(name) ?? Buffer.from("none")), name).toBe(true);
    }
  }

  it("an ext4 file system is made, filled and whole, from the CVM that forwards", async () => {
    await cli.json("vdisk", "create", "ext4", "--size", FILE_SYSTEM, ...at);
    mkdirSync(tree);
    for (const [name, content] of files) writeFileSync(join(tree, name), content);
    const { uri, uris } = await vdisk("ext4");
    const forwarded = uris.find((one) => one !== uri) ?? "";
    await onFile(forwarded, async (path) => {
      await tool("mkfs.ext4", "-q", "-F", "-b", "4096", path);
      expect(await tryTool("e2fsck", "-f", "-n", path)).toMatchObject({ status: 0 });
      const write = [...files.keys()].map((name) => `write ${join(tree, name)} /data/${name}`);
      await debugfs(path, "mkdir /data", ...write);
    });
    // At the other CVM, by another client: nothing was left in a cache.
    await onFile(uri, (path) => expectFiles(path, [...files.keys()]));
  });

  it("P3: after the loss of its site the file system is whole at the other, as it was at the cut", async () => {
    const replicate = async (): Promise<void> => {
      await cli.json("pd", "snapshot", "gold", ...at);
      await cli.json("pd", "replicate", "gold", "--to", "B", "--wait", ...at);
    };
    await cli.json("pd", "create", "gold", ...at);
    await cli.json("pd", "protect", "gold", "ext4", ...at);
    await replicate();
    const { uri } = await vdisk("ext4");
    await onFile(uri, (path) =>
      debugfs(path, "rm /data/readme", `write ${join(tree, "readme")} /data/again`),
    );
    files.set("again", readFileSync(join(tree, "readme")));
    await replicate();
    await onFile(uri, (path) => debugfs(path, `write ${join(tree, "readme")} /data/late`));

    await cli.json("chaos", "kill", "site@A", "--stay-dead", ...at);
    const lost = await cli.json<LabStatus>("lab", "status", ...at);
    const living = lost.processes.filter((one) => one.id.includes("@A") && one.state !== "dead");
    expect(living).toEqual([]);
    await cli.json("pd", "activate", "gold", "--site", "B", ...at);

    const there = (await vdisk("ext4", "B")).uri;
    await onFile(there, async (path) => {
      await expectFiles(path, ["again", "binary", "empty"]);
      await debugfs(path, `write ${join(tree, "readme")} /data/readme`);
      await expectFiles(path, ["again", "binary", "empty", "readme"]);
    });
    // The recovery points are what they were, whatever is written to the vDisk now.
    const point = join(folder, "point.img");
    await tool("nbdcopy", `${there}@rp-1`, point);
    await expectFiles(point, ["binary", "empty", "readme"]);
    const write = await tryTool("qemu-io", "-f", "raw", "-c", "write 0 512", `${there}@rp-1`);
    expectRun(write, 1, /denied|read-?only|not permitted/i);
  });

  it("leaves no process behind", async () => {
    await cli.json("lab", "down", ...at);
    expect(processesWith(dir)).toEqual([]);
  });
});

it.runIf(!isRunning)("says which tools are missing", () => {
  expect(missing).not.toEqual([]);
});
