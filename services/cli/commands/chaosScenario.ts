/**
 * A whole chaos run: the lab gets the scenario's vDisks, domains and writers, faults strike, all is
 * healed and brought to rest, both sites are compared, and every promise gets its verdict.
 */

import { AntipodeError, messageOf } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { createPrng } from "../../base/prng.ts";
import { formatDuration } from "../../base/units.ts";
import {
  type Action,
  type ChaosLab,
  type Facts,
  isGood,
  judge,
  LEASE_MS,
  type PdFact,
  type RunReport,
  runTimeline,
  type Scenario,
} from "../../chaos/index.ts";
import { callGenesis, type OpenLab } from "../../lab/index.ts";
import type { Codec } from "../../platform/codec.ts";
import { GenesisService } from "../../platform/wire/genesis.ts";
import type { RunResult } from "../../report/index.ts";
import type { Context } from "../command.ts";
import { SiteActions } from "../demo/siteActions.ts";
import { newRequestId } from "../siteClient.ts";
import { type EvidenceWorld, examine, type PdStory } from "./chaosEvidence.ts";
import {
  type CutPoint,
  conditionOf,
  createChaosLab,
  jobKey,
  protectionOf,
  type StartedJob,
} from "./chaosLab.ts";
import { type EndedJob, resultOf } from "./chaosResult.ts";
import { Rotter } from "./chaosRot.ts";
import { Watch } from "./chaosWatch.ts";
import { Writers } from "./chaosWriters.ts";

const POLL_MS = 250;

export interface ChaosRun {
  readonly context: Context;
  readonly open: OpenLab;
  readonly scenario: Scenario;
  /** Its path, as it was given. */
  readonly file: string;
  readonly seed: number;
  readonly engine: RunResult["engine"];
  /** For what lies in the files of Stargates. */
  readonly codec: () => Promise<Codec>;
  /** Absolute path of a folder outside the lab: histories, copies. */
  readonly workFolder: string;
  readonly tell: (line: string) => void;
}

/** Runs the scenario; `ok` is false when a promise is violated, an asserted one vacuous, or a fault was not done. */
export async function runScenario(run: ChaosRun): Promise<RunResult> {
  return new ScenarioRun(run).run();
}

class ScenarioRun {
  readonly #run: ChaosRun;
  readonly #actions: SiteActions;
  readonly #writers: Writers;
  readonly #watch: Watch;
  readonly #rotter: Rotter;
  readonly #lab: ChaosLab;
  readonly #holder: string;
  readonly #jobs: (StartedJob & { readonly startedMs: number })[] = [];
  readonly #points: CutPoint[] = [];
  /** pd → the recovery point that it was activated from. */
  readonly #activated = new Map<string, string>();
  #audits: RunResult["audits"] = [];

  constructor(run: ChaosRun) {
    this.#run = run;
    const { context, open, scenario, codec } = run;
    this.#holder = `chaos-${newRequestId(context)}`;
    this.#actions = new SiteActions(context, open);
    const parts = { ...run, actions: this.#actions };
    this.#writers = new Writers(parts);
    this.#watch = new Watch(parts);
    this.#rotter = new Rotter({
      open,
      diskAt: context.world.diskAt,
      codec,
      running: () => this.#running(),
    });
    this.#lab = createChaosLab({
      context,
      open,
      actions: this.#actions,
      scenario,
      rotter: this.#rotter,
      onReplication: (job) => {
        this.#noteJob(job);
      },
      onPoint: (point) => this.#points.push(point),
      onActivate: (pd) => this.#writers.stop(pd),
      onActivated: (pd, pointId) => this.#activated.set(pd, pointId),
    });
  }

  async run(): Promise<RunResult> {
    const ended = new AbortController();
    const watching = this.#watch.run(ended.signal);
    try {
      return await this.#runWatched();
    } finally {
      await this.#writers.stopAll().catch((error: unknown) => {
        this.#run.tell(`a writer failed: ${messageOf(error)}`);
      });
      ended.abort();
      await watching;
    }
  }

  async #runWatched(): Promise<RunResult> {
    const { scenario, tell, seed, file, engine, context } = this.#run;
    const now = (): number => this.#clock.now();
    const startMs = now();
    await this.#setUp();
    const strikeWallMs = context.world.clock.wall();
    const strikeMs = now();
    const report = await this.#strike();
    tell("all faults are healed; waiting until everything is well again");
    const healedMs = now();
    let notConverged = await this.#converge();
    const convergedMs = now();
    await this.#writers.stopAll();
    tell(
      notConverged === ""
        ? `well again after ${formatDuration(convergedMs - healedMs)}`
        : notConverged,
    );
    let pds: readonly PdFact[] = [];
    if (notConverged === "")
      pds = await this.#examineAll(report).catch((error: unknown) => {
        if (context.signal.aborted) throw error;
        notConverged = `it could not be examined: ${messageOf(error)}`;
        tell(notConverged);
        return [];
      });
    const jobs = await this.#endedJobs();
    const facts: Facts = {
      faults: report.faults,
      rot: await this.#rotter.repaired(),
      jobs: jobs.map((one) => ({
        id: one.id,
        state: one.job.state,
        resentBytes: one.job.ledger?.resentBytes ?? 0,
        superseded: pds.some(
          (pd) => pd.failedOver && pd.pd === one.job.pd && one.site !== pd.activeAt[0],
        ),
        strikes: report.strikes.get(jobKey(one)) ?? 0,
      })),
      pds,
      leaders: this.#watch.leaders,
      notConverged,
    };
    const verdicts = judge(facts);
    // A scenario whose faults did not strike has not tested what it says.
    const missed = report.steps.some((step) => step.kind === "fault" && step.problem !== "");
    const times = { startMs, strikeMs, healedMs, convergedMs, endMs: now(), strikeWallMs };
    return resultOf({
      scenario,
      file,
      seed,
      engine,
      ok: isGood(verdicts, scenario.assert) && !missed,
      times,
      report,
      verdicts,
      writers: this.#writers,
      watch: this.#watch,
      points: this.#points,
      jobs,
      audits: this.#audits,
    });
  }

  get #clock() {
    return this.#run.context.world.clock;
  }

  #noteJob(job: StartedJob): void {
    this.#jobs.push({ ...job, startedMs: this.#clock.now() });
  }

  async #setUp(): Promise<void> {
    const { scenario, tell } = this.#run;
    for (const { pd, at, vdisks } of scenario.protection) {
      for (const { name, sizeBytes } of vdisks)
        await this.#actions.createVdisk(at, name, sizeBytes);
      const names = vdisks.map((vdisk) => vdisk.name);
      await this.#actions.createPd(at, pd, names);
    }
    await this.#writers.start();
    for (const action of scenario.setup) await this.#prepare(action);
    const unsteady = await this.#writers.steady(scenario.steadyState);
    if (unsteady !== "")
      throw new AntipodeError("CHECK_FAILED", `not steady before the first fault: ${unsteady}`);
    tell(`${scenario.name}: set up, seed ${this.#run.seed}`);
  }

  /** A step of the setup is waited for: nothing is broken yet. */
  async #prepare(action: Action): Promise<void> {
    const { at, to } = protectionOf(this.#run.scenario, action.pd);
    if (action.kind !== "replicate") await this.#lab.act(action);
    else if (!(await this.#replicate(at, action.pd, to)))
      throw new AntipodeError("CHECK_FAILED", `${action.pd} could not be replicated in the setup`);
  }

  async #strike(): Promise<RunReport> {
    const { context, scenario, seed, tell } = this.#run;
    const shaped = `${this.#holder}/links`;
    for (const { from, to, ...change } of scenario.links) {
      const lease = { holder: shaped, ttlMs: LEASE_MS };
      await this.#lab.changeLinks(lease, [{ from, to }], { ...change, cut: undefined });
    }
    const alsoHeld = scenario.links.length > 0 ? [shaped] : [];
    const { signal } = context;
    const prng = createPrng(seed);
    const world = { clock: this.#clock, prng, lab: this.#lab, runId: this.#holder, signal, tell };
    return runTimeline({ ...world, alsoHeld }, scenario);
  }

  async #running(): Promise<ReadonlySet<string>> {
    const { context, open } = this.#run;
    const { services } = await callGenesis(context.world, open, GenesisService.list, {});
    return new Set(services.flatMap((one) => (conditionOf(one) === "running" ? [one.id] : [])));
  }

  /** Every service runs, every job has ended, every writer is served. @returns why not, or "" */
  async #converge(): Promise<string> {
    const { context, scenario } = this.#run;
    const untilMs = this.#clock.now() + scenario.convergeMs;
    for (;;) {
      let problem = await this.#sick().catch((error: unknown) => messageOf(error));
      if (problem === "") problem = await this.#writers.steady(scenario.steadyState);
      if (problem === "") return "";
      if (this.#clock.now() > untilMs)
        return `not well within ${formatDuration(scenario.convergeMs)}: ${problem}`;
      await this.#clock.sleep(POLL_MS, context.signal);
    }
  }

  async #sick(): Promise<string> {
    const { context, open } = this.#run;
    const { services } = await callGenesis(context.world, open, GenesisService.list, {});
    const ill = services.find((one) => one.state !== "running" || one.paused);
    if (ill !== undefined) return `${ill.id} is ${ill.paused ? "frozen" : ill.state}`;
    // A process that runs may not listen yet; the only Cerebro of a small site has no other to answer for it.
    for (const { name } of this.#run.scenario.sites) await this.#actions.leader(name);
    for (const { site, id } of this.#jobs) {
      const job = await this.#actions.job(site, id);
      if (!isEnded(job.state)) return `job ${id} is ${job.state} ${job.waiting}`.trim();
    }
    return "";
  }

  async #replicate(from: string, pd: string, to: string): Promise<boolean> {
    const { id } = await this.#actions.startReplication(from, pd, "", to);
    this.#noteJob({ site: from, id });
    const job = await this.#actions.endedJob(from, id, this.#run.scenario.convergeMs);
    return job.state === "DONE";
  }

  async #examineAll(report: RunReport): Promise<readonly PdFact[]> {
    const { scenario, tell, context, workFolder } = this.#run;
    const world: EvidenceWorld = {
      context,
      actions: this.#actions,
      scenario,
      workFolder,
      replicate: (from, pd, to) => this.#replicate(from, pd, to),
    };
    const facts: PdFact[] = [];
    for (const protection of scenario.protection) {
      tell(`comparing ${protection.pd} at both sites`);
      const { fact, audits } = await examine(world, protection, this.#storyOf(protection, report));
      facts.push(fact);
      this.#audits = [...this.#audits, ...audits];
    }
    return facts;
  }

  #storyOf({ pd, at }: Scenario["protection"][number], { steps }: RunReport): PdStory {
    const id = this.#activated.get(pd);
    const point = this.#points.find((one) => one.id === id);
    const struck = steps.flatMap((step) => step.struck);
    const isElsewhere = (name: string): boolean =>
      name.includes("→") || name === "wan" || (name.includes("@") && !name.includes(`@${at}`));
    return {
      writer: this.#writers.fact(pd),
      sourceSpared: struck.length > 0 && struck.every(isElsewhere),
      activated: id === undefined ? undefined : { id, askedMicros: point?.askedMicros },
    };
  }

  async #endedJobs(): Promise<readonly EndedJob[]> {
    const ended: EndedJob[] = [];
    for (const started of this.#jobs) {
      const job = await this.#actions.job(started.site, started.id);
      ended.push({ ...started, to: job.remote, job });
    }
    return ended;
  }
}
