/**
 * How the operator of a run asks the Cerebros of a simulated site: at one CVM after the other, with the
 * same request id until it is answered, as `antipode` does. An answer that time does not change is the
 * last word; so is the site's loss.
 */

import { present } from "../../services/base/assert.ts";
import { AntipodeError } from "../../services/base/errors.ts";
import { ledgerOf } from "../../services/base/ledger.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { Method } from "../../services/base/wire.ts";
import {
  CerebroService,
  type Job,
  type RecoveryPoint,
} from "../../services/platform/wire/cerebro.ts";
import type { GroupVdisk, Instant, PointVdisk, ReplicationRecord } from "./check/contracts.ts";
import type { Recorder } from "./record.ts";
import type { OperatorPort } from "./workload/operatorLoad.ts";
import { memberOf, type World } from "./world/world.ts";

export const PD = "pd";
const RETRY_MS = 200;
const CALL_MS = 10_000;
const JOB_POLL_MS = 300;
/** Calls of one request: with the pauses between them an hour, longer than any run. */
const CALLS_MAX = 18_000;

const OUTCOMES: Readonly<Record<string, ReplicationRecord["outcome"]>> = {
  DONE: "completed",
  FAILED: "failed",
  CANCELLED: "failed",
};

export interface SitePortOptions {
  readonly world: World;
  readonly recorder: Recorder;
  readonly prng: Prng;
  /** The site that is asked for everything but an activation. */
  readonly site: string;
  /** Begins the ids of its requests: no two operators of a run have the same. */
  readonly name: string;
  readonly vdisks: readonly GroupVdisk[];
}

export class SitePort implements OperatorPort {
  readonly #options: SitePortOptions;
  /** What is waited for: requests, and jobs that have not ended. */
  readonly #waiting = new Set<{ what: string }>();
  #requests = 0;
  #isLost = false;

  constructor(options: SitePortOptions) {
    this.#options = options;
  }

  /** The site is gone: whoever still waits for an answer of it gets none. */
  giveUp(): void {
    this.#isLost = true;
  }

  /** What it waits for, for the report of a run that never ended; "" for nothing. */
  get waitingFor(): string {
    return [...this.#waiting].map(({ what }) => what).join("; ");
  }

  async snapshot(): ReturnType<OperatorPort["snapshot"]> {
    const { recorder, site, vdisks } = this.#options;
    const request = { pd: PD, name: "", requestId: this.#requestId() };
    const answer = await this.#insist(site, CerebroService.snapshot, request);
    const point = present(answer.recoveryPoint, "a snapshot is answered with its recovery point");
    recorder.count("recovery point taken");
    return { id: point.id, name: point.name, vdisks: pointVdisks(point, vdisks) };
  }

  async replicate(pointId: string, targetSite: string): ReturnType<OperatorPort["replicate"]> {
    const { world, recorder, site } = this.#options;
    const requestId = this.#requestId();
    const request = { pd: PD, recoveryPoint: pointId, remote: targetSite, requestId };
    const answer = await this.#insist(site, CerebroService.replicate, request);
    recorder.count("replication begun");
    let job = present(answer.job, "a replication is answered with its job");
    const waiting = { what: "" };
    this.#waiting.add(waiting);
    while (OUTCOMES[job.state] === undefined && !this.#isLost) {
      waiting.what = `job ${job.id} to ${targetSite} is ${job.state} ${job.waiting}`.trimEnd();
      await world.clock.sleep(JOB_POLL_MS);
      job = (await this.#show(job)) ?? job;
    }
    this.#waiting.delete(waiting);
    return {
      ...{ jobId: job.id, sourceSite: site, targetSite },
      outcome: OUTCOMES[job.state] ?? "unfinished",
      ledger: ledgerOf(present(job.ledger, "a job has a ledger")),
    };
  }

  async deletePoint(pointId: string): Promise<void> {
    const { site, recorder } = this.#options;
    const request = { pd: PD, recoveryPoint: pointId };
    await this.#insist(site, CerebroService.deleteRecoveryPoint, request);
    recorder.count("recovery point deleted");
  }

  /** What an etcd without its data lists says nothing, and a site that is lost does not answer. */
  async look(site: string): Promise<void> {
    const { recorder } = this.#options;
    const asked = recorder.instant();
    const { listRecoveryPoints } = CerebroService;
    try {
      const { recoveryPoints } = await this.#insist(site, listRecoveryPoints, { pd: PD });
      if (this.#knewNothing(site, asked)) return;
      recorder.catalogues.push({ site, asked, pointIds: recoveryPoints.map(({ id }) => id) });
    } catch (error) {
      recorder.error("operator", "look", error);
    }
  }

  async activate(site: string, pointId: string): ReturnType<OperatorPort["activate"]> {
    const request = { pd: PD, recoveryPoint: pointId, force: true, requestId: this.#requestId() };
    const { pd, recoveryPoint } = await this.#insist(site, CerebroService.activate, request);
    this.#options.recorder.count("activation");
    return {
      generation: present(pd, "an activation is answered with the domain").generation,
      pointId: present(recoveryPoint, "a domain is activated from a recovery point").id,
    };
  }

  /** The site's replication jobs. */
  async listJobs(): Promise<readonly Job[]> {
    return (await this.#insist(this.#options.site, CerebroService.listJobs, {})).jobs;
  }

  /**
   * Asks the site's Cerebros until the answer is not one that time may change.
   * @throws AntipodeError that answer, or `CANCELLED` when the site is lost
   */
  ask<Q, A>(method: Method<Q, A, "unary">, request: Q): Promise<A> {
    return this.#insist(this.#options.site, method, request);
  }

  /** The same of its Stargates. */
  askStargate<Q, A>(method: Method<Q, A, "unary">, request: Q): Promise<A> {
    return this.#insist(this.#options.site, method, request, "stargate");
  }

  async #show(job: Job): Promise<Job | undefined> {
    try {
      return (await this.#insist(this.#options.site, CerebroService.showJob, { id: job.id })).job;
    } catch (error) {
      // Given up: what is known of the job is what it was last.
      if (this.#isLost && error instanceof AntipodeError) return undefined;
      throw error;
    }
  }

  #requestId(): string {
    this.#requests += 1;
    return `${this.#options.name}-${this.#requests}`;
  }

  /** Without its data an etcd refuses what it would have done: that is no last word. */
  #knewNothing(site: string, asked: Instant): boolean {
    return this.#options.recorder.faults.some(
      ({ what, sites, until }) =>
        what.startsWith("wipeEtcd") &&
        sites.includes(site) &&
        (until === undefined || until.order > asked.order),
    );
  }

  async #insist<Q, A>(
    site: string,
    method: Method<Q, A, "unary">,
    request: Q,
    service: "cerebro" | "stargate" = "cerebro",
  ): Promise<A> {
    const { world, recorder, prng } = this.#options;
    const waiting = { what: `${method.path} at ${site}` };
    this.#waiting.add(waiting);
    try {
      for (let call = 0; call < CALLS_MAX; call++) {
        if (this.#isLost && site === this.#options.site) break;
        const member = memberOf(world.site(site), prng.below(world.site(site).cvms.length));
        const asked = recorder.instant();
        try {
          return await world.call(member[service], method, request, CALL_MS);
        } catch (error) {
          if (!(error instanceof AntipodeError)) throw error;
          if (error.retry === "never" && !this.#knewNothing(site, asked)) throw error;
          recorder.error("operator", method.path, error);
          waiting.what = `${method.path} at ${site}: ${error.code}`;
        }
        await world.clock.sleep(RETRY_MS);
      }
      throw new AntipodeError("CANCELLED", `${site} was given up`);
    } finally {
      this.#waiting.delete(waiting);
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
