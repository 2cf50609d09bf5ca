/**
 * A leader's term in office: takes up what earlier leaders left (cuts, activations, jobs), drives it,
 * and compares standings with the remote sites now and then. Everything it does can be broken off:
 * state is in etcd, and the next leader begins here as well.
 */

import { InvariantViolation } from "../../base/assert.ts";
import { codeOf } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { RemoteCerebroService } from "../../platform/wire/remoteCerebro.ts";
import { driveActivation } from "../activation/activate.ts";
import {
  QUEUE_PER_PD_MAX,
  RETRY_BACKOFF_MS,
  RETRY_BACKOFF_MS_MAX,
  STANDING_CHECK_MS,
} from "../limits.ts";
import { heed, standingOf } from "../protection/standings.ts";
import { driveCut } from "../recoveryPoints/snapshot.ts";
import { callRemote, meet, senderOf } from "../remote/client.ts";
import type { SiteKey } from "../remote/identity.ts";
import type { Board } from "../replication/board.ts";
import { driveJob } from "../replication/driver.ts";
import type { Site } from "../site.ts";
import { KeyedQueue } from "../state/keyedQueue.ts";
import {
  type ActivationRecord,
  cerebroKeys,
  type HoldRecord,
  type JobRecord,
  type PdRecord,
  type PendingCutRecord,
  type RemoteRecord,
} from "../state/records.ts";
import { commit, deleteKey, listRecords, readRecord, unchanged } from "../state/store.ts";
import { backoffMs, Wakeup } from "../state/wakeup.ts";

export interface OfficeInput {
  readonly site: Site;
  readonly term: Term;
  readonly key: SiteKey;
  readonly board: Board;
  /** A bug was found: the process must end. */
  readonly onBug: (error: unknown) => void;
}

export class Office {
  readonly site: Site;
  readonly term: Term;
  readonly key: SiteKey;
  /** One thing at a time to a protection domain. */
  readonly domains = new KeyedQueue(QUEUE_PER_PD_MAX);
  /** Holding and deleting the recovery points of a domain, one at a time. */
  readonly points = new KeyedQueue(QUEUE_PER_PD_MAX);
  readonly #board: Board;
  readonly #onBug: (error: unknown) => void;
  readonly #driving = new Set<string>();

  constructor(input: OfficeInput) {
    this.site = input.site;
    this.term = input.term;
    this.key = input.key;
    this.#board = input.board;
    this.#onBug = input.onBug;
  }

  /** Takes up everything that is open. */
  start(): void {
    this.site.log.info({ event: "leader.elected", epoch: this.term.epoch }, "leader elected");
    this.#supervise("cuts", () => this.#resumeCuts());
    this.#supervise("activations", () => this.#resumeActivations());
    this.#supervise("jobs", () => this.#resumeJobs());
    this.#supervise("holds", () => this.#sweepHolds());
    this.#supervise("standings", () => this.#compareStandings());
  }

  /** Drives a job from now on, once. */
  drive(jobId: string): void {
    if (this.#driving.has(jobId)) return;
    this.#driving.add(jobId);
    const input = {
      site: this.site,
      term: this.term,
      key: this.key,
      board: this.#board,
      points: this.points,
    };
    this.#supervise(`job ${jobId}`, async () => {
      await driveJob(input, jobId);
      this.#driving.delete(jobId);
    });
  }

  /** Runs a duty until it is done or the term ends, again and again after operating failures. */
  #supervise(duty: string, work: () => Promise<void>): void {
    const run = async (): Promise<void> => {
      for (let failures = 1; this.term.isLeader(); failures++) {
        try {
          await work();
          return;
        } catch (error) {
          if (error instanceof InvariantViolation) throw error;
          if (!this.term.isLeader()) return;
          this.site.log.warn({ event: "leader.duty", duty, failures, err: error }, "duty failed");
          await this.#pause(backoffMs(failures, RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX));
        }
      }
    };
    run().catch(this.#onBug);
  }

  async #pause(ms: number): Promise<void> {
    const pause = new Wakeup();
    await pause.wait(this.site.clock, ms, this.term.signal);
  }

  async #resumeCuts(): Promise<void> {
    const { site, term, key } = this;
    const cuts = await listRecords<PendingCutRecord>(site.coordinator, cerebroKeys.pendingCuts);
    for (const { value } of cuts)
      this.#supervise(`cut ${value.pointId}`, async () => {
        try {
          await this.domains.run(value.pd, () => driveCut(site, term, key, value.pointId));
        } catch (error) {
          // Void for good: whoever asked for it hears of it when asking again.
          if (codeOf(error) !== "CUT_VOID" && codeOf(error) !== "VDISK_NOT_FOUND") throw error;
        }
      });
  }

  async #resumeActivations(): Promise<void> {
    const { site, term, key } = this;
    const begun = await listRecords<ActivationRecord>(site.coordinator, cerebroKeys.activations);
    for (const { value } of begun)
      this.#supervise(`activation ${value.pd}`, async () => {
        try {
          await this.domains.run(value.pd, () => driveActivation(site, term, key, value.pd));
        } catch (error) {
          if (codeOf(error) !== "VDISK_EXISTS") throw error;
        }
      });
  }

  async #resumeJobs(): Promise<void> {
    const jobs = await listRecords<JobRecord>(this.site.coordinator, cerebroKeys.jobs);
    for (const job of jobs) if (!isEnded(job.value.state)) this.drive(job.value.id);
  }

  /** Holds whose job is gone: a hold has an owner and ends with it. */
  async #sweepHolds(): Promise<void> {
    const { site, term } = this;
    const holds = await listRecords<HoldRecord>(site.coordinator, cerebroKeys.holds);
    for (const hold of holds) {
      const job = await readRecord<JobRecord>(site.coordinator, cerebroKeys.job(hold.value.jobId));
      if (job === undefined || isEnded(job.value.state))
        await commit(site.coordinator, term, [unchanged(hold)], [deleteKey(hold.key)]);
    }
  }

  /** Tells every remote site what is active here, and hears what is active there (P4). */
  async #compareStandings(): Promise<void> {
    const { site, term, key } = this;
    for (;;) {
      await this.#pause(STANDING_CHECK_MS);
      if (!term.isLeader()) return;
      const remotes = await listRecords<RemoteRecord>(site.coordinator, cerebroKeys.remotes);
      const pds = await listRecords<PdRecord>(site.coordinator, cerebroKeys.pds);
      for (const { value: remote } of remotes) {
        try {
          await meet(site, term, key, remote.name);
          const answer = await callRemote(site, remote, RemoteCerebroService.hello, {
            sender: senderOf(site, term, key),
            standings: pds.map(({ value }) => standingOf(value.name, value)),
          });
          for (const other of answer.standings) await heed(site, term, other);
        } catch (error) {
          if (error instanceof InvariantViolation) throw error;
          site.log.debug(
            { event: "standings.failed", remote: remote.name, err: error },
            "remote site could not be asked",
          );
        }
      }
    }
  }
}
