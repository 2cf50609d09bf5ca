/**
 * The library of chaos scenarios (deploy/chaos) in the simulator: every one is good, and two runs of it are
 * one execution. Through `scripts/sim`, as people and `antipode chaos run --engine sim` start it.
 */

import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { parseResult } from "../../../services/report/index.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const LIBRARY = "deploy/chaos";
/** A quarter of an hour of virtual time: for an hour of one's own, `scripts/sim --scenario` runs it too. */
const SOAKS = ["storm.yaml"];
const SCENARIOS = readdirSync(join(ROOT, LIBRARY)).filter(
  (file) => file.endsWith(".yaml") && !SOAKS.includes(file),
);
/** Guards against a hang of the test itself only: a run that does not end fails by its number of events. */
const HANG_MS = 30 * 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const run = promisify(execFile);
let running = 0;
const waiting: (() => void)[] = [];

/** As many at once as there are cores. */
async function inTurn<T>(act: () => Promise<T>): Promise<T> {
  while (running >= availableParallelism())
    await new Promise<void>((resolve) => waiting.push(resolve));
  running += 1;
  try {
    return await act();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

interface Answer {
  readonly result: unknown;
  readonly isOneExecution: boolean;
  readonly checks: readonly { readonly name: string; readonly verdict: string }[];
}

/** The object that the command prints, whatever its exit code. */
async function simulate(file: string): Promise<Answer> {
  const args = [join(ROOT, "scripts/sim"), "--scenario", join(LIBRARY, file), "--twice", "--json"];
  const stdout = await new Promise<string>((resolve, reject) => {
    execFile("bash", args, { cwd: ROOT, maxBuffer: OUTPUT_BYTES_MAX }, (error, output) => {
      // One that is not good says so with its exit code, and why on standard output.
      if (output === "") reject(error ?? new Error(`${file}: no output`));
      else resolve(output);
    });
  });
  return JSON.parse(stdout) as Answer;
}

describe("the library of scenarios in the simulator", () => {
  beforeAll(async () => {
    // Builds the simulator when it is stale.
    await run("bash", [join(ROOT, "scripts/sim"), "--help"]);
  }, HANG_MS);

  it("is there", () => {
    expect(SCENARIOS.length).toBeGreaterThanOrEqual(16);
  });

  it.concurrent.each(SCENARIOS)(
    "keeps what %s asserts, and twice is one execution (P1, P2, P3, P4, P5, P7, P8, P9)",
    async (file) => {
      const { result: value, isOneExecution, checks } = await inTurn(() => simulate(file));
      const result = parseResult(value);
      expect(result.engine).toBe("sim");
      expect(result.verdicts.filter(({ verdict }) => verdict === "violated")).toEqual([]);
      expect(checks.filter(({ verdict }) => verdict === "violated")).toEqual([]);
      const asserted = result.verdicts.filter((one) => one.asserted);
      expect(asserted.filter(({ verdict }) => verdict !== "held")).toEqual([]);
      expect(
        result.events.filter(({ kind, problem }) => kind === "fault" && problem !== ""),
      ).toEqual([]);
      expect(result.ok).toBe(true);
      expect(isOneExecution).toBe(true);
    },
    HANG_MS,
  );
});
