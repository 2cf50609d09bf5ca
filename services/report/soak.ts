/**
 * What a soak found: the runs in their order, and each scenario's figures. The form of `soak.json`, and
 * the same as JUnit XML, a test case a run.
 */

import { checkedJson } from "../base/checkedJson.ts";
import { count, flag, type Json, list, number, type Of, object, saying, text } from "./form.ts";
import { junitFile, seconds } from "./junitForm.ts";
import { el, escaped } from "./page/markup.ts";

/** Grows when a reader of the old form would misread the new one; keys may be added without. */
const SOAK_VERSION = 1;

const soakRun = object({
  round: saying("from 1", count),
  scenario: text,
  file: text,
  seed: count,
  ok: saying("the run was good and left nothing behind", flag),
  why: saying('what was wrong, or ""', text),
  leaks: saying("processes with their ports, files and labs that were left", list(text)),
  durationMs: number,
  faults: saying("faults that were done", count),
  acknowledged: saying("writes whose record was held against the source", count),
  lost: saying("of these, not there", count),
  kept: saying("where a bad run's report, lab and logs are", list(text)),
});
export type SoakRun = Of<typeof soakRun>;

const soakScenario = object({
  scenario: text,
  passed: count,
  failed: count,
  shortestMs: number,
  medianMs: number,
  longestMs: number,
});

const soakForm = object({
  version: {
    schema: { const: SOAK_VERSION },
    read: (field) => field.integer(SOAK_VERSION, SOAK_VERSION),
  },
  ok: saying("every planned run was done, was good and left nothing behind", flag),
  seed: count,
  reproduce: saying("the command that runs it again", text),
  antipode: saying("version", text),
  startedAtMs: saying("wall clock, Unix ms", number),
  durationMs: number,
  planned: saying("runs", count),
  goodInARow: saying("runs until the first bad one", count),
  scenarios: list(soakScenario),
  runs: list(soakRun),
});
export type Soak = Of<typeof soakForm>;

/** What the figures are made of. */
type SoakFacts = Omit<Soak, "version" | "ok" | "goodInARow" | "scenarios">;

/** The whole result from the runs so far. */
export function soakOf(facts: SoakFacts): Soak {
  const { runs, planned } = facts;
  const firstBad = runs.findIndex((one) => !one.ok);
  const names = [...new Set(runs.map((one) => one.scenario))];
  return {
    version: SOAK_VERSION,
    ok: firstBad < 0 && runs.length === planned,
    ...facts,
    goodInARow: firstBad < 0 ? runs.length : firstBad,
    scenarios: names.map((scenario) => {
      const own = runs.filter((one) => one.scenario === scenario);
      const passed = own.filter((one) => one.ok).length;
      const times = own.map((one) => one.durationMs).sort((a, b) => a - b);
      return {
        scenario,
        passed,
        failed: own.length - passed,
        shortestMs: times[0] ?? 0,
        medianMs: times[Math.floor((times.length - 1) / 2)] ?? 0,
        longestMs: times.at(-1) ?? 0,
      };
    }),
  };
}

/**
 * Reads a `soak.json`.
 * @throws AntipodeError `INVALID_ARGUMENT`, `FORMAT_UNSUPPORTED` for another version
 */
export function parseSoak(value: unknown): Soak {
  return soakForm.read(checkedJson(value, "the soak").ofVersion(SOAK_VERSION));
}

/** The schema, as it is published. */
export function soakSchema(): Readonly<Record<string, Json>> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "antipode chaos soak result",
    ...soakForm.schema,
  };
}

/** The file. Runs that were planned and not done are no cases: a soak that was stopped says so by its counts. */
export function soakJunitOf(soak: Soak): string {
  const { runs, planned, durationMs, seed, reproduce } = soak;
  return junitFile({
    title: "antipode chaos soak",
    suite: "chaos.soak",
    counts: {
      tests: runs.length,
      failures: runs.filter((one) => !one.ok).length,
      skipped: 0,
      durationMs,
    },
    properties: { seed: String(seed), planned: String(planned), reproduce },
    cases: runs.map(caseElement),
  });
}

function caseElement(run: SoakRun): string {
  const attributes = {
    name: `round ${run.round}, seed ${run.seed}`,
    classname: `chaos.${run.scenario}`,
    time: seconds(run.durationMs),
  };
  if (run.ok) return el("testcase", attributes);
  const again = `again: antipode chaos run ${run.file} --seed ${run.seed}`;
  const told = [run.why, ...run.leaks, ...run.kept.map((place) => `kept: ${place}`), again];
  const failure = { message: run.why, type: run.leaks.length > 0 ? "leak" : "failed" };
  return el("testcase", attributes, el("failure", failure, escaped(told.join("\n"))));
}
