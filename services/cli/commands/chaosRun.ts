/** `antipode chaos run|lint|heal`: scenarios of faults, and the undoing of everything. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { AntipodeError, codeOf, exitCode } from "../../base/errors.ts";
import { createPrng } from "../../base/prng.ts";
import { formatDuration } from "../../base/units.ts";
import { describeStep, type Scenario, timelineOf } from "../../chaos/index.ts";
import {
  callGenesis,
  deleteLab,
  downLab,
  type OpenLab,
  replicationFactorOf,
  upLab,
} from "../../lab/index.ts";
import { FaultService } from "../../platform/wire/faults.ts";
import { GenesisService } from "../../platform/wire/genesis.ts";
import { WanService } from "../../platform/wire/wan.ts";
import { faultsText, type RunResult } from "../../report/index.ts";
import { addCommand, type Context, type Options, type Outcome, optional } from "../command.ts";
import { table } from "../output.ts";
import { createProgress } from "../progress.ts";
import { readScenario, seedOf } from "./chaosFile.ts";
import {
  addChaosReportCommand,
  plannedReports,
  reportOptions,
  writeReports,
} from "./chaosReport.ts";
import { type ChaosRun, runScenario } from "./chaosScenario.ts";
import { shapeOfScenario } from "./chaosShape.ts";
import { simulate } from "./chaosSim.ts";
import { callWan } from "./chaosWan.ts";

/** Adds to the noun `chaos`. */
export function addChaosRunCommands(noun: Command): void {
  addCommand(noun, {
    usage: "run <file>",
    summary: "run a scenario, then heal, converge, compare, and judge each promise",
    more: [
      "Without --dir on a lab of its own, which is deleted afterwards; with --dir on the lab that runs there.",
      "With --engine sim in virtual time, from a checkout: the same file, at 1:8, within seconds; one seed is one execution.",
      "Every fault is held by a lease: it undoes itself within 10 s when this command dies.",
      "Exit code 9: a promise is violated, or one that the scenario asserts was never tested.",
    ].join("\n"),
    options: [
      ["--dry-run", "only print the time line"],
      ["--seed <number>", "instead of the scenario's: decides targets and writes"],
      ["--keep", "leave the lab of its own running"],
      ["--engine <name>", "lab (default): real processes; sim: the simulator of a checkout"],
      ...reportOptions,
    ],
    examples: [
      "chaos run deploy/chaos/leader-kill-full.yaml",
      "chaos run flap.yaml --seed 7 --report /tmp/flap",
      "chaos run deploy/chaos/everything.yaml --engine sim",
    ],
    run: (context, [file]) => run(context, file ?? ""),
  });
  addCommand(noun, {
    usage: "lint <file>",
    summary: "check a scenario without running it",
    examples: ["chaos lint deploy/chaos/leader-kill-full.yaml"],
    run: async (_, [file]) => {
      const scenario = await readScenario(file ?? "");
      const steps = timelineOf(scenario, createPrng(0)).length;
      return {
        json: { ok: true, name: scenario.name, steps },
        text: `${scenario.name}: good, ${steps} steps`,
      };
    },
  });
  addChaosReportCommand(noun);
  addCommand(noun, {
    usage: "heal",
    summary: "undo everything: frozen processes go on, dead ones start, links are healed",
    more: "Safe at any time and as often as you like. Latency and bandwidth that `link set` gave stay.",
    examples: ["chaos heal"],
    run: heal,
  });
}

async function run(context: Context, file: string): Promise<Outcome> {
  const scenario = await readScenario(file);
  const seed = seedOf(context, scenario.seed);
  if (context.options["dryRun"] === true) return dryRun(scenario, seed);
  const engine = engineOf(context.options);
  const reports = await plannedReports(context.options);
  const progress = createProgress({ json: context.json });
  const tell = (line: string): void => {
    progress.line(line);
  };
  if (engine === "sim") {
    const answer = await simulate({ file, seed, tell, signal: context.signal });
    for (const written of await writeReports(reports, answer.result)) tell(`report: ${written}`);
    return outcomeOf(answer.result, `one execution: ${answer.traceHash}`);
  }
  const workFolder = await mkdtemp(join(tmpdir(), "antipode-chaos-"));
  const work = join(workFolder, "work");
  await context.world.diskAt(work).makeFolder("");
  const own = optional(context.options, "dir") === undefined;
  const codec: ChaosRun["codec"] = async () =>
    (await import("../../platform/adapters/codec.ts")).createCodec();
  const plan = {
    context,
    scenario,
    file,
    seed,
    engine,
    codec,
    tell,
    workFolder: work,
  };
  let result: RunResult;
  if (own) result = await onOwnLab(plan, join(workFolder, "lab"));
  else {
    const open = await context.lab();
    requireShape(open, scenario);
    result = await runScenario({ ...plan, open });
  }
  for (const written of await writeReports(reports, result)) tell(`report: ${written}`);
  // A run that went wrong leaves its files for a look.
  if (result.ok && !(own && context.options["keep"] === true))
    await rm(workFolder, { recursive: true, force: true });
  else context.tell(`histories and copies are kept in ${workFolder}`);
  return outcomeOf(result);
}

function outcomeOf(result: RunResult, ...more: readonly string[]): Outcome {
  return {
    json: result,
    text: [resultText(result), ...more].join("\n"),
    ...(result.ok ? {} : { exit: exitCode.checkFailed }),
  };
}

/** @throws AntipodeError `INVALID_ARGUMENT`, also for options that mean nothing to a simulated lab */
function engineOf(options: Options): RunResult["engine"] {
  const name = optional(options, "engine") ?? "lab";
  if (name === "lab") return name;
  if (name !== "sim")
    throw new AntipodeError("INVALID_ARGUMENT", `--engine is lab or sim, not "${name}"`);
  if (options["dir"] !== undefined || options["keep"] === true)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      "--engine sim makes a lab of its own in memory: leave out --dir and --keep",
    );
  return name;
}

async function onOwnLab(plan: Omit<ChaosRun, "open">, directory: string): Promise<RunResult> {
  const { context, scenario, tell } = plan;
  const { shape, given } = shapeOfScenario(scenario, context.options);
  const { open } = await upLab(context.world, {
    directory,
    shape,
    given,
    autoRestart: true,
    logLevel: "info",
    signal: context.signal,
    onProgress: () => undefined,
  });
  let good = false;
  try {
    const result = await runScenario({ ...plan, open });
    good = result.ok;
    return result;
  } finally {
    if (context.options["keep"] === true) tell(`the lab is still running: --dir ${directory}`);
    else if (good) await deleteLab(context.world, directory);
    else {
      // What went wrong is in the logs: the processes end, the files stay.
      await downLab(context.world, directory);
      tell(`the lab's files and logs are kept in ${directory}`);
    }
  }
}

/** The scenario's names must mean something in this lab. */
function requireShape(open: OpenLab, scenario: Scenario): void {
  const copies = scenario.rf;
  if (copies !== undefined)
    for (const site of open.lab.sites)
      if (replicationFactorOf(open.lab, site) !== copies)
        throw new AntipodeError(
          "INVALID_ARGUMENT",
          `the scenario needs ${copies} copies, and site ${site.name} of this lab keeps ${replicationFactorOf(open.lab, site)}`,
          { site: site.name },
        );
  for (const { name, cvms } of scenario.sites) {
    const site = open.plan.sites.find((one) => one.name === name);
    if (site === undefined || site.cvms.length < cvms)
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `the scenario needs a site ${name} with ${cvms} CVMs, and this lab has ${site?.cvms.length ?? 0} there`,
        { site: name },
      );
  }
}

function dryRun(scenario: Scenario, seed: number): Outcome {
  const steps = timelineOf(scenario, createPrng(seed)).map(({ atMs, id, step }) => ({
    atMs,
    id,
    what: describeStep(step),
  }));
  const rows = steps.map(({ atMs, id, what }) => [formatDuration(atMs), id, what]);
  const end = "then: heal, converge, compare, verdicts on";
  return {
    json: { name: scenario.name, seed, steps, assert: scenario.assert },
    text: `${scenario.name}\n\n${table(["at", "step", "what"], rows)}\n\n${end} ${scenario.assert.join(", ")}`,
  };
}

function resultText(result: RunResult): string {
  const events = result.events.map(({ fromMs, what, struck, problem }) => [
    formatDuration(fromMs),
    what,
    problem === "" ? struck.join(", ") : `not done: ${problem}`,
  ]);
  const verdicts = result.verdicts.map(({ invariant, verdict, found }) => [
    invariant,
    verdict,
    found,
  ]);
  const missed = result.events.filter((one) => one.kind === "fault" && one.problem !== "").length;
  const [first, last] = [result.phases[0], result.phases.at(-1)];
  const elapsed = formatDuration((last?.toMs ?? 0) - (first?.fromMs ?? 0));
  return [
    table(["at", "what", "struck"], events),
    "",
    table(["promise", "verdict", "found"], verdicts),
    "",
    ...(missed === 0 ? [] : [`${missed} faults were not done: the scenario is not tested`]),
    `faults done: ${faultsText(result)}; seed ${result.seed}`,
    `${result.ok ? "good" : "NOT GOOD"} after ${elapsed}; again: ${result.reproduce}`,
  ].join("\n");
}

/** By leases first, which puts links back to what they were; then whatever else is frozen, dead or cut. */
async function heal(context: Context): Promise<Outcome> {
  const open = await context.lab();
  const { world, signal } = context;
  const everybody = { holder: "" };
  const { faults } = await callGenesis(world, open, FaultService.heal, everybody, signal);
  const { services } = await callGenesis(world, open, GenesisService.list, {}, signal);
  const frozen = services.filter((one) => one.paused).map((one) => one.id);
  const dead = services.filter((one) => one.state === "dead").map((one) => one.id);
  if (frozen.length > 0) {
    const request = { ids: frozen, signal: "SIGCONT", stayDead: false } as const;
    await callGenesis(world, open, GenesisService.kill, request, signal).catch((error: unknown) => {
      // They died meanwhile: genesis starts them.
      if (codeOf(error) !== "PROCESS_NOT_FOUND") throw error;
    });
  }
  if (dead.length > 0) await callGenesis(world, open, GenesisService.start, { ids: dead }, signal);
  const links = open.plan.sites.length < 2 ? [] : await healLinks(context, open);
  const healed = [...new Set([...faults, ...frozen, ...dead, ...links])];
  return {
    json: { healed },
    text: healed.length === 0 ? "nothing was broken" : `healed: ${healed.join(", ")}`,
  };
}

async function healLinks(context: Context, open: OpenLab): Promise<readonly string[]> {
  const { world } = context;
  const { faults } = await callWan(world, open, FaultService.heal, { holder: "" });
  const { links } = await callWan(world, open, WanService.show, {});
  const cut = links.filter((link) => link.cut).map(({ from, to }) => ({ from, to }));
  await callWan(world, open, WanService.heal, { links: cut });
  return [...faults, ...cut.map(({ from, to }) => `${from}>${to}`)];
}
