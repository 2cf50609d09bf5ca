/** `antipode chaos soak`: scenarios again and again, each time with another seed, until one is bad. */

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { parseJson } from "../../base/checkedJson.ts";
import { AntipodeError, exitCode } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import { planSoak, remainingMs, type SoakStep } from "../../chaos/index.ts";
import {
  faultCounts,
  parseResult,
  type RunResult,
  type Soak,
  type SoakRun,
  soakJunitOf,
  soakOf,
} from "../../report/index.ts";
import { addCommand, type Context, type Outcome, optional } from "../command.ts";
import { table } from "../output.ts";
import { createProgress, type Progress } from "../progress.ts";
import { leaksOf } from "../soak/leaks.ts";
import { runChild } from "../soak/runChild.ts";
import { VERSION } from "../version.ts";
import { readScenario, seedOf } from "./chaosFile.ts";

const TIMES_MAX = 10_000;
const SCENARIO_FILE = /\.ya?ml$/;

/** Adds to the noun `chaos`. */
export function addChaosSoakCommand(noun: Command): void {
  addCommand(noun, {
    usage: "soak <scenarios...>",
    summary: "run scenarios again and again, each with another seed, until one is bad",
    more: [
      "Files, or folders of which it takes every scenario. Each run is a `chaos run` of its own on a lab of its own;",
      "afterwards no process, port, file or lab of it may be left. A bad run's report, lab and logs are kept.",
      "Exit code 9: a run was bad or left something behind.",
    ].join("\n"),
    options: [
      ["--times <number>", "rounds in a row (default: 1)"],
      ["--seed <number>", "decides the seed of every run (default: drawn)"],
      ["--except <names...>", "scenarios to leave out"],
      ["--keep-going", "do not stop at the first bad run"],
      [
        "--report <folder>",
        "write soak.json and junit.xml there, after every run; and the reports of bad runs",
      ],
    ],
    examples: [
      "chaos soak deploy/chaos --times 20 --except storm --report /tmp/soak",
      "chaos soak deploy/chaos/flapping-link.yaml --times 5 --seed 7",
    ],
    run: soak,
  });
}

interface SoakPlan {
  readonly context: Context;
  readonly progress: Progress;
  readonly seed: number;
  readonly times: number;
  /** Name → path as it was given. */
  readonly files: ReadonlyMap<string, string>;
  readonly steps: readonly SoakStep[];
  /** For temporary files of the runs; absolute. */
  readonly workFolder: string;
  /** Where reports go; `undefined` when nobody asked for any. */
  readonly reportFolder: string | undefined;
  readonly reproduce: string;
}

async function soak(context: Context, given: readonly (string | undefined)[]): Promise<Outcome> {
  const paths = given.flatMap((one) => one ?? []);
  const except = exceptOf(context);
  const files = await scenariosOf(paths, except);
  const times = timesOf(context);
  const seed = seedOf(context, undefined);
  const report = optional(context.options, "report");
  const reportFolder = report === undefined ? undefined : await madeFolder(resolve(report));
  const workFolder = await mkdtemp(join(tmpdir(), "antipode-soak-"));
  const without = except.length === 0 ? "" : ` --except ${except.join(" ")}`;
  const plan: SoakPlan = {
    context,
    progress: createProgress({ json: context.json }),
    seed,
    times,
    files,
    steps: planSoak([...files.keys()], { times, seed }),
    workFolder,
    reportFolder,
    reproduce: `antipode chaos soak ${paths.join(" ")} --times ${times} --seed ${seed}${without}`,
  };
  const found = await runAll(plan);
  await rmIfEmpty(workFolder);
  context.signal.throwIfAborted();
  return {
    json: found,
    text: textOf(found, plan),
    ...(found.ok ? {} : { exit: exitCode.checkFailed }),
  };
}

async function runAll(plan: SoakPlan): Promise<Soak> {
  const { context, progress, steps, seed, reproduce } = plan;
  const { clock } = context.world;
  const startedMs = clock.now();
  const startedAtMs = clock.wall();
  const runs: SoakRun[] = [];
  const bar = progress.bar("soak", "items");
  const soFar = (): Soak => {
    const durationMs = clock.now() - startedMs;
    const facts = { seed, reproduce, antipode: VERSION, startedAtMs, durationMs };
    return soakOf({ ...facts, planned: steps.length, runs });
  };
  for (const [index, step] of steps.entries()) {
    const left = remainingMs(runs, steps.slice(index));
    const time = left === undefined ? "" : `, ${formatDuration(left)} left`;
    bar.update(index, steps.length, `${step.scenario}, seed ${step.seed}${time}`);
    const run = await runStep(plan, step, index + 1);
    if (context.signal.aborted) break;
    runs.push(run);
    // Whoever ends the soak by force has what was found so far.
    await writeSoak(plan, soFar());
    const outcome = run.ok ? "good" : `NOT GOOD: ${run.why}`;
    progress.line(
      `round ${run.round} of ${plan.times}: ${run.scenario}, seed ${run.seed}: ${outcome} after ${formatDuration(run.durationMs)}`,
    );
    for (const line of [...run.leaks.map((one) => `left: ${one}`), ...run.kept])
      progress.line(`  ${line}`);
    if (!run.ok && context.options["keepGoing"] !== true) break;
  }
  bar.update(runs.length, steps.length);
  bar.end();
  const found = soFar();
  await writeSoak(plan, found);
  return found;
}

/** One run, and the look at what it left. */
async function runStep(plan: SoakPlan, step: SoakStep, number: number): Promise<SoakRun> {
  const { context, workFolder, files } = plan;
  const { world } = context;
  const file = files.get(step.scenario) ?? "";
  const name = `${String(number).padStart(4, "0")}-${step.scenario}`;
  const place = join(workFolder, name);
  const tmpFolder = await madeFolder(join(place, "tmp"));
  const { reportFolder } = plan;
  const report = await madeFolder(
    reportFolder === undefined ? join(place, "report") : join(reportFolder, name),
  );
  const startedMs = world.clock.now();
  const seed = String(step.seed);
  const args = ["chaos", "run", file, "--seed", seed, "--report", report];
  const end = await runChild(
    world,
    { args, tmpFolder, outputFile: join(report, "output.txt") },
    context.signal,
  );
  const durationMs = world.clock.now() - startedMs;
  const result = await resultIn(report);
  const isGood = end.exit === 0 && result?.ok === true;
  // What is kept of a bad run is no leak; its processes must have ended all the same.
  const leaks = (await leaksOf(world, tmpFolder)).filter(
    (one) => isGood || one.startsWith("process "),
  );
  const ok = isGood && leaks.length === 0;
  // Of a run that was interrupted there is nothing to look at.
  if (ok || context.signal.aborted)
    for (const folder of [report, place]) await rm(folder, { recursive: true, force: true });
  const audits = (result?.audits ?? []).filter((one) => one.of === "source");
  const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);
  return {
    ...step,
    file,
    ok,
    why: ok ? "" : isGood ? "it left something behind" : whyOf(result, end.said),
    leaks,
    durationMs,
    faults: sum(faultCounts(result ?? { events: [] }).map((one) => one.done)),
    acknowledged: sum(audits.map((one) => one.audit.acknowledged)),
    lost: sum(audits.map((one) => one.audit.lost)),
    kept: ok ? [] : [report, tmpFolder],
  };
}

/** The result that a run wrote; `undefined` when it did not come so far. */
async function resultIn(report: string): Promise<RunResult | undefined> {
  const file = join(report, "result.json");
  const text = await readFile(file, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseResult(parseJson(text, file));
}

function whyOf(result: RunResult | undefined, said: string): string {
  if (result === undefined) return said;
  const broken = result.verdicts.filter(
    ({ verdict, asserted }) => verdict === "violated" || (verdict === "vacuous" && asserted),
  );
  const missed = result.events.filter((one) => one.kind === "fault" && one.problem !== "");
  const all = [
    ...broken.map(({ invariant, verdict, found }) => `${invariant} ${verdict}: ${found}`),
    ...missed.map(({ what, problem }) => `${what}: not done, ${problem}`),
  ];
  return all.length === 0 ? said : all.join("; ");
}

async function writeSoak({ reportFolder }: SoakPlan, found: Soak): Promise<void> {
  if (reportFolder === undefined) return;
  await writeFile(join(reportFolder, "soak.json"), `${JSON.stringify(found, undefined, 2)}\n`);
  await writeFile(join(reportFolder, "junit.xml"), soakJunitOf(found));
}

function textOf(found: Soak, { times, files, reportFolder }: SoakPlan): string {
  const rows = found.scenarios.map((one) => [
    one.scenario,
    one.passed,
    one.failed,
    formatDuration(one.shortestMs),
    formatDuration(one.medianMs),
    formatDuration(one.longestMs),
  ]);
  const sum = (of: (run: SoakRun) => number): number =>
    found.runs.reduce((total, one) => total + of(one), 0);
  const bad = found.runs.filter((one) => !one.ok).length;
  const counts = `${sum((one) => one.faults)} faults, ${sum((one) => one.acknowledged)} acknowledged writes audited, ${sum((one) => one.lost)} lost`;
  const rounds = `${times} ${times === 1 ? "round" : "rounds"} of ${files.size}`;
  return [
    table(["scenario", "passed", "failed", "shortest", "median", "longest"], rows),
    "",
    `${rounds}: ${found.runs.length} of ${found.planned} runs done, ${bad} bad, ${found.goodInARow} good in a row from the first`,
    `${counts}; nothing left behind by good runs; seed ${found.seed}`,
    ...(reportFolder === undefined ? [] : [`report: ${reportFolder}`]),
    `${found.ok ? "good" : "NOT GOOD"} after ${formatDuration(found.durationMs)}; again: ${found.reproduce}`,
  ].join("\n");
}

/**
 * Every scenario of the files and folders, by name, in order.
 * @throws AntipodeError `INVALID_ARGUMENT` when one is no scenario, has another's name, or none is left
 */
async function scenariosOf(
  paths: readonly string[],
  except: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const path of paths) {
    const info = await stat(path).catch((cause: unknown) => {
      throw new AntipodeError("INVALID_ARGUMENT", `${path} cannot be read`, { path }, cause);
    });
    const names = info.isDirectory()
      ? (await readdir(path)).filter((name) => SCENARIO_FILE.test(name)).sort()
      : [];
    for (const file of info.isDirectory() ? names.map((name) => join(path, name)) : [path]) {
      const { name } = await readScenario(file);
      const other = found.get(name);
      if (other !== undefined)
        throw new AntipodeError(
          "INVALID_ARGUMENT",
          `${other} and ${file} are both called "${name}"`,
        );
      found.set(name, file);
    }
  }
  for (const name of except)
    if (!found.delete(name))
      throw new AntipodeError("INVALID_ARGUMENT", `--except ${name}: no scenario is called so`);
  if (found.size === 0)
    throw new AntipodeError("INVALID_ARGUMENT", `there is no scenario in ${paths.join(", ")}`);
  return found;
}

function exceptOf({ options }: Context): readonly string[] {
  const given = options["except"];
  return typeof given === "object" ? given : [];
}

function timesOf({ options }: Context): number {
  const text = optional(options, "times") ?? "1";
  const times = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (times < 1 || times > TIMES_MAX)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `--times is a number from 1 to ${TIMES_MAX}, not "${text}"`,
    );
  return times;
}

async function madeFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the folder ${path} cannot be made`,
      { path },
      cause,
    );
  });
  return path;
}

/** Bad runs left their labs and logs in it. */
async function rmIfEmpty(folder: string): Promise<void> {
  if ((await readdir(folder)).length === 0) await rm(folder, { recursive: true });
}
