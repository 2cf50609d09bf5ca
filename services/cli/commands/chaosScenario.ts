/**
 * A whole chaos run: the lab gets the scenario's vDisks, domains and writers, faults strike, all is
 * healed and brought to rest, both sites are compared, and every promise gets its verdict.
 */

import { AntipodeError, messageOf } from "../../base/errors.ts";
import { createPrng } from "../../base/prng.ts";
import { formatDuration } from "../../base/units.ts";
import {
  type Action,
  type ChaosLab,
  type Facts,
  isGood,
  type JobFact,
  judge,
  LEASE_MS,
  type PdFact,
  type RunReport,
  runTimeline,
  type Scenario,
  type Verdict,
} from "../../chaos/index.ts";
import { callGenesis, type OpenLab } from "../../lab/index.ts";
import { CerebroService, type Job } from "../../platform/wire/cerebro.ts";
import { GenesisService } from "../../platform/wire/genesis.ts";
import type { Context } from "../command.ts";
import { SiteActions } from "../demo/siteActions.ts";
import { newRequestId } from "../siteClient.ts";
import { examine, Writers } from "./chaosEvidence.ts";
import { createChaosLab, jobKey, protectionOf, type StartedJob } from "./chaosLab.ts";

const POLL_MS = 250;
const LEADER_LOOK_MS = 1000;
const ENDED: ReadonlySet<string> = new Set(["DONE", "FAILED", "CANCELLED"]);

export interface ChaosReport {
  readonly ok: boolean;
  readonly scenario: string;
  readonly seed: number;
  readonly elapsedMs: number;
  readonly convergedMs: number;
  readonly steps: RunReport["steps"];
  readonly verdicts: readonly Verdict[];
  readonly facts: Facts;
}

export interface ChaosRun {
  readonly context: Context;
  readonly open: OpenLab;
  readonly scenario: Scenario;
  readonly seed: number;
  /** Absolute path of a folder outside the lab: histories, copies. */
  readonly workFolder: string;
  readonly tell: (line: string) => void;
}

/** Runs the scenario; `ok` of the report is false when a promise is violated or an asserted one vacuous. */
export async function runScenario(run: ChaosRun): Promise<ChaosReport> {
  return new ScenarioRun(run).run();
}

class ScenarioRun {
  readonly #run: ChaosRun;
  readonly #actions: SiteActions;
  readonly #writers: Writers;
  readonly #lab: ChaosLab;
  readonly #holder: string;
  readonly #jobs: StartedJob[] = [];
  readonly #failedOver = new Set<string>();
  readonly #leaders = new Map<string, Facts["leaders"][number]>();

  constructor(run: ChaosRun) {
    this.#run = run;
    const { context, open, scenario } = run;
    this.#holder = `chaos-${newRequestId(context)}`;
    this.#actions = new SiteActions(context, open);
    this.#writers = new Writers(this.#evidence);
    this.#lab = createChaosLab({
      context,
      open,
      actions: this.#actions,
      scenario,
      onReplication: (job) => this.#jobs.push(job),
      onActivate: async (pd) => {
        await this.#writers.stop(pd);
        this.#failedOver.add(pd);
      },
    });
  }

  async run(): Promise<ChaosReport> {
    const { scenario, seed, tell } = this.#run;
    const startedMs = this.#clock.now();
    await this.#setUp();
    const done = await this.#strike();
    tell("all faults are healed; waiting until everything is well again");
    const healedMs = this.#clock.now();
    const notConverged = await this.#converge();
    const convergedMs = Math.round(this.#clock.now() - healedMs);
    tell(notConverged === "" ? `well again after ${formatDuration(convergedMs)}` : notConverged);
    const pds = notConverged === "" ? await this.#examineAll() : [];
    const jobs = await this.#jobFacts(done);
    const facts: Facts = {
      faults: done.faults,
      jobs,
      pds,
      leaders: [...this.#leaders.values()],
      notConverged,
    };
    const verdicts = judge(facts);
    return {
      ok: isGood(verdicts, scenario.assert),
      scenario: scenario.name,
      seed,
      elapsedMs: Math.round(this.#clock.now() - startedMs),
      convergedMs,
      steps: done.steps,
      verdicts,
      facts,
    };
  }

  get #clock() {
    return this.#run.context.world.clock;
  }

  get #evidence() {
    const { context, scenario, workFolder, seed } = this.#run;
    const replicate = (from: string, pd: string, to: string) => this.#replicate(from, pd, to);
    return { context, actions: this.#actions, scenario, workFolder, seed, replicate };
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
    const ended = new AbortController();
    const watching = this.#watchLeaders(ended.signal);
    const shaped = `${this.#holder}/links`;
    const prng = createPrng(seed);
    try {
      for (const { from, to, ...change } of scenario.links) {
        const lease = { holder: shaped, ttlMs: LEASE_MS };
        await this.#lab.changeLinks(lease, [{ from, to }], { ...change, cut: undefined });
      }
      const { signal } = context;
      const world = { clock: this.#clock, prng, lab: this.#lab, runId: this.#holder, signal, tell };
      return await runTimeline(
        { ...world, alsoHeld: scenario.links.length > 0 ? [shaped] : [] },
        scenario,
      );
    } finally {
      await this.#writers.stopAll().catch((error: unknown) => {
        tell(`a writer failed: ${messageOf(error)}`);
      });
      ended.abort();
      await watching;
    }
  }

  /** Which CVM says with which epoch that it leads. */
  async #watchLeaders(ended: AbortSignal): Promise<void> {
    const { scenario, context } = this.#run;
    const { rpc } = context.world;
    while (!ended.aborted) {
      const looks = scenario.sites.flatMap(({ name }) =>
        this.#actions.site(name).cvms.map(async ({ cerebro }) => {
          const options = { deadlineMs: LEADER_LOOK_MS, signal: ended };
          const ask = rpc.connect(cerebro).unary(CerebroService.leader, {}, options);
          const said = await ask.catch(() => undefined);
          if (said === undefined || said.cvm === 0) return;
          const { cvm, epoch } = said;
          this.#leaders.set(`${name} ${epoch} ${cvm}`, { site: name, epoch, cvm });
        }),
      );
      await Promise.all(looks);
      await this.#clock.sleep(POLL_MS, ended).catch(() => undefined);
    }
  }

  /** Every service runs and every job has ended. @returns why not, or "" */
  async #converge(): Promise<string> {
    const { context, scenario } = this.#run;
    const untilMs = this.#clock.now() + scenario.convergeMs;
    for (;;) {
      const problem = await this.#sick().catch((error: unknown) => messageOf(error));
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
    for (const { site, id } of this.#jobs) {
      const job = await this.#actions.job(site, id);
      if (!ENDED.has(job.state)) return `job ${id} is ${job.state} ${job.waiting}`.trim();
    }
    return "";
  }

  async #replicate(from: string, pd: string, to: string): Promise<boolean> {
    const { context, scenario } = this.#run;
    const started = await this.#actions.startReplication(from, pd, "", to);
    this.#jobs.push({ site: from, id: started.id });
    const untilMs = this.#clock.now() + scenario.convergeMs;
    for (;;) {
      const job: Job = await this.#actions.job(from, started.id);
      if (ENDED.has(job.state)) return job.state === "DONE";
      if (this.#clock.now() > untilMs) return false;
      await this.#clock.sleep(POLL_MS, context.signal);
    }
  }

  async #examineAll(): Promise<readonly PdFact[]> {
    const { scenario, tell } = this.#run;
    const facts: PdFact[] = [];
    for (const protection of scenario.protection) {
      tell(`comparing ${protection.pd} at both sites`);
      const { pd } = protection;
      const about = { hasWriter: this.#writers.has(pd), failedOver: this.#failedOver.has(pd) };
      facts.push(await examine(this.#evidence, protection, about));
    }
    return facts;
  }

  async #jobFacts({ strikes }: RunReport): Promise<readonly JobFact[]> {
    const facts: JobFact[] = [];
    for (const started of this.#jobs) {
      const job = await this.#actions.job(started.site, started.id);
      const resentBytes = job.ledger?.resentBytes ?? 0;
      const struck = strikes.get(jobKey(started)) ?? 0;
      facts.push({ id: started.id, state: job.state, resentBytes, strikes: struck });
    }
    return facts;
  }
}
