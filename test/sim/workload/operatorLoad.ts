/**
 * The operator of a branch, by seed: takes recovery points, replicates and deletes them, and in the
 * end activates one elsewhere. It decides and records; how a site is asked is its port's business,
 * so the same operator works on a simulated and on a real lab.
 *
 * It does not wait for a replication before it goes on: cuts and deletions while data moves are what
 * a schedule does, and where the order of things matters.
 */

import type { Prng } from "../../../services/base/prng.ts";
import type { Clock } from "../../../services/platform/clock.ts";
import type {
  Activation,
  Branch,
  PointVdisk,
  RecoveryPointRecord,
  ReplicationRecord,
} from "../check/contracts.ts";
import type { Moments } from "./moments.ts";

/** What an operator is told of a replication; what crossed the wire others see. */
export type ToldReplication = Pick<
  ReplicationRecord,
  | "jobId"
  | "pd"
  | "pointId"
  | "sourceSite"
  | "targetSite"
  | "started"
  | "ended"
  | "outcome"
  | "ledger"
>;

/** How sites are asked. Every call may be repeated inside; what it throws was the last word. */
export interface OperatorPort {
  /** Cuts the group of the branch. */
  snapshot(): Promise<{
    readonly id: string;
    readonly name: string;
    readonly vdisks: readonly PointVdisk[];
  }>;
  /** Replicates a point to a site, and waits for the job's end. */
  replicate(
    pointId: string,
    targetSite: string,
  ): Promise<Omit<ToldReplication, "started" | "ended" | "pd" | "pointId">>;
  deletePoint(pointId: string): Promise<void>;
  /** Lists the points that a site has now, for the record. */
  look(site: string): Promise<void>;
  /** Makes the domain active at a site from a point, "" for its newest: what it is active from, and since when. */
  activate(
    site: string,
    pointId: string,
  ): Promise<{ readonly generation: number; readonly pointId: string }>;
}

export interface OperatorPlan {
  readonly branch: Pick<Branch, "pd" | "runId" | "site">;
  /** Sites that points can go to. */
  readonly targets: readonly string[];
  /** Between two decisions, on average. */
  readonly everyMs: number;
  /** How likely each decision is, relative to the others. */
  readonly weights: {
    readonly snapshot: number;
    readonly replicate: number;
    readonly delete: number;
  };
}

/** Points kept by a run: beyond it one is deleted before another is taken. */
const POINTS_MAX = 64;
/** Replications under way at once; the operator waits for one of them before it begins another. */
const JOBS_MAX = 4;

export type Decision =
  | { readonly kind: "snapshot" }
  | { readonly kind: "replicate"; readonly pointId: string; readonly targetSite: string }
  | { readonly kind: "delete"; readonly pointId: string };

/** The next thing to do. Pure: a point is taken when there is none to do anything with. */
export function decide(
  plan: Pick<OperatorPlan, "weights" | "targets">,
  livePoints: readonly string[],
  prng: Prng,
): Decision {
  const { weights, targets } = plan;
  const dice = prng.unit() * (weights.snapshot + weights.replicate + weights.delete);
  const pointId = livePoints[prng.below(Math.max(1, livePoints.length))];
  const targetSite = targets[prng.below(Math.max(1, targets.length))];
  if (pointId === undefined) return { kind: "snapshot" };
  if (livePoints.length >= POINTS_MAX) return { kind: "delete", pointId };
  if (dice < weights.snapshot) return { kind: "snapshot" };
  if (dice >= weights.snapshot + weights.replicate) return { kind: "delete", pointId };
  return targetSite === undefined
    ? { kind: "snapshot" }
    : { kind: "replicate", pointId, targetSite };
}

export class OperatorLoad {
  readonly points: RecoveryPointRecord[] = [];
  readonly replications: ToldReplication[] = [];
  readonly activations: Activation[] = [];
  /** Ids of points that were not deleted. */
  readonly live = new Set<string>();
  readonly #world: { readonly clock: Clock; readonly moments: Moments };
  readonly #port: OperatorPort;
  readonly #plan: OperatorPlan;
  readonly #prng: Prng;
  readonly #jobs = new Set<Promise<unknown>>();

  constructor(parts: {
    readonly world: { readonly clock: Clock; readonly moments: Moments };
    readonly port: OperatorPort;
    readonly plan: OperatorPlan;
    readonly prng: Prng;
  }) {
    this.#world = parts.world;
    this.#port = parts.port;
    this.#plan = parts.plan;
    this.#prng = parts.prng;
  }

  /** Works until the signal aborts; resolves when what was under way then is finished. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#world.clock.sleep(2 * this.#plan.everyMs * this.#prng.unit());
      if (signal.aborted) break;
      await this.#act(decide(this.#plan, [...this.live], this.#prng));
    }
    await Promise.all(this.#jobs);
  }

  /** Takes a point now; `undefined` when that was refused. */
  snapshot(): Promise<RecoveryPointRecord | undefined> {
    return this.#told("snapshot", () => this.#snapshot());
  }

  /** Replicates a point and waits for the job's end; `undefined` when that was refused. */
  replicate(pointId: string, targetSite: string): Promise<ToldReplication | undefined> {
    return this.#told("replicate", () => this.#replicate(pointId, targetSite));
  }

  /**
   * Makes the domain active at another site from one of the points, "" for the newest there.
   * @returns the activation and its point, `undefined` when it was refused
   */
  activate(
    site: string,
    pointId: string,
    how: "planned" | "unplanned",
  ): Promise<{ readonly activation: Activation; readonly pointId: string } | undefined> {
    return this.#told("activate", async () => {
      const { pd } = this.#plan.branch;
      const told = await this.#port.activate(site, pointId);
      const at = this.#world.moments.instant();
      const { generation } = told;
      const activation = { pd, generation, site, at, isPlanned: how === "planned" };
      this.activations.push(activation);
      return { activation, pointId: told.pointId };
    });
  }

  async #act(decision: Decision): Promise<void> {
    switch (decision.kind) {
      case "snapshot":
        await this.snapshot();
        return;
      case "replicate":
        if (this.#jobs.size >= JOBS_MAX) await Promise.race(this.#jobs);
        this.#begin(decision);
        return;
      case "delete":
        // Whatever the answer is, nobody may count on the point from here on.
        this.live.delete(decision.pointId);
        await this.#told("delete", () => this.#port.deletePoint(decision.pointId));
    }
  }

  #begin({ pointId, targetSite }: Decision & { kind: "replicate" }): void {
    const job = this.replicate(pointId, targetSite).finally(() => this.#jobs.delete(job));
    this.#jobs.add(job);
    // A bug is thrown where `run` waits for it; until then it is no unhandled one.
    job.catch(() => undefined);
  }

  /** What a site refused is on record; anything else is a bug, and is thrown on. */
  async #told<T>(operation: string, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      this.#world.moments.error("operator", operation, error);
      return undefined;
    }
  }

  async #snapshot(): Promise<RecoveryPointRecord> {
    const { pd, runId, site } = this.#plan.branch;
    const requested = this.#world.moments.instant();
    const { id, name, vdisks } = await this.#port.snapshot();
    const taken = this.#world.moments.instant();
    const point = { id, name, pd, runId, site, requested, taken, vdisks, holds: [] };
    this.live.add(id);
    this.points.push(point);
    await this.#port.look(site);
    return point;
  }

  async #replicate(pointId: string, targetSite: string): Promise<ToldReplication> {
    const started = this.#world.moments.instant();
    const told = await this.#port.replicate(pointId, targetSite);
    const ended = told.outcome === "unfinished" ? undefined : this.#world.moments.instant();
    const record = { ...told, pd: this.#plan.branch.pd, pointId, started, ended };
    this.replications.push(record);
    if (told.outcome === "completed") await this.#port.look(targetSite);
    return record;
  }
}
