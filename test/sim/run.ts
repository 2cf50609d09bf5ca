/**
 * One run of a seed: a group of vDisks is written to at site A while an operator takes and replicates
 * recovery points and faults strike; then everything is healed and must converge (P9), A may be lost
 * and its domain activated at B, and checkers judge what clients and operator were told.
 */

import { AntipodeError, messageOf } from "../../services/base/errors.ts";
import { createPrng } from "../../services/base/prng.ts";
import { KIB, MIB } from "../../services/base/units.ts";
import { BLOCK_BYTES } from "../../services/guest/index.ts";
import { CerebroService } from "../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../services/platform/wire/stargate.ts";
import type { Convergence, GroupVdisk, RunRecord, Verdict } from "./check/contracts.ts";
import { judgeRun } from "./check/judge.ts";
import { faultClasses, type SimConfig } from "./config.ts";
import { converge } from "./converge.ts";
import { inject } from "./faults.ts";
import { GroupWriter } from "./groupWriter.ts";
import { Operator, PD } from "./operator.ts";
import { readFinal, readPoints } from "./readings.ts";
import { type OpenFault, Recorder } from "./record.ts";
import { drawSchedule, type PlannedFault } from "./replay/schedule.ts";
import type { TraceEvent } from "./trace.ts";
import { seedOf } from "./world/site.ts";
import { CONTAINER, createWorld, memberOf, type World } from "./world/world.ts";

const DISK_BYTES = 512 * MIB;
const CONVERGE_MS = 120_000;
/** After an activation its site is written to for this long. */
const AFTERWARDS_MS = 2000;
const OFFSET_MS_MAX = 100_000;
const WRITE_BOUND = { latencyMsMax: 5000, medianFactorMax: 3, settleMs: 15_000 };
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

/** Runs a configuration; equal configurations and schedules give equal results. */
export async function runConfig(config: SimConfig, options: RunOptions = {}): Promise<RunResult> {
  const { schedule = drawSchedule(config), onEvent } = options;
  const world = await createWorld({
    ...config,
    sites: ["A", "B", "C"].slice(0, config.sites).map((name) => sitePlan(config, name)),
    ...(onEvent !== undefined && { onEvent }),
  });
  const run = new Run(config, world, schedule);
  const verdicts: Verdict[] = [];
  try {
    verdicts.push(...(await run.play()));
  } catch (error) {
    verdicts.push(violated("the run comes to its end", textOf(error)));
  } finally {
    world.end();
  }
  const bugs = world.failures.filter(({ error }) => !(error instanceof AntipodeError));
  for (const { process, error } of bugs)
    verdicts.unshift(violated("no process finds a bug", `${process}: ${textOf(error)}`));
  return {
    seed: config.seed,
    config,
    verdicts,
    counters: { ...run.recorder.counters(), ...logCounters(world) },
    events: world.trace.count,
    virtualMs: world.clock.now(),
    traceHash: world.trace.hash(),
    tail: world.trace.tail(),
    schedule,
    faults: run.recorder.faults.map(
      ({ kind, what, from, until }) =>
        `${from.ms.toFixed(1)} to ${until?.ms.toFixed(1) ?? "the end"}: ${kind} ${what}`,
    ),
  };
}

class Run {
  readonly recorder: Recorder;
  readonly #config: SimConfig;
  readonly #world: World;
  readonly #vdisks: readonly GroupVdisk[];
  readonly #operator: Operator;
  readonly #writers: GroupWriter[] = [];
  readonly #open = new Map<OpenFault, () => void>();
  readonly #schedule: readonly PlannedFault[];
  #convergence: Convergence | undefined;

  constructor(config: SimConfig, world: World, schedule: readonly PlannedFault[]) {
    this.#schedule = schedule;
    this.#config = config;
    this.#world = world;
    this.recorder = new Recorder(() => world.clock.now());
    this.#vdisks = Array.from({ length: config.vdisks }, (_, id) => ({
      id,
      name: `disk${id}`,
      slots: config.slotsPerVdisk,
    }));
    this.#operator = new Operator({
      ...{ world, config, recorder: this.recorder, site: "A", vdisks: this.#vdisks },
      runId: this.#runId(1),
      prng: createPrng(seedOf(config.seed, "operator")),
    });
  }

  async play(): Promise<readonly Verdict[]> {
    const world = this.#world;
    await world.begin();
    await this.#prepare();
    const writer = this.#write("A", 1, undefined);
    const operating = this.#operator.run();
    await this.#strike();
    this.#heal();
    this.#operator.stop();
    this.#convergence = await world.wait(
      converge({
        ...{ world, recorder: this.recorder, operator: this.#operator, writer, operating },
        ...{ vdisks: this.#vdisks, config: this.#config, budgetMs: CONVERGE_MS },
      }),
      CONVERGE_MS * 2,
    );
    await world.wait(writer.stop());
    await world.wait(readFinal(this.#reading("A"), this.#runId(1)));
    for (const { name } of world.sites) await world.wait(readPoints(this.#reading(name)));
    if (this.#config.operator.failover) await this.#failOver();
    return judgeRun(this.#record(), { writes: WRITE_BOUND });
  }

  async #prepare(): Promise<void> {
    const { diskDelayMs, seed } = this.#config;
    const world = this.#world;
    const prng = createPrng(seedOf(seed, "disk"));
    if (diskDelayMs > 0)
      for (const { disk } of world.sites.flatMap(({ cvms }) => cvms))
        disk.slow({
          ...{ clock: world.clock, operation: "sync", prng },
          ...{ delayMs: diskDelayMs, jitterMs: diskDelayMs },
        });
    const { stargate, cerebro } = memberOf(world.site("A"), 0);
    for (const { name, slots } of this.#vdisks) {
      const sizeBytes = Math.max(MIB, slots * BLOCK_BYTES);
      const disk = { name, container: CONTAINER, sizeBytes, root: "", source: "" };
      await world.wait(world.call(stargate, VdiskService.createVdisk, disk));
    }
    const created = { name: PD, requestId: "prepare" };
    await world.wait(world.call(cerebro, CerebroService.createPd, created));
    const members = { pd: PD, group: "", vdisks: this.#vdisks.map(({ name }) => name) };
    const { pd } = await world.wait(world.call(cerebro, CerebroService.protect, members));
    this.recorder.activations.push({
      ...{ pd: PD, generation: pd?.generation ?? 0, site: "A", isPlanned: true },
      at: this.recorder.instant(),
    });
  }

  #write(site: string, generation: number, basePointId: string | undefined): GroupWriter {
    const number = this.#writers.length + 1;
    const writer = new GroupWriter({
      ...{ world: this.#world, recorder: this.recorder, config: this.#config },
      ...{
        site,
        pd: PD,
        generation,
        runId: this.#runId(number),
        vdisks: this.#vdisks,
        basePointId,
      },
      prng: createPrng(seedOf(this.#config.seed, `writer ${number}`)),
    });
    this.#writers.push(writer);
    writer.start();
    return writer;
  }

  /** Lets time pass and faults strike. */
  async #strike(): Promise<void> {
    const { clock } = this.#world;
    const beginMs = clock.now();
    const passTo = (ms: number): Promise<unknown> =>
      clock.tick(Math.max(0, beginMs + ms - clock.now()));
    for (const fault of this.#schedule) {
      await passTo(fault.atMs);
      this.#injectOne(fault);
    }
    await passTo(this.#config.untilMs);
  }

  #injectOne({ kind, lastsMs, seed }: PlannedFault): void {
    const world = this.#world;
    const injected = inject(world, kind, createPrng(seed));
    const { what, sites, link } = injected;
    world.trace.event("world", kind, what);
    this.recorder.count(`fault ${kind}`);
    const fault: OpenFault = {
      ...{ kind: faultClasses[kind], what: `${kind} ${what}`, sites, link },
      ...{ from: this.recorder.instant(), until: undefined },
    };
    this.recorder.faults.push(fault);
    const endOnce = (): void => {
      if (!this.#open.delete(fault)) return;
      injected.end();
      fault.until = this.recorder.instant();
    };
    this.#open.set(fault, endOnce);
    world.clock.after(lastsMs, endOnce);
  }

  /** Ends every fault; everything runs. */
  #heal(): void {
    for (const end of [...this.#open.values()]) end();
    for (const site of this.#world.sites) site.start();
    this.#world.trace.event("world", "healed");
  }

  /** Site A is lost; the newest point that is at B becomes active there, and is written to. */
  async #failOver(): Promise<void> {
    const world = this.#world;
    const newest = this.recorder.readings.findLast(({ site }) => site === "B");
    if (newest === undefined) return;
    world.killSite("A");
    const generation = await world.wait(this.#operator.activate("B", newest.pointId));
    if (generation === undefined) throw new Error("the domain was not activated at B");
    const writer = this.#write("B", generation, newest.pointId);
    await world.clock.tick(AFTERWARDS_MS);
    await world.wait(writer.stop());
    await world.wait(readFinal(this.#reading("B"), this.#runId(2)));
  }

  #reading(site: string): Parameters<typeof readPoints>[0] {
    return { world: this.#world, recorder: this.recorder, site, vdisks: this.#vdisks };
  }

  #runId(branch: number): number {
    return this.#config.seed * 10 + branch;
  }

  #record(): RunRecord {
    const { points, readings, finals, activations, faults, errors } = this.recorder;
    return {
      ...{ seed: this.#config.seed, points, readings, finals, activations, faults, errors },
      branches: this.#writers.map((writer) => writer.branch()),
      reads: this.#writers.flatMap((writer) => writer.reads),
      replications: [],
      acceptances: [],
      convergence: this.#convergence,
    };
  }
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
    oplog: config.tightOplog ? TIGHT_OPLOG : {},
    skew: (cvm) => skews[cvm - 1] ?? { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 },
  };
}

/** Events that services told of in their logs, by name. */
function logCounters(world: World): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { fields } of world.log.lines) {
    const event = fields.event;
    if (typeof event === "string") counts[`log ${event}`] = (counts[`log ${event}`] ?? 0) + 1;
  }
  return counts;
}

function violated(name: string, text: string): Verdict {
  return { promise: "P9", name, verdict: "violated", examined: 1, text };
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
}
