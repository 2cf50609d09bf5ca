/**
 * The simulator as a command; scripts/sim builds and starts it. Prints a line a seed, of a failing one
 * everything that is needed to see it again, and at the end what the set has shown.
 */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { drawConfig } from "./config.ts";
import { runScenarioFile } from "./lab/scenarioMain.ts";
import { eventText, reportFailure } from "./replay/failure.ts";
import { type Options, parseOptions, USAGE } from "./replay/options.ts";
import { childPool, ownPool, type Pool, serveParent, WORKER_ARGUMENT } from "./replay/pool.ts";
import { readRegression } from "./replay/regression.ts";
import { coverageLines, Summary } from "./replay/summary.ts";
import { type Case, drawnCase, runCase, type Trial, violationText } from "./replay/trial.ts";

const MS_PER_MINUTE = 60_000;
const MS_PER_SECOND = 1000;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** Failing seeds that are made small; a set in which everything fails would take for ever. */
const EXAMINED_MAX = 3;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Cases one after the other, until the set is complete. */
function* casesOf(options: Options): Generator<Case> {
  if (options.regression !== undefined) {
    yield readRegression(options.regression).case;
    return;
  }
  const startedMs = performance.now();
  for (let ran = 0; ; ran++) {
    const isOver =
      options.minutes === undefined
        ? ran >= options.seeds
        : performance.now() - startedMs >= options.minutes * MS_PER_MINUTE;
    if (isOver) return;
    yield drawnCase(drawConfig(options.seed + ran, options.untilMs, options.groups));
  }
}

/** The trials of a set in order; as many as the pool is wide are under way. */
async function* trialsOf(pool: Pool, options: Options): AsyncGenerator<Trial> {
  const underWay: Promise<Trial>[] = [];
  const onEvent = (event: Parameters<typeof eventText>[0]): void => {
    print(eventText(event));
  };
  const { isTwice } = options;
  for (const one of casesOf(options)) {
    underWay.push(
      options.trace ? runCase(one, { isTwice, onEvent }) : pool.run(one, options.isTwice),
    );
    if (underWay.length < pool.width) continue;
    const first = await underWay.shift();
    if (first !== undefined) yield first;
  }
  for (const trial of underWay) yield await trial;
}

function seedLine({ seed, violations, traceHash, events, virtualMs, wallMs }: Trial): string {
  return [
    `seed ${seed}`.padEnd(12),
    violations.length === 0 ? "ok    " : "FAILED",
    traceHash,
    String(events).padStart(8),
    "events,",
    (virtualMs / MS_PER_SECOND).toFixed(1).padStart(6),
    "virtual s in",
    (wallMs / MS_PER_SECOND).toFixed(1).padStart(5),
    "s",
  ].join(" ");
}

/** `failures` are the violations as text; everything of `RunResult` but the last events. */
function seedJson(trial: Trial): string {
  const failures = trial.violations.map(violationText);
  return JSON.stringify({ kind: "seed", ...trial, tail: undefined, failures });
}

function againOf({ seed }: Trial, options: Options): string {
  if (options.regression !== undefined)
    return `scripts/sim --regression ${options.regression} --trace`;
  const until = options.untilMs === undefined ? "" : ` --until ${options.untilMs}`;
  const groups = options.groups === undefined ? "" : ` --groups ${options.groups.join()}`;
  const twice = options.isTwice ? " --twice" : "";
  return `scripts/sim --seed ${seed}${groups}${until}${twice} --trace`;
}

function commit(): string {
  try {
    const describe = ["describe", "--always", "--dirty", "--exclude", "*"];
    const how = { cwd: import.meta.dirname, encoding: "utf8", stdio: "pipe" } as const;
    return execFileSync("git", describe, how).trim();
  } catch {
    return "unknown";
  }
}

/** `test/sim/regressions` of the checkout that this file, built or not, lies in. */
function regressionsFolder(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder))
    if (existsSync(join(folder, "package.json"))) return join(folder, "test/sim/regressions");
  throw new Error("the simulator does not lie in a checkout");
}

async function runSet(options: Options): Promise<Summary> {
  const program = process.argv[1] ?? "";
  const pool = options.jobs > 1 ? childPool(program, options.jobs) : ownPool();
  const summary = new Summary();
  try {
    for await (const trial of trialsOf(pool, options)) {
      summary.add(trial);
      print(options.json ? seedJson(trial) : seedLine(trial));
      if (trial.violations.length === 0 || options.json) continue;
      const isExamined = summary.failed.length <= EXAMINED_MAX;
      await reportFailure(trial, {
        ...{ pool, commit: commit(), again: againOf(trial, options), print },
        shrinkRuns: isExamined ? options.shrinkRuns : 0,
        chart: options.chart,
        keepIn: options.keep ? regressionsFolder() : undefined,
      });
    }
  } finally {
    pool.close();
  }
  return summary;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    print(USAGE);
    return 0;
  }
  const { scenario } = options;
  if (scenario !== undefined)
    return (await runScenarioFile(scenario, { ...options, print })) ? 0 : EXIT_FAILED;
  const summary = await runSet(options);
  if (options.json) print(JSON.stringify(summary.json()));
  else for (const line of summary.lines()) print(line);
  if (options.coverage && !options.json)
    for (const line of coverageLines(summary.coverage)) print(line);
  return summary.isGood ? 0 : EXIT_FAILED;
}

if (process.argv[2] === WORKER_ARGUMENT) serveParent();
else
  main().then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(
        `scripts/sim: ${error instanceof Error ? error.message : String(error)}\n`,
      );
      process.exit(EXIT_USAGE);
    },
  );
