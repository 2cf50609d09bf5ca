/**
 * Drives the built `antipode` as a user does, in a directory and with a list of labs of its own.
 * Whatever a test leaves running is ended afterwards, by the lab's own command.
 */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** `ANTIPODE_TEST_DIST` names another build than the checkout's own. */
const DIST = process.env["ANTIPODE_TEST_DIST"] ?? join(import.meta.dirname, "..", "..", "dist");
const MAIN = join(DIST, "services", "cli", "main.js");
const POLL_INTERVAL_MS = 100;

export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProcessStatus {
  readonly id: string;
  readonly state: string;
  readonly pid: number;
  readonly restarts: number;
  readonly host: string;
  readonly port: number;
}

/** What the tests read of `lab up --json` and `lab status --json`. */
export interface LabStatus {
  readonly state: string;
  readonly genesis: { readonly pid: number; readonly address: { host: string; port: number } };
  readonly processes: readonly ProcessStatus[];
  readonly residentBytes: number;
}

export interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly remedy: string };
}

export class LabCli {
  readonly base = mkdtempSync(join(tmpdir(), "antipode-lab-"));
  readonly #labs = new Set<string>();

  /** Path of a lab of this test. */
  directory(name = "lab"): string {
    const path = join(this.base, name);
    this.#labs.add(path);
    return path;
  }

  /** Starts a command. */
  start(...args: readonly string[]): ReturnType<typeof spawn> {
    return spawn(process.execPath, [MAIN, ...args], {
      cwd: this.base,
      env: { ...process.env, ANTIPODE_HOME: join(this.base, "home") },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Runs a command to its end. */
  async run(...args: readonly string[]): Promise<Run> {
    const child = this.start(...args);
    const output = { stdout: "", stderr: "" };
    child.stdout?.on("data", (part: Buffer) => {
      output.stdout += part.toString();
    });
    child.stderr?.on("data", (part: Buffer) => {
      output.stderr += part.toString();
    });
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => {
        resolve({ status, ...output });
      });
    });
  }

  /** Runs a command with --json that must succeed. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const run = await this.run(...args, "--json");
    if (run.status !== 0)
      throw new Error(`antipode ${args.join(" ")}: ${run.status}\n${run.stdout}${run.stderr}`);
    return JSON.parse(run.stdout) as T;
  }

  /** Runs a command with --json that must fail; its error and exit code. */
  async failure(...args: readonly string[]): Promise<Failure["error"] & { readonly exit: number }> {
    const run = await this.run(...args, "--json");
    if (run.status === 0) throw new Error(`antipode ${args.join(" ")} succeeded: ${run.stdout}`);
    return { ...(JSON.parse(run.stdout) as Failure).error, exit: run.status ?? -1 };
  }

  /** The lab's state, when the condition holds of it. */
  async statusWhen(
    directory: string,
    holds: (status: LabStatus) => boolean,
    limitMs = 30_000,
  ): Promise<LabStatus> {
    const startedMs = performance.now();
    for (;;) {
      const status = await this.json<LabStatus>("lab", "status", "--dir", directory);
      if (holds(status)) return status;
      if (performance.now() - startedMs > limitMs)
        throw new Error(`the lab does not get there: ${JSON.stringify(status.processes)}`);
      await delay(POLL_INTERVAL_MS);
    }
  }

  /** Ends all labs of this test and removes its folder. */
  async cleanUp(): Promise<void> {
    for (const directory of this.#labs)
      if (existsSync(join(directory, "lab.json")))
        await this.run("lab", "delete", "--dir", directory);
    rmSync(this.base, { recursive: true, force: true });
  }
}

/** Living processes whose command line holds this text, by /proc; empty where there is none. */
export function processesWith(text: string): readonly number[] {
  if (!existsSync("/proc/self/cmdline")) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
      } catch {
        return false; // Ended meanwhile.
      }
    })
    .map(Number);
}

/** Does anybody listen there? */
export function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}

/** Resolves when the condition holds. */
export async function until(holds: () => boolean, limitMs: number, what: string): Promise<void> {
  const startedMs = performance.now();
  while (!holds()) {
    if (performance.now() - startedMs > limitMs) throw new Error(`never happened: ${what}`);
    await delay(POLL_INTERVAL_MS);
  }
}
