/**
 * Runs the time line of a scenario against a lab: chooses targets when they are struck, holds every
 * fault by a lease that it renews, and heals all at the end. Over ports: what a lab is, the caller
 * knows. A step that fails is noted, not fatal: a snapshot may well be refused while etcd is down.
 */

import { AntipodeError, messageOf } from "../base/errors.ts";
import type { Prng } from "../base/prng.ts";
import type { Clock } from "../platform/clock.ts";
import type { Action, Fault, LinkChange, LinkEnds, Scenario } from "./scenario.ts";
import { chooseTargets, type Target, type View } from "./targets.ts";
import { describeStep, type Moment, timelineOf } from "./timeline.ts";

/** Faults end this long after the runner's last word. */
export const LEASE_MS = 6000;
const RENEW_EVERY_MS = 1000;
/** A step that waits for a replication goes on without one after this. */
const WHEN_PATIENCE_MS = 30_000;
const POLL_MS = 50;

export interface RunnerLease {
  readonly holder: string;
  readonly ttlMs: number;
}

/** A lab as the runner needs it. */
export interface ChaosLab {
  view(target: Target): Promise<View>;
  /** kill -9; genesis starts them again. */
  kill(ids: readonly string[]): Promise<void>;
  /** kill -9 of the supervisor, and its new start. */
  killGenesis(): Promise<void>;
  restart(ids: readonly string[]): Promise<void>;
  freeze(lease: RunnerLease, ids: readonly string[]): Promise<void>;
  leaveDead(lease: RunnerLease, ids: readonly string[]): Promise<void>;
  changeLinks(
    lease: RunnerLease,
    links: readonly LinkEnds[],
    change: LinkChange & { readonly cut: boolean | undefined },
  ): Promise<void>;
  renew(lease: RunnerLease): Promise<void>;
  heal(holder: string): Promise<void>;
  act(action: Action): Promise<void>;
  /** Ids of replications that move data now. */
  movingJobs(): Promise<readonly string[]>;
}

export interface StepReport {
  readonly id: string;
  readonly atMs: number;
  readonly what: string;
  /** Services that were struck. */
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
  return new Runner(world).run(timelineOf(scenario));
}

class Runner {
  readonly #world: RunnerWorld;
  readonly #holders = new Set<string>();
  readonly #steps: StepReport[] = [];
  readonly #strikes = new Map<string, number>();
  #faults = 0;
  #startedMs = 0;

  constructor(world: RunnerWorld) {
    this.#world = world;
    for (const holder of world.alsoHeld) this.#holders.add(holder);
  }

  async run(moments: readonly Moment[]): Promise<RunReport> {
    this.#startedMs = this.#world.clock.now();
    const ended = new AbortController();
    const renewing = this.#keepRenewing(ended.signal);
    try {
      // All are joined before the heal: none may strike after it.
      const results = await Promise.allSettled(moments.map((moment) => this.#at(moment)));
      for (const result of results) if (result.status === "rejected") throw result.reason;
    } finally {
      ended.abort();
      await renewing;
      await this.#healAll();
    }
    this.#steps.sort((a, b) => a.atMs - b.atMs);
    return { steps: this.#steps, faults: this.#faults, strikes: this.#strikes };
  }

  get #elapsedMs(): number {
    return Math.round(this.#world.clock.now() - this.#startedMs);
  }

  async #at(moment: Moment): Promise<void> {
    const { clock, signal } = this.#world;
    await clock.sleep(moment.atMs, signal);
    const { does, whenReplicating } = moment.step;
    if (whenReplicating) await this.#untilReplicating();
    const atMs = this.#elapsedMs;
    const what = describeStep(moment.step);
    let struck: readonly string[] = [];
    let problem = "";
    try {
      if ("action" in does) await this.#world.lab.act(does.action);
      else struck = await this.#inject(does.fault, this.#holderOf(moment));
    } catch (error) {
      if (signal.aborted) throw error;
      problem = messageOf(error);
    }
    this.#steps.push({ id: moment.id, atMs, what, struck, problem });
    const names = struck.length === 0 ? "" : ` (${struck.join(", ")})`;
    const outcome = problem === "" ? names : `: not done, ${problem}`;
    this.#world.tell(`[${(atMs / 1000).toFixed(1).padStart(5)} s] ${what}${outcome}`);
    if ("fault" in does && does.fault.forMs !== undefined && problem === "") {
      await clock.sleep(does.fault.forMs, signal);
      await this.#heal(this.#holderOf(moment));
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
    const moving = await lab.movingJobs().catch(() => []);
    const lease = { holder, ttlMs: LEASE_MS };
    const struck = await this.#strike(fault, lease);
    this.#faults += 1;
    for (const job of moving) this.#strikes.set(job, (this.#strikes.get(job) ?? 0) + 1);
    return struck;
  }

  async #strike(
    fault: Exclude<Fault, { readonly kind: "heal" }>,
    lease: RunnerLease,
  ): Promise<readonly string[]> {
    const { lab, prng } = this.#world;
    if ("links" in fault) {
      // Named before it is asked for: an answer that is lost must not leave a fault without a healer.
      this.#holders.add(lease.holder);
      const cut = fault.kind === "cut" ? true : undefined;
      await lab.changeLinks(lease, fault.links, { ...fault.change, cut });
      return fault.links.map((link) => `${link.from}→${link.to}`);
    }
    if (fault.target.kind === "genesis") {
      await lab.killGenesis();
      return ["genesis"];
    }
    const ids = chooseTargets(fault.target, await lab.view(fault.target), prng);
    if (ids.length === 0)
      throw new AntipodeError("PROCESS_NOT_FOUND", "nothing that runs is meant by it now");
    if (fault.kind === "restart") await lab.restart(ids);
    else if (fault.kind === "kill" && fault.forMs === undefined) await lab.kill(ids);
    else {
      this.#holders.add(lease.holder);
      await (fault.kind === "stop" ? lab.freeze(lease, ids) : lab.leaveDead(lease, ids));
    }
    return ids;
  }

  async #untilReplicating(): Promise<void> {
    const { clock, lab, signal } = this.#world;
    const untilMs = clock.now() + WHEN_PATIENCE_MS;
    while (clock.now() < untilMs) {
      // A site that does not answer at the moment moves nothing that we know of.
      const moving = await lab.movingJobs().catch(() => []);
      if (moving.length > 0) return;
      await clock.sleep(POLL_MS, signal);
    }
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
