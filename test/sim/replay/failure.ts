/**
 * What is done about a failing case: it is made small, run once more to see what went on near the
 * violation, told in full, drawn, and kept.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TraceEvent } from "../trace.ts";
import { type Chart, ChartRows, focusOf } from "./chart.ts";
import { chartPage, chartSvg } from "./chartSvg.ts";
import { chartText } from "./chartText.ts";
import type { Pool } from "./pool.ts";
import { encodeRegression, regressionFileName, regressionOf } from "./regression.ts";
import { shrink } from "./shrink.ts";
import { type Case, runCase, type Trial, type Violation, violationText } from "./trial.ts";

/** Columns of a terminal. */
const WIDTH = 100;
const TEXT_ROWS_MAX = 60;
const PICTURE_ROWS_MAX = 400;
const TAIL_SHOWN = 40;

export interface FailureOptions {
  readonly pool: Pool;
  readonly shrinkRuns: number;
  /** File to draw into. */
  readonly chart: string | undefined;
  /** Folder to keep the case in. */
  readonly keepIn: string | undefined;
  readonly commit: string;
  /** The command that shows the case as it was found. */
  readonly again: string;
  readonly print: (line: string) => void;
}

interface Examined {
  readonly found: Trial;
  readonly case: Case;
  readonly violation: Violation;
  readonly shrunk: string;
  readonly last: Trial;
  readonly chart: Chart;
  /** The same with more rows. */
  readonly picture: Chart;
  readonly tail: readonly TraceEvent[];
}

/** Examines a failing trial, prints what it is, and writes the files that were asked for. */
export async function reportFailure(found: Trial, options: FailureOptions): Promise<void> {
  const [violation] = found.violations;
  if (violation === undefined) return;
  const examined = await examine(found, violation, options);
  for (const line of failureLines(examined, options)) options.print(line);
  if (options.chart !== undefined) {
    writeFileSync(options.chart, drawn(examined, options));
    options.print(`  chart:         ${options.chart}`);
  }
  if (options.keepIn !== undefined) {
    const regression = regressionOf(examined.case, examined.violation, options.commit);
    mkdirSync(options.keepIn, { recursive: true });
    const path = join(options.keepIn, regressionFileName(regression));
    writeFileSync(path, encodeRegression(regression));
    options.print(`  kept:          ${path}`);
  }
}

async function examine(
  found: Trial,
  violation: Violation,
  { pool, shrinkRuns, print }: FailureOptions,
): Promise<Examined> {
  const isTwice = violation.promise === "determinism";
  const first: Case = { config: found.config, schedule: found.schedule };
  const small = await shrink(first, violation, {
    run: async (one) => (await pool.run(one, isTwice)).violations,
    ...{ runsMax: shrinkRuns, width: pool.width },
    onSmaller: (one, runs) => {
      print(`  smaller:       run ${runs}: ${sizeOf(one)}`);
    },
  });
  const focusMs = focusOf(small.violation);
  const rows = new ChartRows(focusMs, TEXT_ROWS_MAX);
  const manyRows = new ChartRows(focusMs, PICTURE_ROWS_MAX);
  const tail: TraceEvent[] = [];
  const last = await runCase(small.case, {
    onEvent: (event) => {
      rows.add(event);
      manyRows.add(event);
      if (focusMs !== undefined && event.ms > focusMs) return;
      tail.push(event);
      if (tail.length > TAIL_SHOWN * 2) tail.splice(0, TAIL_SHOWN);
    },
  });
  return {
    ...{ found, case: small.case, violation: small.violation, last },
    ...{ chart: rows.chart(), picture: manyRows.chart(), tail: tail.slice(-TAIL_SHOWN) },
    shrunk: `${sizeOf(small.case)}; ${small.runs} runs${small.isCutShort ? ", and no more were to be spent" : ""}`,
  };
}

function sizeOf({ config, schedule }: Case): string {
  const { sites, cvms, vdisks, untilMs } = config;
  return `${schedule.length} faults, ${untilMs} ms, ${sites} sites of ${cvms} CVMs, ${vdisks} vDisks`;
}

function failureLines(examined: Examined, options: FailureOptions): readonly string[] {
  const { found, violation, last, chart, tail } = examined;
  const others = found.violations.slice(1).map((one) => violationText(one).split("\n", 1)[0]);
  return [
    `  seed:          ${found.seed}`,
    `  commit:        ${options.commit}`,
    `  configuration: ${JSON.stringify(examined.case.config)}`,
    `  violated:      ${violationText(violation)}`,
    ...(violation.witness === undefined
      ? []
      : [`  witness:       ${JSON.stringify(violation.witness)}`]),
    ...others.map((text) => `  also:          ${text ?? ""}`),
    `  shrunk:        ${examined.shrunk}`,
    ...last.faults.map((fault) => `  fault:         ${fault}`),
    "  last events:",
    ...tail.map((event) => `    ${eventText(event)}`),
    "  near the violation:",
    ...chartText(chart, WIDTH - 2).map((line) => `  ${line}`),
    `  again:         ${options.again}${options.keepIn === undefined ? " (--keep keeps the small case)" : ""}`,
  ];
}

function drawn(examined: Examined, { chart = "", commit, again }: FailureOptions): string {
  const { picture, violation, last } = examined;
  if (chart.endsWith(".svg")) return chartSvg(picture);
  return chartPage(picture, {
    title: `Seed ${examined.found.seed}: ${violation.promise} ${violation.name}`,
    facts: [
      ["violated", violation.text],
      ["commit", commit],
      ["configuration", JSON.stringify(examined.case.config)],
      ["faults", last.faults.join("\n")],
      ["shrunk", examined.shrunk],
      ["again", again],
    ],
  });
}

/** One event of a trace: `MS PROCESS WHAT DETAIL`. */
export function eventText({ ms, at, what, detail }: TraceEvent): string {
  return `${ms.toFixed(3)} ${at} ${what} ${detail}`.trimEnd();
}
