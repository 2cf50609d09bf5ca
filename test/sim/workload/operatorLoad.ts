/**
 * The operator of a branch, by seed: takes recovery points, replicates and deletes them, and in the
 * end activates one elsewhere. It decides and records; how a site is asked is its port's business,
 * so the same operator works on a simulated and on a real lab.
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
  ): Promise<Omit<ReplicationRecord, "started" | "ended" | "pd" | "pointId">>;
  deletePoint(pointId: string): Promise<void>;
  /** Makes the domain active at a site from a point; the generation that it has then. */
  activate(site: string, pointId: string): Promise<number>;
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
  readonly replications: ReplicationRecord[] = [];
  readonly activations: Activation[] = [];
  /** Ids of points that were not deleted. */
  readonly live = new Set<string>();
  readonly #world: { readonly clock: Clock; readonly moments: Moments };
  readonly #port: OperatorPort;
  readonly #plan: OperatorPlan;
  readonly #prng: Prng;

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

  /** Works until the signal aborts; what is under way then is finished. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#world.clock.sleep(2 * this.#plan.everyMs * this.#prng.unit());
      if (signal.aborted) return;
      const decision = decide(this.#plan, [...this.live], this.#prng);
      try {
        await this.#act(decision);
      } catch (error) {
        this.#world.moments.error("operator", decision.kind, error);
      }
    }
  }

  /**
   * Makes the domain active at another site from one of the points.
   * @throws AntipodeError of the port
   */
  async activate(site: string, pointId: string, how: "planned" | "unplanned"): Promise<Activation> {
    const { pd } = this.#plan.branch;
    const generation = await this.#port.activate(site, pointId);
    const at = this.#world.moments.instant();
    const activation = { pd, generation, site, at, isPlanned: how === "planned" };
    this.activations.push(activation);
    return activation;
  }

  async #act(decision: Decision): Promise<void> {
    switch (decision.kind) {
      case "snapshot":
        await this.#snapshot();
        return;
      case "replicate":
        await this.#replicate(decision);
        return;
      case "delete":
        // Whatever the answer is, nobody may count on the point from here on.
        this.live.delete(decision.pointId);
        await this.#port.deletePoint(decision.pointId);
    }
  }

  async #snapshot(): Promise<void> {
    const { pd, runId, site } = this.#plan.branch;
    const requested = this.#world.moments.instant();
    const { id, name, vdisks } = await this.#port.snapshot();
    const taken = this.#world.moments.instant();
    this.live.add(id);
    this.points.push({ id, name, pd, runId, site, requested, taken, vdisks, holds: [] });
  }

  async #replicate({ pointId, targetSite }: Decision & { kind: "replicate" }): Promise<void> {
    const started = this.#world.moments.instant();
    const told = await this.#port.replicate(pointId, targetSite);
    const ended = told.outcome === "unfinished" ? undefined : this.#world.moments.instant();
    this.replications.push({ ...told, pd: this.#plan.branch.pd, pointId, started, ended });
  }
}
