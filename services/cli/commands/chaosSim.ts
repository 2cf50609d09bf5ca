/**
 * `antipode chaos run --engine sim`: the scenario in virtual time. The simulator is made of tests' fakes and
 * is no part of what is installed, so production code cannot import it: a checkout's `scripts/sim` is
 * started as a child and answers with the same result as a run on a lab.
 */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseJson } from "../../base/checkedJson.ts";
import { AntipodeError } from "../../base/errors.ts";
import { parseResult, type RunResult } from "../../report/index.ts";

/** What the simulator says at most: a result with all its intervals is below one MiB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const STDERR_CHARS_MAX = 4000;

export interface SimOrder {
  /** As it was given. */
  readonly file: string;
  readonly seed: number;
  /** Shown a line of what goes on. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
  /** Where the search for the simulator begins: this file's folder. */
  readonly from?: string;
}

/** What a simulated run says beside its result. */
export interface SimAnswer {
  readonly result: RunResult;
  /** Two runs of one seed have the same. */
  readonly traceHash: string;
  readonly virtualMs: number;
}

/**
 * Runs a scenario in the simulator.
 * @throws AntipodeError `SIMULATOR_NOT_FOUND` outside of a checkout; `CHECK_FAILED` when the run did not come
 *   to its end; `CANCELLED`
 */
export async function simulate(order: SimOrder): Promise<SimAnswer> {
  const program = findSimulator(order.from ?? import.meta.dirname);
  const args = ["--scenario", order.file, "--seed", String(order.seed), "--json"];
  const { output, complaint, status } = await runChild(program, args, order);
  order.signal.throwIfAborted();
  const line = output.trimEnd().split("\n").at(-1) ?? "";
  if (!line.startsWith("{"))
    throw new AntipodeError(
      "CHECK_FAILED",
      `the simulated run did not come to its end (status ${status}): ${complaint.trim()}`,
    );
  const answer = parseJson(line, "the simulator's answer") as Record<keyof SimAnswer, unknown>;
  return {
    result: parseResult(answer.result),
    traceHash: String(answer.traceHash),
    virtualMs: Number(answer.virtualMs),
  };
}

/**
 * `scripts/sim` of the checkout that a folder lies in.
 * @throws AntipodeError `SIMULATOR_NOT_FOUND`
 */
export function findSimulator(from: string): string {
  for (let folder = from; folder !== dirname(folder); folder = dirname(folder)) {
    const program = join(folder, "scripts", "sim");
    if (existsSync(program) && existsSync(join(folder, "test", "sim", "main.ts"))) return program;
  }
  throw new AntipodeError(
    "SIMULATOR_NOT_FOUND",
    "this antipode is installed without its simulator, which comes with the sources only",
  );
}

function runChild(
  program: string,
  args: readonly string[],
  { tell, signal }: SimOrder,
): Promise<{ readonly output: string; readonly complaint: string; readonly status: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let [output, complaint, rest] = ["", "", ""];
    const end = (): void => {
      child.kill("SIGTERM");
    };
    signal.addEventListener("abort", end, { once: true });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > ANSWER_BYTES_MAX) end();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint = `${complaint}${text}`.slice(-STDERR_CHARS_MAX);
      const lines = `${rest}${text}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) tell(line);
    });
    child.on("error", (cause) => {
      const message = `the simulator could not be started: ${cause.message}`;
      reject(new AntipodeError("SIMULATOR_NOT_FOUND", message, { program }, cause));
    });
    child.on("close", (code, killedBy) => {
      signal.removeEventListener("abort", end);
      resolve({ output, complaint, status: killedBy ?? String(code) });
    });
  });
}
