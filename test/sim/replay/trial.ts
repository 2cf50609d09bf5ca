/**
 * One case (a configuration with its faults) is run once, and what it violated is told in one form:
 * verdicts of checkers, and a second run that differs from the first.
 */

import type { Verdict, Witness } from "../check/contracts.ts";
import type { SimConfig } from "../config.ts";
import { observeCoverage } from "../coverage/observe.ts";
import { type RunResult, runConfig } from "../run.ts";
import type { TraceEvent } from "../trace.ts";
import { drawSchedule, type PlannedFault } from "./schedule.ts";

/** Everything that a run depends on, except the code. */
export interface Case {
  readonly config: SimConfig;
  readonly schedule: readonly PlannedFault[];
}

/** A broken promise, by one checker. */
export interface Violation {
  /** `P1` to `P9`, or `determinism`. */
  readonly promise: string;
  readonly name: string;
  readonly text: string;
  readonly witness: Witness | undefined;
}

export interface Trial extends RunResult {
  /** Empty when all is well; the first one is the one to look at. */
  readonly violations: readonly Violation[];
  /** What it took, in wall time; the only thing here that differs from run to run. */
  readonly wallMs: number;
}

export interface TrialOptions {
  /** Runs it a second time, which must not differ. */
  readonly isTwice?: boolean;
  readonly onEvent?: (event: TraceEvent) => void;
}

/** The case of a configuration with the faults that it draws. */
export function drawnCase(config: SimConfig): Case {
  return { config, schedule: drawSchedule(config) };
}

/** Runs a case; never throws for what the simulated system does. */
export async function runCase(one: Case, options: TrialOptions = {}): Promise<Trial> {
  const { onEvent } = options;
  const { schedule } = one;
  const observation = observeCoverage();
  const startedMs = performance.now();
  try {
    const result = await runConfig(one.config, { schedule, ...(onEvent && { onEvent }) });
    const wallMs = performance.now() - startedMs;
    const seen = observation.take();
    const again = options.isTwice === true ? await runConfig(one.config, { schedule }) : result;
    const violations = [
      ...result.verdicts.filter(({ verdict }) => verdict === "violated").map(violationOf),
      ...differences(result, again),
    ];
    return { ...result, counters: { ...result.counters, ...seen }, violations, wallMs };
  } finally {
    observation.end();
  }
}

/** Is it the same promise, broken in the eyes of the same checker? */
export function isSame(one: Violation, other: Violation): boolean {
  return one.promise === other.promise && one.name === other.name;
}

/** In one line. */
export function violationText({ promise, name, text }: Violation): string {
  return `${promise} ${name}: ${text}`;
}

function violationOf({ promise, name, text, witness }: Verdict): Violation {
  return { promise, name, text, witness };
}

function differences(first: RunResult, second: RunResult): readonly Violation[] {
  if (first.traceHash === second.traceHash) return [];
  const text = `trace ${first.traceHash} the first time, then ${second.traceHash}`;
  const name = "one seed is one execution";
  return [{ promise: "determinism", name, text, witness: undefined }];
}
