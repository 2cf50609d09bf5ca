/**
 * One run of a soak: `antipode chaos run` as a process of its own, so that what a run does to its
 * process (a crash, a hang, a descriptor that stays open) is the run's and not the soak's. It has a group
 * of its own: Ctrl-C at the terminal is passed on once, and it ends well.
 */

import { spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import type { LabWorld } from "../../lab/index.ts";

/** Above any scenario: set-up, an hour of steps, convergence. Who takes longer hangs. */
const RUN_MS_MAX = 2 * 3_600_000;
const LAST_LINES = 3;

export interface ChildOrder {
  /** After `antipode`. */
  readonly args: readonly string[];
  /** For temporary files; inherited by everything that the run starts. */
  readonly tmpFolder: string;
  /** Gets all that it prints. */
  readonly outputFile: string;
}

export interface ChildEnd {
  readonly exit: number | undefined;
  /** How it ended and its last words, for people. */
  readonly said: string;
}

/** Runs it to its end; an abort of the signal asks it to end early. */
export async function runChild(
  world: LabWorld,
  { args, tmpFolder, outputFile }: ChildOrder,
  signal: AbortSignal,
): Promise<ChildEnd> {
  const main = join(import.meta.dirname, "..", `main${extname(import.meta.filename)}`);
  const output = await open(outputFile, "w");
  const limit = { isPassed: false };
  try {
    const child = spawn(world.launch.node, [main, ...args], {
      detached: true,
      env: { ...world.environment, TMPDIR: tmpFolder },
      stdio: ["ignore", output.fd, output.fd],
    });
    const interrupt = (): void => void child.kill("SIGINT");
    signal.addEventListener("abort", interrupt, { once: true });
    if (signal.aborted) interrupt();
    const timer = world.clock.after(RUN_MS_MAX, () => {
      limit.isPassed = true;
      child.kill("SIGKILL");
    });
    try {
      const ended = await new Promise<{ code: number | null; by: string | null }>(
        (resolve, reject) => {
          child.once("error", reject);
          child.once("exit", (code, by) => {
            resolve({ code, by });
          });
        },
      );
      const how = limit.isPassed
        ? "it did not end"
        : `it ended with ${ended.by ?? ended.code ?? "?"}`;
      return { exit: ended.code ?? undefined, said: `${how}: ${await lastWords(outputFile)}` };
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", interrupt);
    }
  } finally {
    await output.close();
  }
}

async function lastWords(file: string): Promise<string> {
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line.trim() !== "");
  return lines.slice(-LAST_LINES).join(" / ");
}
