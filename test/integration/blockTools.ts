/**
 * Block clients and file-system tools of others, as processes with a deadline, for tests of exports;
 * and what those tests share: which tools there are, an image to copy, what every export offers. A file-system tool gets an export as a file: through nbdfuse where the machine lets us mount, else as
 * a copy that nbdcopy brings out and back in. Which of the two, and what is missing, is told once.
 */

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createPrng } from "../../services/base/prng.ts";
import { realNbdWorld } from "../support/nbdWorld.ts";
import { until } from "./labCli.ts";

/** Far above what any tool needs here; a hang must end with the tool's name in the failure. */
const TOOL_LIMIT_MS = 60_000;
const MOUNT_LIMIT_MS = 10_000;
/** Users other than root have no mkfs.ext4 in their PATH on Debian, although they may run it. */
const ENVIRONMENT = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };

/** Block clients that every test of exports uses. */
export const BLOCK_TOOLS = ["nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio"] as const;

/** What `nbdinfo` must see of a vDisk that can be written. */
export const WRITABLE_EXPORT = {
  contexts: ["base:allocation"],
  can_df: true,
  can_flush: true,
  can_fua: true,
  can_multi_conn: true,
  can_trim: true,
  can_zero: true,
  is_read_only: false,
} as const;

export interface ToolRun {
  readonly status: number | null;
  /** Standard output, then standard error. */
  readonly output: string;
}

/** Those of the tools that this machine does not have. */
export function missingOf(tools: readonly string[]): readonly string[] {
  return tools.filter((tool) => spawnSync("which", [tool], { env: ENVIRONMENT }).status !== 0);
}

/**
 * Which tools a test lacks, said once, and whether it runs: always when the machine is said to have them
 * all, so that a missing one fails it.
 */
export function toolsOf(
  test: string,
  tools: readonly string[],
  packages: string,
): { readonly missing: readonly string[]; readonly isRunning: boolean } {
  const missing = missingOf(tools);
  if (missing.length > 0)
    console.log(
      `${test}: ${missing.join(", ")} not installed; run with the Debian packages ${packages}`,
    );
  return {
    missing,
    isRunning: missing.length === 0 || process.env["ANTIPODE_BLOCK_TOOLS"] === "1",
  };
}

/** A sparse image: data, a hole, data at odd bytes, data up to the last byte. */
export function makeImage(
  path: string,
  sizeBytes: number,
  seed: number,
): { readonly path: string; readonly bytes: Uint8Array } {
  const bytes = new Uint8Array(sizeBytes);
  const prng = createPrng(seed);
  prng.fill(bytes.subarray(0, 2_000_000));
  prng.fill(bytes.subarray(9_000_001, 9_700_000));
  prng.fill(bytes.subarray(sizeBytes - 4096));
  writeFileSync(path, bytes);
  return { path, bytes };
}

/** Writes at random at depth 32 with fio and has it verify every block's crc32c; its first job's report. */
export async function fioVerified(
  uri: string,
  sizeBytes: number,
  pattern: "randrw" | "randwrite",
): Promise<FioJob> {
  const output = await tool(
    "fio",
    "--name=verify",
    "--ioengine=nbd",
    `--uri=${uri}`,
    `--size=${sizeBytes}`,
    `--rw=${pattern}`,
    "--bsrange=4k-64k",
    "--bs_unaligned=0",
    "--iodepth=32",
    "--verify=crc32c",
    "--verify_fatal=1",
    "--verify_state_save=0",
    "--output-format=json",
  );
  const report = JSON.parse(output.slice(output.indexOf("{"), output.lastIndexOf("}") + 1)) as {
    readonly jobs: readonly FioJob[];
  };
  const [job] = report.jobs;
  if (job === undefined) throw new Error(`fio reports no job: ${output}`);
  return job;
}

/** What is read of fio's report. */
export interface FioJob {
  readonly error: number;
  readonly read: { readonly io_bytes: number };
  readonly write: { readonly io_bytes: number; readonly total_ios: number };
}

/** Runs a tool to its end, whatever its status; rejects when it does not end or does not start. */
export function tryTool(command: string, ...args: readonly string[]): Promise<ToolRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: ENVIRONMENT,
      stdio: ["ignore", "pipe", "pipe"],
      signal: AbortSignal.timeout(TOOL_LIMIT_MS),
      killSignal: "SIGKILL",
    });
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (part: Buffer) => {
      output.stdout += part.toString();
    });
    child.stderr.on("data", (part: Buffer) => {
      output.stderr += part.toString();
    });
    child.on("error", (error) => {
      reject(new Error(`${command} ${args.join(" ")}: ${error.message}`, { cause: error }));
    });
    child.on("close", (status) => {
      resolve({ status, output: output.stdout + output.stderr });
    });
  });
}

/** Runs a tool that must succeed; its output. */
export async function tool(command: string, ...args: readonly string[]): Promise<string> {
  const { status, output } = await tryTool(command, ...args);
  if (status === 0) return output;
  throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${output}`);
}

export const sha256OfFile = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

/** Serves an export as a file until closed. */
class FuseMount {
  readonly #folder: string;
  readonly #child: ReturnType<typeof spawn>;
  #output = "";
  #ended = false;

  constructor(uri: string, folder: string) {
    this.#folder = mkdtempSync(join(folder, "fuse-"));
    const args = ["--pidfile", this.#pidFile, this.path, uri];
    this.#child = spawn("nbdfuse", args, { env: ENVIRONMENT, stdio: ["ignore", "pipe", "pipe"] });
    const collect = (part: Buffer): void => {
      this.#output += part.toString();
    };
    this.#child.stdout?.on("data", collect);
    this.#child.stderr?.on("data", collect);
    this.#child.on("error", (error) => {
      this.#output += error.message;
      this.#ended = true;
    });
    this.#child.on("close", () => {
      this.#ended = true;
    });
  }

  get path(): string {
    return join(this.#folder, "disk");
  }

  get #pidFile(): string {
    return `${this.#folder}.pid`;
  }

  /** Resolves when the file is there; nbdfuse writes its pid then. */
  async ready(): Promise<void> {
    await until(() => this.#ended || existsSync(this.#pidFile), MOUNT_LIMIT_MS, "nbdfuse mounts");
    if (this.#ended) throw new Error(`nbdfuse cannot mount: ${this.#output}`);
  }

  async close(): Promise<void> {
    if (!this.#ended) {
      this.#child.kill("SIGTERM");
      await until(() => this.#ended, MOUNT_LIMIT_MS, "nbdfuse ends");
    }
    rmSync(this.#pidFile, { force: true });
    // An empty folder, unless it is still mounted: then this fails, and the test with it.
    rmSync(this.#folder, { recursive: true });
  }
}

/** Why exports cannot be mounted here, seen on an export of memory; undefined when they can. */
export async function fuseProblem(folder: string): Promise<string | undefined> {
  const missing = missingOf(["nbdfuse", "fusermount3"]);
  if (missing.length > 0) return `${missing.join(", ")} not installed`;
  const world = await realNbdWorld();
  const mount = new FuseMount(`nbd://127.0.0.1:${world.address.port}/disk`, folder);
  try {
    await mount.ready();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error);
  } finally {
    await mount.close();
    await world.server.close();
  }
}

export type ExportAs = "fuse" | "copy";

/**
 * Gives an export to `use` as a file that can be read and written; what was written is in the export
 * when this resolves.
 */
export async function withExport<T>(
  world: { readonly as: ExportAs; readonly folder: string },
  uri: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  if (world.as === "fuse") {
    const mount = new FuseMount(uri, world.folder);
    try {
      await mount.ready();
      return await use(mount.path);
    } finally {
      await mount.close();
    }
  }
  const copy = join(mkdtempSync(join(world.folder, "copy-")), "disk");
  await tool("nbdcopy", uri, copy);
  const result = await use(copy);
  if ((await tool("nbdinfo", "--json", uri)).includes('"is_read_only": false'))
    await tool("nbdcopy", "--flush", copy, uri);
  rmSync(copy);
  return result;
}
