/** The result of a chaos run as versioned data (services/report/result.ts), from what the run gathered. */

import {
  promises,
  type RunReport,
  type Scenario,
  type StepReport,
  type Verdict,
} from "../../chaos/index.ts";
import type { Job } from "../../platform/wire/cerebro.ts";
import type { RunResult } from "../../report/index.ts";
import { VERSION } from "../version.ts";
import { type CutPoint, jobKey, type StartedJob } from "./chaosLab.ts";
import type { Watch } from "./chaosWatch.ts";
import type { Writers } from "./chaosWriters.ts";

/** Where the phases of a run begin and end, on the monotonic clock. */
export interface RunTimes {
  readonly startMs: number;
  readonly strikeMs: number;
  readonly healedMs: number;
  readonly convergedMs: number;
  readonly endMs: number;
  /** Of `strikeMs`, on the wall clock. */
  readonly strikeWallMs: number;
}

export interface EndedJob extends StartedJob {
  readonly to: string;
  /** On the monotonic clock. */
  readonly startedMs: number;
  readonly job: Job;
}

/** Everything that a run gathered. */
export interface Gathered {
  readonly scenario: Scenario;
  readonly file: string;
  readonly seed: number;
  readonly engine: RunResult["engine"];
  readonly ok: boolean;
  readonly times: RunTimes;
  readonly report: RunReport;
  readonly verdicts: readonly Verdict[];
  readonly writers: Writers;
  readonly watch: Watch;
  readonly points: readonly CutPoint[];
  readonly jobs: readonly EndedJob[];
  readonly audits: RunResult["audits"];
}

/** Time 0 is when the time line began. */
export function resultOf(gathered: Gathered): RunResult {
  const { scenario, file, seed, engine, ok, times, report, verdicts, writers, watch } = gathered;
  const { startMs, strikeMs, healedMs, convergedMs, endMs } = times;
  const span = (fromMs: number, toMs: number): { fromMs: number; toMs: number } => ({
    fromMs: fromMs - strikeMs,
    toMs: toMs - strikeMs,
  });
  return {
    version: 1,
    ok,
    scenario: { name: scenario.name, description: scenario.description, file },
    engine,
    seed,
    reproduce: `antipode chaos run ${file}${engine === "sim" ? " --engine sim" : ""} --seed ${seed}`,
    antipode: VERSION,
    startedAtMs: times.strikeWallMs,
    phases: [
      { name: "set up", ...span(startMs, strikeMs) },
      { name: "strike", ...span(strikeMs, healedMs) },
      { name: "converge", ...span(healedMs, convergedMs) },
      { name: "examine", ...span(convergedMs, endMs) },
    ],
    sites: scenario.sites,
    verdicts: verdicts.map(({ invariant, verdict, found }) => ({
      invariant,
      promise: promises[invariant],
      asserted: scenario.assert.includes(invariant),
      verdict,
      found,
    })),
    events: report.steps.map(eventOf),
    workloads: writers.results(strikeMs),
    points: gathered.points.map(({ pd, id, name, from, to, cutMs }) => {
      const arrivedMs = watch.arrivedMs(id);
      const arrived = arrivedMs === undefined ? {} : { arrivedMs: arrivedMs - strikeMs };
      return { pd, name, from, to, cutMs: cutMs - strikeMs, ...arrived };
    }),
    lanes: watch.lanes(strikeMs),
    jobs: gathered.jobs.map((ended) => ({
      ...jobOf(ended),
      ...span(ended.startedMs, ended.startedMs + ended.job.durationMs),
      strikes: report.strikes.get(jobKey(ended)) ?? 0,
    })),
    audits: gathered.audits,
  };
}

function eventOf(step: StepReport): RunResult["events"][number] {
  const { id, kind, fault, what, atMs, toMs, struck, problem } = step;
  const named = fault === undefined ? {} : { fault };
  return { id, kind, ...named, what, fromMs: atMs, toMs, struck, problem };
}

function jobOf({
  site,
  to,
  job,
}: EndedJob): Omit<RunResult["jobs"][number], "fromMs" | "toMs" | "strikes"> {
  const { logicalBytes, wireBytes, resentBytes } = job.ledger ?? {
    logicalBytes: 0,
    wireBytes: 0,
    resentBytes: 0,
  };
  return {
    id: job.id,
    pd: job.pd,
    from: site,
    to,
    point: job.recoveryPointName,
    state: job.state,
    leaderChanges: job.leaderChanges,
    logicalBytes,
    wireBytes,
    resentBytes,
  };
}
