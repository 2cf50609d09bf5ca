/**
 * A worker: every Cerebro is one, the leader's too. It claims open tasks, has the own Stargate ship
 * them, and writes down what was moved. A claim is a key under the process's lease: when the process
 * dies, or loses its lease, the claim vanishes and the task is open again. Whatever a worker writes
 * is guarded by its own claim, so a worker that was thought dead changes nothing any more; what it
 * has sent meanwhile is found at the target by fingerprint and not sent again (P5).
 */

import { InvariantViolation } from "../../base/assert.ts";
import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import type { MonotonicMs } from "../../base/ids.ts";
import { isEnded } from "../../base/jobStates.ts";
import { addLedgers, type ByteLedger, emptyLedger } from "../../base/ledger.ts";
import type { Timer } from "../../platform/clock.ts";
import type { Compare } from "../../platform/coordinator.ts";
import {
  POLL_MS,
  PROGRESS_WRITE_MS,
  RETRY_BACKOFF_MS,
  RETRY_BACKOFF_MS_MAX,
  WORKER_TASKS_MAX,
} from "../limits.ts";
import { readRemote } from "../remote/remotes.ts";
import type { Site } from "../site.ts";
import { type ClaimRecord, cerebroKeys, type TaskRecord } from "../state/records.ts";
import { absent, deleteKey, putRecord, type Stored, unchanged } from "../state/store.ts";
import { backoffMs, Wakeup } from "../state/wakeup.ts";
import type { Board, BoardJob } from "./board.ts";
import { spentOf } from "./ledger.ts";
import { ship } from "./shipping.ts";
import { claimableIn, isRefusal } from "./tasks.ts";

export interface WorkerInput {
  readonly site: Site;
  readonly board: Board;
  /** The process's lease, or `undefined` while it has none. */
  readonly lease: () => string | undefined;
  /** A bug was found: the process must end. */
  readonly onBug: (error: unknown) => void;
}

/** Claims without an answer that are remembered: of many outages, few at a time. */
const UNSURE_MAX = 1024;

/** A task that this worker holds. */
interface Held {
  readonly jobId: string;
  readonly task: Stored<TaskRecord>;
  /** Holds as long as the claim is this worker's and the task exists. */
  readonly guards: readonly Compare[];
  readonly abort: AbortController;
}

export class Worker {
  readonly #input: WorkerInput;
  readonly #held = new Map<string, Held>();
  readonly #claiming = new Set<string>();
  #timer: Timer | undefined;
  #stopWatching: (() => void) | undefined;
  #closed = false;
  /** Tasks whose claim failed, until the board shows them changed or a while has passed. */
  readonly #avoided = new Map<string, { readonly revision: number; readonly until: number }>();
  /**
   * Keys of tasks for which a claim was asked and no answer came: it may be there all the same, also later,
   * and would keep everybody off the task for as long as this process lives (J8).
   */
  readonly #unsure = new Set<string>();
  /** No claims before this: the own Stargate did not answer. */
  #restUntil: MonotonicMs | undefined;

  constructor(input: WorkerInput) {
    this.#input = input;
  }

  start(): void {
    this.#stopWatching = this.#input.board.onChange(() => {
      this.#look();
    });
    this.#look();
  }

  /** Gives every task back. */
  close(): void {
    this.#closed = true;
    this.#stopWatching?.();
    this.#timer?.cancel();
    for (const held of this.#held.values()) held.abort.abort();
  }

  #look(): void {
    if (this.#closed) return;
    this.#dropLost();
    const now = this.#input.site.clock.now();
    let waitMs = Number.POSITIVE_INFINITY;
    if (this.#restUntil !== undefined && now < this.#restUntil) {
      waitMs = Math.min(waitMs, this.#restUntil - now);
    } else {
      for (const { job, task } of this.#candidates()) {
        waitMs = Math.min(waitMs, POLL_MS);
        this.#letGoUnknown(job, task.record);
        if (this.#held.size + this.#claiming.size >= WORKER_TASKS_MAX) break;
        const delayMs = claimableIn({
          job: job.record.value,
          task: task.record.value,
          claimed: job.claims.has(numberOf(task.record)) || this.#busy(task.record, now),
          idleMs: now - task.seenAt,
        });
        if (delayMs === 0) void this.#work(job, task.record);
        else if (delayMs !== undefined) waitMs = Math.min(waitMs, delayMs);
      }
    }
    this.#timer?.cancel();
    // Without open tasks there is nothing to wait for: the board tells of new ones.
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#input.site.clock.after(Math.max(10, waitMs), () => {
      this.#look();
    });
  }

  #becomeUnsure(taskKey: string): void {
    const [oldest] = this.#unsure;
    if (this.#unsure.size >= UNSURE_MAX && oldest !== undefined) this.#unsure.delete(oldest);
    this.#unsure.add(taskKey);
  }

  /** Lets a claim go that this worker was not told that it has. */
  #letGoUnknown(job: BoardJob, task: Stored<TaskRecord>): void {
    const { coordinator, config, log } = this.#input.site;
    const claim = job.claims.get(numberOf(task));
    if (claim?.value.cvm !== config.cvm || !this.#unsure.has(task.key)) return;
    if (this.#held.has(task.key) || this.#claiming.has(task.key)) return;
    this.#claiming.add(task.key);
    coordinator
      .transact({
        when: [{ kind: "createRevision", key: claim.key, equals: claim.createRevision }],
        then: [deleteKey(claim.key)],
      })
      .catch((error: unknown) => {
        if (codeOf(error) === undefined) this.#input.onBug(error);
        else log.debug({ event: "claim.letGo", err: error }, "claim could not be let go yet");
      })
      .finally(() => {
        this.#claiming.delete(task.key);
      });
  }

  #busy(task: Stored<TaskRecord>, now: number): boolean {
    if (this.#held.has(task.key) || this.#claiming.has(task.key)) return true;
    const avoided = this.#avoided.get(task.key);
    if (avoided === undefined) return false;
    if (avoided.revision === task.modRevision && now < avoided.until) return true;
    this.#avoided.delete(task.key);
    return false;
  }

  /** Open tasks, oldest job first; each CVM begins at another one, so that they seldom collide. */
  *#candidates(): Iterable<{ job: BoardJob; task: BoardTaskOf }> {
    const { config } = this.#input.site;
    const place = config.members.findIndex((member) => member.cvm === config.cvm);
    for (const job of this.#input.board.jobs()) {
      if (job.record.value.state !== "RUNNING") continue;
      const open = [...job.tasks.values()]
        .filter((task) => task.record.value.state === "open")
        .toSorted((a, b) => a.record.value.index - b.record.value.index);
      const first = Math.floor((open.length * place) / config.members.length);
      for (let turn = 0; turn < open.length; turn++) {
        const task = open[(first + turn) % open.length];
        if (task !== undefined) yield { job, task };
      }
    }
  }

  /** Stops what was cancelled, or what the board shows as gone. */
  #dropLost(): void {
    for (const held of this.#held.values()) {
      const job = this.#input.board.job(held.jobId);
      if (job !== undefined && isEnded(job.record.value.state)) held.abort.abort();
    }
  }

  async #work(job: BoardJob, task: Stored<TaskRecord>): Promise<void> {
    this.#claiming.add(task.key);
    this.#avoided.set(task.key, {
      revision: task.modRevision,
      until: this.#input.site.clock.now() + POLL_MS,
    });
    try {
      const held = await this.#claim(job, task);
      this.#claiming.delete(task.key);
      if (held === undefined) return;
      this.#avoided.delete(task.key);
      this.#held.set(task.key, held);
      await this.#carryOut(job, held);
    } catch (error) {
      if (error instanceof InvariantViolation) this.#input.onBug(error);
      else
        this.#input.site.log.warn(
          { event: "task.trouble", job: task.value.jobId, task: task.value.index, err: error },
          "task was given back",
        );
    } finally {
      this.#claiming.delete(task.key);
      this.#held.delete(task.key);
      this.#look();
    }
  }

  /** @returns `undefined` when somebody else was faster, or something changed */
  async #claim(job: BoardJob, task: Stored<TaskRecord>): Promise<Held | undefined> {
    const { site } = this.#input;
    const lease = this.#input.lease();
    if (lease === undefined) return undefined;
    const { jobId, index } = task.value;
    const key = cerebroKeys.claim(jobId, index);
    const claim: ClaimRecord = {
      cvm: site.config.cvm,
      index,
      leaderEpoch: job.record.value.leaderEpoch,
    };
    const value: TaskRecord = {
      ...task.value,
      spent: addLedgers(task.value.spent, spentOf(task.value.ledger)),
      ledger: emptyLedger,
    };
    const transaction = {
      when: [absent(key), unchanged(task), unchanged(job.record)],
      then: [putRecord(key, claim, lease), putRecord(task.key, value)],
    };
    const result = await site.coordinator.transact(transaction).catch((error: unknown) => {
      this.#becomeUnsure(task.key);
      throw error;
    });
    if (!result.succeeded) return undefined;
    this.#unsure.delete(task.key);
    return {
      jobId,
      task: { ...task, value, modRevision: result.revision },
      guards: [
        { kind: "createRevision", key, equals: result.revision },
        { kind: "createRevision", key: task.key, equals: task.createRevision },
      ],
      abort: new AbortController(),
    };
  }

  async #carryOut(job: BoardJob, held: Held): Promise<void> {
    const { site } = this.#input;
    let latest = emptyLedger;
    let writtenAt = site.clock.now();
    try {
      const remote = await readRemote(site.coordinator, job.record.value.remote);
      const ledger = await ship(site, {
        job: job.record.value,
        task: held.task.value,
        remote: remote.value,
        signal: held.abort.signal,
        onLedger: async (now) => {
          latest = now;
          if (site.clock.now() - writtenAt < PROGRESS_WRITE_MS) return;
          writtenAt = site.clock.now();
          await this.#writeProgress(held, now);
        },
      });
      await this.#finish(held, { ledger, state: "done", failures: 0 });
    } catch (error) {
      if (error instanceof InvariantViolation) throw error;
      await this.#giveBack(held, latest, error);
    }
  }

  /** etcd being away does not stop a shipment; a claim that is gone does. */
  async #writeProgress(held: Held, ledger: ByteLedger): Promise<void> {
    try {
      const written = await this.#write(held, { ledger, failures: 0 }, false);
      if (!written) throw new AntipodeError("CANCELLED", "the claim on a task is gone");
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_UNAVAILABLE") throw error;
    }
  }

  async #giveBack(held: Held, ledger: ByteLedger, error: unknown): Promise<void> {
    const { site } = this.#input;
    const code = codeOf(error) ?? "INTERNAL";
    // A target that misses what lies below a node says so at the end of every walk: going far is no progress.
    const moved =
      code !== "RECOVERY_POINT_INCOMPLETE" &&
      ledger.logicalBytes > held.task.value.ledger.logicalBytes;
    const failures = moved ? 1 : held.task.value.failures + 1;
    site.log.warn(
      { event: "task.failed", job: held.jobId, task: held.task.value.index, failures, err: error },
      "task failed",
    );
    if (code === "PEER_UNREACHABLE")
      this.#restUntil = (site.clock.now() +
        backoffMs(failures, RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX)) as MonotonicMs;
    await this.#finish(held, {
      ledger,
      state: isRefusal(code) ? "refused" : "open",
      failures,
      errorCode: code,
      errorMessage: messageOf(error),
    });
  }

  /** Writes the outcome and lets the claim go, as long as the claim is ours. */
  async #finish(held: Held, outcome: Partial<TaskRecord>): Promise<void> {
    const { site } = this.#input;
    for (let failures = 1; !this.#closed; failures++) {
      try {
        await this.#write(held, outcome, true);
        return;
      } catch (error) {
        if (codeOf(error) !== "COORDINATOR_UNAVAILABLE") throw error;
        // Bounded by the claim: once the lease has ended, the transaction is refused.
        const pause = new Wakeup();
        await pause.wait(
          site.clock,
          backoffMs(failures, RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX),
          held.abort.signal,
        );
      }
    }
    await this.#write(held, outcome, true);
  }

  /** @returns false when the claim or the task is gone: nothing was written */
  async #write(held: Held, change: Partial<TaskRecord>, release: boolean): Promise<boolean> {
    const value: TaskRecord = { ...held.task.value, ...change };
    const claimKey = cerebroKeys.claim(held.jobId, value.index);
    const result = await this.#input.site.coordinator.transact({
      when: held.guards,
      then: [putRecord(held.task.key, value), ...(release ? [deleteKey(claimKey)] : [])],
    });
    return result.succeeded;
  }
}

type BoardTaskOf = BoardJob["tasks"] extends ReadonlyMap<string, infer T> ? T : never;

/** The last part of a task's key, by which the board orders claims. */
function numberOf(task: Stored<TaskRecord>): string {
  return task.key.slice(task.key.lastIndexOf("/") + 1);
}
