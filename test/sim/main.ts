/**
 * The simulator as a command; scripts/sim builds and starts it. Prints a line a seed, and of a failing
 * one everything that is needed to see it again.
 */

import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { drawConfig } from "./config.ts";
import { type RunResult, runConfig } from "./run.ts";
import type { TraceEvent } from "./trace.ts";

const MS_PER_MINUTE = 60_000;
const MS_PER_SECOND = 1000;
const TAIL_SHOWN = 200;
const USAGE = `Usage: scripts/sim [options]

Runs whole sites in one process under virtual time, one world a seed, and judges what clients were told.

  --seed S      run this seed only, or begin with it (default 1)
  --seeds N     run N seeds
  --minutes M   run seeds for M minutes
  --until MS    virtual time with faults, in ms (default 20000)
  --twice       run each seed twice and compare the trace hashes
  --trace       print every event
  --json        print one line of JSON a seed
  --help        this text

Exits 1 when a seed failed.
`;

interface Options {
  readonly seed: number;
  readonly seeds: number;
  readonly minutes: number | undefined;
  readonly untilMs: number | undefined;
  readonly twice: boolean;
  readonly trace: boolean;
  readonly json: boolean;
}

function parseOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      seeds: { type: "string" },
      minutes: { type: "string" },
      until: { type: "string" },
      twice: { type: "boolean", default: false },
      trace: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const minutes =
    values.minutes === undefined ? undefined : wholeNumber("--minutes", values.minutes);
  return {
    seed: wholeNumber("--seed", values.seed ?? "1"),
    seeds: values.seeds === undefined ? 1 : wholeNumber("--seeds", values.seeds),
    minutes,
    untilMs: values.until === undefined ? undefined : wholeNumber("--until", values.until),
    twice: values.twice,
    trace: values.trace,
    json: values.json,
  };
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} takes a whole number, not "${text}"`);
  return Number(text);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Names of the verdicts that were violated. */
function failuresOf(result: RunResult): readonly string[] {
  return result.verdicts
    .filter(({ verdict }) => verdict === "violated")
    .map(({ promise, name, text }) => `${promise} ${name}: ${text}`);
}

async function runSeed(seed: number, options: Options): Promise<boolean> {
  const config = drawConfig(seed, options.untilMs);
  const startedMs = performance.now();
  const result = await runConfig(config, options.trace ? { onEvent: printEvent } : {});
  const wallMs = performance.now() - startedMs;
  const failures = [...failuresOf(result)];
  if (options.twice && (await runConfig(config)).traceHash !== result.traceHash)
    failures.push("determinism: a second run of the seed had another trace hash");
  if (options.json) {
    print(JSON.stringify({ ...result, tail: undefined, failures, wallMs }));
  } else print(summary(result, wallMs, failures.length === 0));
  if (failures.length > 0 && !options.json) report(result, failures, options);
  return failures.length === 0;
}

function summary(result: RunResult, wallMs: number, isGood: boolean): string {
  const rate = Math.round((result.events / wallMs) * MS_PER_SECOND);
  return [
    `seed ${result.seed}: ${isGood ? "ok" : "FAILED"}`,
    result.traceHash,
    `${result.events} events`,
    `${(result.virtualMs / MS_PER_SECOND).toFixed(1)} virtual s in ${(wallMs / MS_PER_SECOND).toFixed(1)} s`,
    `${rate} events/s`,
    `${(result.virtualMs / wallMs).toFixed(0)} virtual h per wall h`,
  ].join(", ");
}

function report(result: RunResult, failures: readonly string[], options: Options): void {
  const until = options.untilMs === undefined ? "" : ` --until ${options.untilMs}`;
  const first = result.verdicts.find(({ verdict }) => verdict === "violated");
  for (const line of [
    `  commit:        ${commit()}`,
    `  configuration: ${JSON.stringify(result.config)}`,
    ...failures.map((failure) => `  violated:      ${failure}`),
    ...(first?.witness === undefined ? [] : [`  witness:       ${JSON.stringify(first.witness)}`]),
    ...result.faults.map((fault) => `  fault:         ${fault}`),
    "  last events:",
    ...result.tail.slice(-TAIL_SHOWN).map((event) => `    ${textOf(event)}`),
    `  again:         scripts/sim --seed ${result.seed}${until} --trace`,
  ])
    print(line);
}

function printEvent(event: TraceEvent): void {
  print(textOf(event));
}

function textOf({ ms, at, what, detail }: TraceEvent): string {
  return `${ms.toFixed(3)} ${at} ${what} ${detail}`.trimEnd();
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

/** @returns seeds that were run, and those of them that failed */
async function runAll(options: Options): Promise<{ ran: number; failed: readonly number[] }> {
  const startedMs = performance.now();
  const failed: number[] = [];
  let ran = 0;
  const isOver = (): boolean =>
    options.minutes === undefined
      ? ran >= options.seeds
      : performance.now() - startedMs >= options.minutes * MS_PER_MINUTE;
  while (!isOver()) {
    const seed = options.seed + ran;
    ran += 1;
    if (!(await runSeed(seed, options))) failed.push(seed);
  }
  return { ran, failed };
}

const options = parseOptions();
if (options === undefined) print(USAGE);
else {
  const { ran, failed } = await runAll(options);
  if (!options.json)
    print(
      `${ran} seeds, ${failed.length} failed${failed.length > 0 ? `: ${failed.join(" ")}` : ""}`,
    );
  process.exit(failed.length > 0 ? 1 : 0);
}
