/** What a figure was measured on: without it a figure is worth nothing. */

import { execFile } from "node:child_process";
import { cpus, totalmem } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly commit: string;
  /** Versions of the programs that measured or were measured. */
  readonly tools: Readonly<Record<string, string>>;
}

/** First line of what a program says of its version, or "" when it is not there. */
async function versionOf(command: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(command, [...args]);
    return stdout.split("\n")[0]?.trim() ?? "";
  } catch {
    // Not installed: the benchmark says which subject it leaves out.
    return "";
  }
}

export async function describeMachine(): Promise<Machine> {
  const [commit, changed, kernel, fio, nbdkit, qemu] = await Promise.all([
    versionOf("git", ["-C", import.meta.dirname, "rev-parse", "--short", "HEAD"]),
    versionOf("git", ["-C", import.meta.dirname, "status", "--porcelain", "--untracked-files=no"]),
    versionOf("uname", ["-sr"]),
    versionOf("fio", ["--version"]),
    versionOf("nbdkit", ["--version"]),
    versionOf("qemu-nbd", ["--version"]),
  ]);
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel,
    node: process.version,
    commit: changed === "" ? commit : `${commit}, changed`,
    tools: { fio, nbdkit, "qemu-nbd": qemu },
  };
}
