/**
 * Runs the time line of a scenario against a lab: chooses targets when they are struck, holds every
 * fault by a lease that it renews, and heals all at the end. Over ports: what a lab is, the caller
 * knows. A step that fails is noted, not fatal: a snapshot may well be refused while etcd is down.
 */

import { messageOf } from "../base/errors.ts";
import { isEnded } from "../base/jobStates.ts";
import type { Prng } from "../base/prng.ts";
import type { Clock } from "../platform/clock.ts";
import type { DiskFault } from "../platform/diskFaults.ts";
import { strikeTarget } from "./aim.ts";
import type { Fault, LinkChange, LinkEnds, Rot } from "./faults.ts";
import type { Action, Scenario, Step } from "./scenario.ts";
import type { Target, View } from "./targets.ts";
import { describeStep, type Moment, timelineOf } from "./timeline.ts";

/** Faults end this long after the runner's last word. */
export const LEASE_MS = 6000;
const RENEW_EVERY_MS = 1000;
/** A step that waits for a phase of a replication is given up after this without any under way. */
const WHEN_PATIENCE_MS = 30_000;
/** And after this in any case: a replication that is stuck. */
const WHEN_MS_MAX = 600_000;
const POLL_MS = 50;

export interface RunnerLease {
  readonly holder: string;
  readonly ttlMs: number;
}

/** A lab as the runner needs it. */
export interface ChaosLab {
  view(target: Target): Promise<View>;
  /** kill -9; genesis starts them again. As every strike: `PROCESS_NOT_FOUND` when none was reached. */
  kill(ids: readonly string[]): Promise<void>;
  /** kill -9 of the supervisor, and its new start. */
  killGenesis(): Promise<void>;
  restart(ids: readonly string[]): Promise<void>;
  /** Frozen ones go on. */
  goOn(ids: readonly string[]): Promise<void>;
  freeze(lease: RunnerLease, ids: readonly string[]): Promise<void>;
  leaveDead(lease: RunnerLease, ids: readonly string[]): Promise<void>;
  breakDisks(lease: RunnerLease, ids: readonly string[], fault: DiskFault): Promise<void>;
  /** Flips bits in files of one Stargate. @returns how many places were found to flip */
  rot(id: string, order: Pick<Rot, "file" | "count" | "lastCopy">, prng: Prng): Promise<number>;
  changeLinks(
    lease: RunnerLease,
    links: readonly LinkEnds[],
    change: LinkChange & { readonly cut: boolean | undefined },
  ): Promise<void>;
  renew(lease: RunnerLease): Promise<void>;
  heal(holder: string): Promise<void>;
  act(action: Action): Promise<void>;
  /** Replications, ended ones too. */
  jobs(): Promise<readonly JobLook[]>;
}

export interface JobLook {
  /** Unique over all sites. */
  readonly key: string;
  /** PLANNING, RUNNING, RECORDING, or how it ended. */
  readonly state: string;
  /** Tasks of it run. */
  readonly moves: boolean;
}

export interface StepReport {
  readonly id: string;
  readonly kind: "fault" | "action" | "heal";
  /** What was broken. */
  readonly fault: Exclude<Fault["kind"], "heal"> | undefined;
  readonly what: string;
  /** When it was struck or asked for; counts from the start of the time line. */
  readonly atMs: number;
  /** When it was healed or done. */
  readonly toMs: number;
  /** Services or links that were struck. */
  readonly struck: readonly string[];
  /** Why it was not done, or "". */
  readonly problem: string;
}

export interface RunReport {
  readonly steps: readonly StepReport[];
  /** Faults that were done. */
  readonly faults: number;
  /** Job → how many faults hit while it moved data. */
  readonly strikes: ReadonlyMap<string, number>;
  /** Places that were made to rot. */
  readonly rotted: number;
}

export interface RunnerWorld {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly lab: ChaosLab;
  /** Prefix of every holder of this run. */
  readonly runId: string;
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
  /** Holders of what was changed before: renewed and healed with the run's own. */
  readonly alsoHeld: readonly string[];
}

/** Runs all steps; whatever happens, every fault is healed before it ends. */
export async function runTimeline(world: RunnerWorld, scenario: Scenario): Promise<RunReport> {
  return new Runner(world).run(timelineOf(scenario, world.prng));
}

class Runner {
  readonly #world: RunnerWorld;
  readonly #holders = new Set<string>();
  readonly #steps: StepReport[] = [];
  readonly #strikes = new Map<string, number>();
  /** The last action of each pd, whatever becomes of it. */
  readonly #lastActions = new Map<string, Promise<unknown>>();
  #faults = 0;
  #rotted = 0;
  #activating = 0;
  /** Faults of the time line that have not struck yet, by their place in it. */
  readonly #unstruck = new Set<number>();
  #startedMs = 0;

  constructor(world: RunnerWorld) {
    this.#world = world;
    for (const holder of world.alsoHeld) this.#holders.add(holder);
  }

  async run(moments: readonly Moment[]): Promise<RunReport> {
    this.#startedMs = this.#world.clock.now();
    for (const [place, { step }] of moments.entries())
      if ("fault" in step.does) this.#unstruck.add(place);
    const ended = new AbortController();
    const renewing = this.#keepRenewing(ended.signal);
    try {
      // All are joined before the heal: none may strike after it.
      const results = await Promise.allSettled(
        moments.map((moment, place) => this.#at(moment, place)),
      );
      for (const result of results) if (result.status === "rejected") throw result.reason;
    } finally {
      ended.abort();
      await renewing;
      await this.#healAll();
    }
    const endMs = this.#elapsedMs;
    const steps = this.#steps
      // What was left broken to the end was healed just now.
      .map((step) => (step.toMs === Number.POSITIVE_INFINITY ? { ...step, toMs: endMs } : step))
      .sort((a, b) => a.atMs - b.atMs);
    return { steps, faults: this.#faults, strikes: this.#strikes, rotted: this.#rotted };
  }

  get #elapsedMs(): number {
    return Math.round(this.#world.clock.now() - this.#startedMs);
  }

  async #at(moment: Moment, place: number): Promise<void> {
    const { clock, signal } = this.#world;
    const { step } = moment;
    await clock.sleep(moment.atMs, signal);
    const met = step.when === undefined || (await this.#until(step.when, place));
    if (met) await clock.sleep(step.afterMs, signal);
    let atMs = this.#elapsedMs;
    let struck: readonly string[] = [];
    let problem = met ? "" : `nothing of the kind for ${WHEN_PATIENCE_MS / 1000} s`;
    try {
      if (met) struck = await this.#do(moment);
      // Who was not there had to be waited for.
      if (met && "fault" in step.does) atMs = this.#elapsedMs;
    } catch (error) {
      if (signal.aborted) throw error;
      problem = messageOf(error);
    }
    this.#unstruck.delete(place);
    const what = describeStep(step);
    const names = struck.length === 0 ? "" : ` (${struck.join(", ")})`;
    const outcome = problem === "" ? names : `: not done, ${problem}`;
    this.#world.tell(`[${(atMs / 1000).toFixed(1).padStart(5)} s] ${what}${outcome}`);
    const note = (toMs: number): void => {
      const { id } = moment;
      const kinds = { kind: kindOf(step), fault: faultOf(step) };
      this.#steps.push({ id, ...kinds, what, atMs, toMs, struck, problem });
    };
    if (problem !== "" || !("fault" in step.does) || lastsNot(step.does.fault)) {
      note(this.#elapsedMs);
    } else if (step.does.fault.forMs === undefined) note(Number.POSITIVE_INFINITY);
    else {
      await clock.sleep(step.does.fault.forMs, signal);
      await this.#heal(this.#holderOf(moment));
      note(this.#elapsedMs);
    }
  }

  async #do(moment: Moment): Promise<readonly string[]> {
    const { does } = moment.step;
    if ("fault" in does) return this.#inject(does.fault, this.#holderOf(moment));
    const { action } = does;
    // One at a time for a pd, as an operator does: what is replicated is what was cut just before.
    const before = this.#lastActions.get(action.pd) ?? Promise.resolve();
    const done = before.then(() => this.#act(action));
    this.#lastActions.set(
      action.pd,
      done.catch(() => undefined),
    );
    await done;
    return [];
  }

  async #act(action: Action): Promise<void> {
    const isActivation = action.kind === "activate";
    if (isActivation) this.#activating += 1;
    try {
      await this.#world.lab.act(action);
    } finally {
      if (isActivation) this.#activating -= 1;
    }
  }

  #holderOf(moment: Moment): string {
    return `${this.#world.runId}/${moment.id}`;
  }

  async #inject(fault: Fault, holder: string): Promise<readonly string[]> {
    const { lab } = this.#world;
    if (fault.kind === "heal") {
      for (const held of [...this.#holders])
        if (!this.#world.alsoHeld.includes(held)) await this.#heal(held);
      return [];
    }
    // A site that does not answer at the moment is no reason to spare it.
    const moving = (await lab.jobs().catch(() => [])).filter((one) => one.moves);
    const struck = await this.#strike(fault, { holder, ttlMs: LEASE_MS });
    this.#faults += 1;
    for (const { key } of moving) this.#strikes.set(key, (this.#strikes.get(key) ?? 0) + 1);
    return struck;
  }

  async #strike(
    fault: Exclude<Fault, { readonly kind: "heal" }>,
    lease: RunnerLease,
  ): Promise<readonly string[]> {
    const { clock, lab, prng, signal } = this.#world;
    const aim = { clock, prng, signal, view: (target: Target) => lab.view(target) };
    // Held before it is asked for: an answer that is lost must not leave a fault without a healer.
    const hold = (): RunnerLease => {
      this.#holders.add(lease.holder);
      return lease;
    };
    if ("links" in fault) {
      const cut = fault.kind === "cut" ? true : undefined;
      await lab.changeLinks(hold(), fault.links, { ...fault.change, cut });
      return fault.links.map((link) => `${link.from}→${link.to}`);
    }
    if (fault.target.kind === "genesis") {
      await lab.killGenesis();
      return ["genesis"];
    }
    return strikeTarget(aim, fault, async (ids) => {
      switch (fault.kind) {
        case "restart":
          return lab.restart(ids);
        case "continue":
          return lab.goOn(ids);
        case "kill":
          return fault.forMs === undefined ? lab.kill(ids) : lab.leaveDead(hold(), ids);
        case "stop":
          return lab.freeze(hold(), ids);
        case "disk":
          return lab.breakDisks(hold(), ids, fault.disk);
        case "rot":
          for (const id of ids) this.#rotted += await lab.rot(id, fault, prng);
      }
    });
  }

  /** @returns whether it was so within the patience, which lasts while a replication is under way */
  async #until(when: NonNullable<Step["when"]>, place: number): Promise<boolean> {
    const { clock, signal } = this.#world;
    const lastMs = clock.now() + WHEN_MS_MAX;
    let untilMs = clock.now() + WHEN_PATIENCE_MS;
    while (clock.now() < Math.min(untilMs, lastMs)) {
      const seen = await this.#look(when, place);
      if (seen === "so") return true;
      // How long it takes is a matter of the machine.
      if (seen === "maybe soon") untilMs = clock.now() + WHEN_PATIENCE_MS;
      await clock.sleep(POLL_MS, signal);
    }
    return false;
  }

  async #look(
    when: NonNullable<Step["when"]>,
    place: number,
  ): Promise<"so" | "maybe soon" | "not so"> {
    if (when === "activating") return this.#activating > 0 ? "so" : "not so";
    if (when === "struck")
      return [...this.#unstruck].some((one) => one < place) ? "maybe soon" : "so";
    // A site that does not answer at the moment moves nothing that we know of.
    const jobs = await this.#world.lab.jobs().catch(() => []);
    if (jobs.some((job) => isIn(job, when))) return "so";
    return jobs.some((job) => !isEnded(job.state)) ? "maybe soon" : "not so";
  }

  async #keepRenewing(ended: AbortSignal): Promise<void> {
    const { clock, lab, tell } = this.#world;
    while (!ended.aborted) {
      const renewals = [...this.#holders].map((holder) =>
        lab.renew({ holder, ttlMs: LEASE_MS }).catch((error: unknown) => {
          tell(`a lease was not renewed: ${messageOf(error)}`);
        }),
      );
      await Promise.all(renewals);
      await clock.sleep(RENEW_EVERY_MS, ended).catch(() => undefined);
    }
  }

  async #healAll(): Promise<void> {
    for (const holder of [...this.#holders]) await this.#heal(holder);
  }

  async #heal(holder: string): Promise<void> {
    try {
      await this.#world.lab.heal(holder);
    } catch (error) {
      this.#world.tell(`not healed yet, its lease will do it: ${messageOf(error)}`);
    }
    // What is not renewed any more ends by itself.
    this.#holders.delete(holder);
  }
}

function isIn(
  job: JobLook,
  phase: Exclude<Step["when"], "activating" | "struck" | undefined>,
): boolean {
  switch (phase) {
    case "planning":
      return job.state === "PLANNING";
    case "replicating":
      return job.moves;
    case "recording":
      return job.state === "RECORDING";
  }
}

function kindOf({ does }: Step): StepReport["kind"] {
  if ("action" in does) return "action";
  return does.fault.kind === "heal" ? "heal" : "fault";
}

function faultOf({ does }: Step): StepReport["fault"] {
  return "action" in does || does.fault.kind === "heal" ? undefined : does.fault.kind;
}

/** It is over as soon as it is done, as far as this runner is concerned. */
function lastsNot(fault: Fault): boolean {
  switch (fault.kind) {
    case "restart":
    case "continue":
    case "rot":
    case "heal":
      return true;
    case "kill":
      return fault.forMs === undefined;
    case "stop":
    case "disk":
    case "cut":
    case "link":
      return false;
  }
}
