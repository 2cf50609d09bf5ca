/** What scripts/sim can be told. */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type FaultGroup, faultGroups, keysOf } from "../config.ts";
import { SCALE_DEFAULT, SCALE_MAX } from "../lab/scaled.ts";

export const USAGE = `Usage: scripts/sim [options]

Runs whole sites in one process under virtual time, one world a seed, and judges what clients were told.

  --seed S        run this seed only, or begin with it (default 1)
  --seeds N       run N seeds
  --minutes M     run seeds for M minutes
  --groups G,H    strike with faults of these groups alone (config.ts); part of what a seed means
  --until MS      virtual time with faults, in ms (default 20000); part of what a seed means
  --regression F  run the case of this file instead of seeds
  --twice         run each case twice and compare the trace hashes
  --jobs N        run cases in N processes (default: as many as cores; 1: in this one)
  --coverage      print every cell and error code that was not reached, and why
  --trace         print every event: MS PROCESS WHAT DETAIL
  --json          print one line of JSON a seed, and one for all of them
  --help          this text

  --scenario F    run a scenario of \`antipode chaos run\` instead of seeds: a whole lab in virtual time.
                  Goes with --seed (default: the scenario's), --twice, --trace, --chart and --json
  --scale N       divide its rates, sizes and bandwidths by N (default ${SCALE_DEFAULT}; 1: as in the file)

When a seed fails:
  --shrink N      runs to spend on a smaller case that fails alike (default 60; 0: none)
  --chart FILE    draw what went on near the violation, as .svg or .html
  --keep          write the case to test/sim/regressions, which the tests run ever after

Exits 1 when a seed failed, or when a set of 24 or 100 seeds has not seen what so many must (vacuous).
`;

const SHRINK_RUNS = 60;
const JOBS_MAX = 64;

export interface Options {
  readonly seed: number;
  readonly seeds: number;
  readonly minutes: number | undefined;
  readonly untilMs: number | undefined;
  readonly groups: readonly FaultGroup[] | undefined;
  readonly regression: string | undefined;
  readonly isTwice: boolean;
  readonly jobs: number;
  readonly coverage: boolean;
  readonly trace: boolean;
  readonly json: boolean;
  readonly shrinkRuns: number;
  readonly chart: string | undefined;
  readonly keep: boolean;
  readonly scenario: ScenarioOptions | undefined;
}

/** A scenario in place of seeds. */
export interface ScenarioOptions {
  readonly file: string;
  /** `undefined`: the scenario's own. */
  readonly seed: number | undefined;
  readonly scale: number;
}

/**
 * @returns `undefined` when help was asked for
 * @throws Error with a sentence about the argument that is wrong
 */
export function parseOptions(args: readonly string[]): Options | undefined {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ seed: text, seeds: text, minutes: text, until: text, jobs: text, shrink: text },
      ...{ regression: text, chart: text, scenario: text, scale: text, groups: text },
      ...{ twice: flag, coverage: flag, trace: flag, json: flag, keep: flag, help: flag },
    },
  });
  if (values.help) return undefined;
  const { chart } = values;
  if (chart !== undefined && !/\.(?:svg|html)$/.test(chart))
    throw new Error(`--chart takes a file name that ends with .svg or .html, not "${chart}"`);
  const jobs = wholeNumber("--jobs", values.jobs) ?? jobsFor(values);
  if (jobs < 1 || jobs > JOBS_MAX) throw new Error(`--jobs takes 1 to ${JOBS_MAX}`);
  if (values.trace && jobs > 1)
    throw new Error("--trace needs --jobs 1: events of several runs would mix");
  return {
    seed: wholeNumber("--seed", values.seed) ?? 1,
    seeds: wholeNumber("--seeds", values.seeds) ?? 1,
    minutes: wholeNumber("--minutes", values.minutes),
    untilMs: wholeNumber("--until", values.until),
    groups: values.groups?.split(",").map(groupOf),
    regression: values.regression,
    isTwice: values.twice,
    jobs,
    coverage: values.coverage,
    trace: values.trace,
    json: values.json,
    shrinkRuns: wholeNumber("--shrink", values.shrink) ?? SHRINK_RUNS,
    chart,
    keep: values.keep,
    scenario: scenarioOf(values),
  };
}

/** Options that mean nothing to a scenario. */
const OF_SEEDS = ["seeds", "minutes", "until", "regression", "jobs", "shrink", "coverage", "keep"];

function scenarioOf(values: Readonly<Record<string, unknown>>): ScenarioOptions | undefined {
  const { scenario, seed, scale } = values as Readonly<Record<string, string | undefined>>;
  if (scenario === undefined) {
    if (scale !== undefined) throw new Error("--scale is for --scenario");
    return undefined;
  }
  const other = OF_SEEDS.find((name) => values[name] !== undefined && values[name] !== false);
  if (other !== undefined) throw new Error(`--${other} does not go with --scenario`);
  const by = wholeNumber("--scale", scale) ?? SCALE_DEFAULT;
  if (by < 1 || by > SCALE_MAX) throw new Error(`--scale takes 1 to ${SCALE_MAX}`);
  return { file: scenario, seed: wholeNumber("--seed", seed), scale: by };
}

/** One case, or events in their order, need no more than one process. */
function jobsFor(values: {
  readonly trace: boolean;
  readonly seeds?: string | undefined;
  readonly minutes?: string | undefined;
}): number {
  const isSet = values.seeds !== undefined || values.minutes !== undefined;
  return isSet && !values.trace ? Math.min(JOBS_MAX, availableParallelism()) : 1;
}

function groupOf(name: string): FaultGroup {
  const groups = keysOf(faultGroups);
  const group = groups.find((one) => one === name);
  if (group === undefined) throw new Error(`--groups takes of ${groups.join()}, not "${name}"`);
  return group;
}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} takes a whole number, not "${text}"`);
  return Number(text);
}
