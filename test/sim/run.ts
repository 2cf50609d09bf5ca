/**
 * One run of a seed: a world is made, play.ts lets its sites work while faults strike, heal, fail over,
 * and checkers judge what clients and operators were told, and what nobody should have to be told.
 */

import { createPrng } from "../../services/base/prng.ts";
import { KIB, MIB } from "../../services/base/units.ts";
import { createCodec } from "../../services/platform/adapters/codec.ts";
import type { RunRecord, Verdict } from "./check/contracts.ts";
import { judgeRun } from "./check/judge.ts";
import { complaintsOf, Rejections, textOf } from "./complaints.ts";
import type { SimConfig } from "./config.ts";
import { CarelessUser } from "./coverage/careless.ts";
import { Observer } from "./observe/observer.ts";
import { Play } from "./play.ts";
import { Recorder } from "./record.ts";
import { drawSchedule, type PlannedFault } from "./replay/schedule.ts";
import type { TraceEvent } from "./trace.ts";
import { seedOf } from "./world/site.ts";
import { createWorld, type World } from "./world/world.ts";

const DISK_BYTES = 512 * MIB;
const OFFSET_MS_MAX = 100_000;
const WRITE_BOUND = { latencyMsMax: 5000, medianFactorMax: 3, settleMs: 15_000 };
const NO_CACHES = { chunkBytesMax: 0, nodesMax: 0 };
const TIGHT_OPLOG = { pendingBytesMax: 12 * KIB, recentBytesMax: 0 };

export interface RunResult {
  readonly seed: number;
  readonly config: SimConfig;
  readonly verdicts: readonly Verdict[];
  /** What happened how often, for the question whether a set of runs saw anything. */
  readonly counters: Readonly<Record<string, number>>;
  readonly events: number;
  readonly virtualMs: number;
  readonly traceHash: string;
  readonly tail: readonly TraceEvent[];
  /** What was to strike. */
  readonly schedule: readonly PlannedFault[];
  /** Faults as they were injected, one line each. */
  readonly faults: readonly string[];
}

export interface RunOptions {
  /** In place of the faults that the configuration draws. */
  readonly schedule?: readonly PlannedFault[];
  /** Sees every event of the trace. */
  readonly onEvent?: (event: TraceEvent) => void;
}

/** Runs a configuration; equal configurations and schedules give equal results. One run at a time. */
export async function runConfig(config: SimConfig, options: RunOptions = {}): Promise<RunResult> {
  const { schedule = drawSchedule(config), onEvent } = options;
  const rejections = new Rejections();
  const recorder = new Recorder(() => world.clock.now());
  const observer = new Observer(recorder, await createCodec());
  const world: World = await createWorld({
    ...config,
    sites: ["A", "B", "C"].slice(0, config.sites).map((name) => sitePlan(config, name)),
    tap: observer.tap,
    ...(onEvent !== undefined && { onEvent }),
  });
  const play = new Play(config, { world, recorder, schedule });
  const careless = new CarelessUser(config, { world, recorder });
  const verdicts: Verdict[] = [];
  try {
    careless.startSometimes();
    await play.perform();
    await world.wait(careless.stop());
  } catch (error) {
    verdicts.push(cutShort(error));
  } finally {
    world.end();
    await rejections.close();
  }
  const record = recordOf(config, { recorder, observer, play });
  verdicts.unshift(...complaintsOf(world, rejections.errors, recorder.faults));
  verdicts.push(...(await judgeRun(record, { writes: WRITE_BOUND })), careless.verdict());
  return {
    seed: config.seed,
    config,
    verdicts,
    counters: { ...recorder.counters(), ...playCounters(record), ...logCounters(world) },
    events: world.trace.count,
    virtualMs: world.clock.now(),
    traceHash: world.trace.hash(),
    tail: world.trace.tail(),
    schedule,
    faults: recorder.faults.map(
      ({ kind, what, from, until }) =>
        `${from.ms.toFixed(1)} to ${until?.ms.toFixed(1) ?? "the end"}: ${kind} ${what}`,
    ),
  };
}

function recordOf(
  { seed, cvms }: SimConfig,
  parts: { readonly recorder: Recorder; readonly observer: Observer; readonly play: Play },
): RunRecord {
  const { readings, catalogues, finals, activations, faults, errors } = parts.recorder;
  const { acts, convergences, points } = parts.play;
  const operators = acts.map(({ operator }) => operator);
  return {
    ...{ seed, points, readings, catalogues, finals, faults, errors, convergences },
    deletedPointIds: operators.flatMap(({ points: taken, live }) =>
      taken.flatMap(({ id }) => (live.has(id) ? [] : id)),
    ),
    branches: acts.map(({ load }) => load.branch()),
    reads: acts.flatMap(({ load }) => load.reads),
    replications: operators
      .flatMap(({ replications }) => replications)
      .map((told) => parts.observer.replication(told, cvms)),
    acceptances: parts.observer.acceptances(),
    activations: [...activations, ...operators.flatMap((operator) => operator.activations)],
  };
}

function sitePlan(config: SimConfig, name: string): Parameters<typeof createWorld>[0]["sites"][0] {
  const prng = createPrng(seedOf(config.seed, `clocks ${name}`));
  const skews = Array.from({ length: config.cvms }, () => ({
    offsetMs: Math.floor(prng.unit() * OFFSET_MS_MAX),
    rate: 1 + (2 * prng.unit() - 1) * config.clockSkewMax,
    wallOffsetMs: () => 0,
  }));
  return {
    ...{ name, cvms: config.cvms, diskBytes: DISK_BYTES },
    oplog: {
      ...(config.tightOplog && TIGHT_OPLOG),
      ...(config.forgetful && { recentBytesMax: 0 }),
    },
    ...(config.forgetful && { caches: NO_CACHES }),
    skew: (cvm) => skews[cvm - 1] ?? { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 },
  };
}

/** What clients and operators saw, by kind. */
function playCounters({ branches, replications }: RunRecord): Readonly<Record<string, number>> {
  const unknown = branches.flatMap(({ writes }) =>
    writes.filter(({ outcome }) => outcome === "indeterminate"),
  );
  const counts: Record<string, number> = {};
  if (unknown.length > 0) counts["write of unknown outcome"] = unknown.length;
  for (const { outcome } of replications)
    counts[`replication ${outcome}`] = (counts[`replication ${outcome}`] ?? 0) + 1;
  return counts;
}

/** Events that services told of in their logs, by name, and by name and state where they tell one. */
function logCounters(world: World): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { fields } of world.log.lines) {
    const { event, state } = fields;
    if (typeof event !== "string") continue;
    const names = [`log ${event}`, ...(typeof state === "string" ? [`log ${event} ${state}`] : [])];
    for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function cutShort(error: unknown): Verdict {
  const text = textOf(error);
  const name = "the run comes to its end";
  return { promise: "P9", name, verdict: "violated", examined: 1, text };
}
