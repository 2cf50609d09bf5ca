/**
 * The operator of a run: takes recovery points of the protection domain, replicates some of them to other
 * sites, and activates it elsewhere. Calls go to random CVMs and are repeated with the same request id
 * until they are answered, as `antipode` does.
 */

import type { Prng } from "../../services/base/prng.ts";
import type { Method } from "../../services/base/wire.ts";
import {
  CerebroService,
  type Job,
  type RecoveryPoint,
} from "../../services/platform/wire/cerebro.ts";
import type { GroupVdisk, PointVdisk } from "./check/contracts.ts";
import { pick, type SimConfig } from "./config.ts";
import type { Recorder } from "./record.ts";
import { memberOf, type World } from "./world/world.ts";

export const PD = "pd";
const RETRY_MS = 200;
const CALL_MS = 10_000;

export interface OperatorOptions {
  readonly world: World;
  readonly recorder: Recorder;
  readonly prng: Prng;
  readonly config: SimConfig;
  readonly site: string;
  readonly runId: number;
  readonly vdisks: readonly GroupVdisk[];
}

export class Operator {
  readonly #options: OperatorOptions;
  #requests = 0;
  #stopping = false;
  /** Ids of replication jobs that were begun. */
  readonly jobs: string[] = [];

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** Takes recovery points until it is stopped. */
  async run(): Promise<void> {
    const { world, prng, config } = this.#options;
    const { snapshotEveryMs, replicateShare } = config.operator;
    const isStopping = (): boolean => this.#stopping;
    while (!isStopping()) {
      await world.clock.sleep(prng.unit() * 2 * snapshotEveryMs);
      if (isStopping()) return;
      const point = await this.snapshot();
      if (point !== undefined && prng.unit() < replicateShare) await this.replicate(point.id);
    }
  }

  stop(): void {
    this.#stopping = true;
  }

  /** Cuts the group; `undefined` when the site refused. */
  async snapshot(): Promise<RecoveryPoint | undefined> {
    const { recorder, site, runId, vdisks } = this.#options;
    const requested = recorder.instant();
    const request = { pd: PD, name: "", requestId: this.#requestId() };
    const answer = await this.#insist(site, CerebroService.snapshot, request);
    const point = answer?.recoveryPoint;
    if (point === undefined) return undefined;
    recorder.count("recovery point taken");
    recorder.points.push({
      ...{ id: point.id, name: point.name, pd: PD, runId, site, holds: [] },
      requested,
      taken: recorder.instant(),
      vdisks: pointVdisks(point, vdisks),
    });
    return point;
  }

  /** Begins a replication to some other site. */
  async replicate(pointId: string, remote?: string): Promise<void> {
    const { world, recorder, prng, site } = this.#options;
    const others = world.sites.filter(({ name }) => name !== site);
    const to = remote ?? pick(prng, others).name;
    const request = { pd: PD, recoveryPoint: pointId, remote: to, requestId: this.#requestId() };
    const answer = await this.#insist(site, CerebroService.replicate, request);
    if (answer?.job === undefined) return;
    recorder.count("replication begun");
    this.jobs.push(answer.job.id);
  }

  /** The site's replication jobs. */
  async listJobs(): Promise<readonly Job[]> {
    return (await this.#insist(this.#options.site, CerebroService.listJobs, {}))?.jobs ?? [];
  }

  /** Makes the domain active at another site; the generation it has then. */
  async activate(at: string, pointId: string): Promise<number | undefined> {
    const { recorder } = this.#options;
    const request = { pd: PD, recoveryPoint: pointId, force: true, requestId: this.#requestId() };
    const answer = await this.#insist(at, CerebroService.activate, request);
    const generation = answer?.pd?.generation;
    if (generation === undefined) return undefined;
    recorder.count("activation");
    recorder.activations.push({
      ...{ pd: PD, generation, site: at, isPlanned: false },
      at: recorder.instant(),
    });
    return generation;
  }

  #requestId(): string {
    this.#requests += 1;
    return `operator-${this.#requests}`;
  }

  /** Tries at one CVM after the other until the answer is not one that time may change. */
  async #insist<Q, A>(
    site: string,
    method: Method<Q, A, "unary">,
    request: Q,
  ): Promise<A | undefined> {
    const { world, recorder, prng } = this.#options;
    for (;;) {
      const { cerebro } = memberOf(world.site(site), prng.below(world.site(site).cvms.length));
      try {
        return await world.call(cerebro, method, request, CALL_MS);
      } catch (error) {
        const known = recorder.error("operator", method.path, error);
        if (known.retry === "never") return undefined;
      }
      await world.clock.sleep(RETRY_MS);
    }
  }
}

/** The vDisks of a recovery point by their numbers in the blocks. */
export function pointVdisks(
  point: RecoveryPoint,
  vdisks: readonly GroupVdisk[],
): readonly PointVdisk[] {
  return point.disks.flatMap(({ vdiskName, root, sizeBytes }) => {
    const known = vdisks.find(({ name }) => name === vdiskName);
    return known === undefined ? [] : [{ vdiskId: known.id, root, sizeBytes }];
  });
}
