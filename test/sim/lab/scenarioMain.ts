/** `scripts/sim --scenario FILE`: runs it, tells what happened, and whether all that it asserts was held. */

import { readFileSync, writeFileSync } from "node:fs";
import { AntipodeError, messageOf } from "../../../services/base/errors.ts";
import { parseScenario, type Scenario } from "../../../services/chaos/index.ts";
import { parseYaml } from "../../../services/platform/adapters/yaml.ts";
import { ChartRows } from "../replay/chart.ts";
import { chartPage, chartSvg } from "../replay/chartSvg.ts";
import { eventText } from "../replay/failure.ts";
import type { ScenarioOptions } from "../replay/options.ts";
import type { TraceEvent } from "../trace.ts";
import { scaleText } from "./scaled.ts";
import { runInSimulator, type ScenarioOrder, type ScenarioTrial } from "./scenarioRun.ts";

const CHART_ROWS_MAX = 400;
const DEFAULT_SEED = 1;
const MS_PER_SECOND = 1000;

export interface ScenarioOutput {
  readonly isTwice: boolean;
  readonly trace: boolean;
  readonly json: boolean;
  readonly chart: string | undefined;
  readonly print: (line: string) => void;
}

/**
 * Runs the scenario of a file.
 * @returns whether it was good, and two runs of it were one
 * @throws AntipodeError when the file is no scenario; Error when the run does not come to its end
 */
export async function runScenarioFile(
  { file, seed: given, scale }: ScenarioOptions,
  output: ScenarioOutput,
): Promise<boolean> {
  const { print, json, chart } = output;
  const scenario = readScenario(file);
  const seed = given ?? scenario.seed ?? DEFAULT_SEED;
  const rows = new ChartRows(undefined, CHART_ROWS_MAX);
  const onEvent = (event: TraceEvent): void => {
    if (chart !== undefined) rows.add(event);
    if (output.trace) print(eventText(event));
  };
  // Standard output is for the one object then.
  const tell = json
    ? (line: string): void => {
        process.stderr.write(`${line}\n`);
      }
    : print;
  if (scale > 1) tell(scaleText(scale));
  const order: ScenarioOrder = { scenario, file, seed, scale };
  const startedMs = performance.now();
  const trial = await runInSimulator({ ...order, tell, onEvent });
  const wallMs = performance.now() - startedMs;
  const again = output.isTwice ? await runInSimulator(order) : trial;
  const differs = again.traceHash !== trial.traceHash;
  if (chart !== undefined) writeFileSync(chart, drawn(chart, rows, trial));
  if (json) {
    const more = { isOneExecution: !differs, wallMs: Math.round(wallMs) };
    print(JSON.stringify({ kind: "scenario", ...trial, ...more }));
  } else {
    for (const line of trialLines(trial, wallMs)) print(line);
    if (output.isTwice)
      print(differs ? `DIFFERS: the second run has ${again.traceHash}` : "twice the same");
  }
  return trial.result.ok && !differs;
}

function readScenario(file: string): Scenario {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const why = messageOf(error);
    throw new AntipodeError("INVALID_ARGUMENT", `${file} cannot be read: ${why}`, { file }, error);
  }
  return parseScenario(parseYaml(text, file));
}

function trialLines(trial: ScenarioTrial, wallMs: number): readonly string[] {
  const { result, checks, traceHash, events, virtualMs } = trial;
  const missed = result.events.filter(({ kind, problem }) => kind === "fault" && problem !== "");
  const seconds = (ms: number): string => (ms / MS_PER_SECOND).toFixed(1);
  return [
    "",
    ...result.verdicts.map(
      ({ invariant, verdict, asserted, found }) =>
        `${invariant} ${asserted ? "asserted" : "        "} ${verdict.padEnd(8)} ${found}`,
    ),
    ...checks.map(({ promise, name, verdict, text }) => `${promise} ${name}: ${verdict}, ${text}`),
    ...missed.map(({ what, problem }) => `not done: ${what}: ${problem}`),
    `${result.ok ? "good" : "NOT GOOD"}  ${traceHash}  ${events} events, ${seconds(virtualMs)} virtual s in ${seconds(wallMs)} s; again: ${result.reproduce}`,
  ];
}

function drawn(chart: string, rows: ChartRows, { result }: ScenarioTrial): string {
  const picture = rows.chart();
  if (chart.endsWith(".svg")) return chartSvg(picture);
  return chartPage(picture, {
    title: `${result.scenario.name}, seed ${result.seed}`,
    facts: [
      ["scenario", result.scenario.description],
      ["verdicts", result.verdicts.map((one) => `${one.invariant} ${one.verdict}`).join("\n")],
      ["faults", result.events.map(({ fromMs, what }) => `${fromMs} ms: ${what}`).join("\n")],
      ["again", result.reproduce],
    ],
  });
}
