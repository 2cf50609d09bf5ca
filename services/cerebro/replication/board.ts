/**
 * All jobs of the site with their tasks and claims, kept up to date from etcd: what the leader's
 * drivers, the workers and those who watch a job look at. A view, never a decision.
 */

import { codeOf } from "../../base/errors.ts";
import type { MonotonicMs } from "../../base/ids.ts";
import { FollowedPrefix, type FollowPorts } from "../../platform/coordination/followedPrefix.ts";
import type { KeyValue } from "../../platform/coordinator.ts";
import { BOARD_RELIST_MS } from "../limits.ts";
import {
  type ClaimRecord,
  cerebroKeys,
  type JobRecord,
  type TaskRecord,
} from "../state/records.ts";
import { decodeRecord, type Stored } from "../state/store.ts";

/** A task as the board shows it. */
export interface BoardTask {
  readonly record: Stored<TaskRecord>;
  /** When this process saw the record change. */
  readonly seenAt: MonotonicMs;
}

export interface BoardJob {
  readonly record: Stored<JobRecord>;
  /** By key. */
  readonly tasks: ReadonlyMap<string, BoardTask>;
  /** By the key of the task. */
  readonly claims: ReadonlyMap<string, Stored<ClaimRecord>>;
}

interface Lists {
  readonly tasks: Map<string, BoardTask>;
  readonly claims: Map<string, Stored<ClaimRecord>>;
}

export class Board {
  readonly #ports: FollowPorts;
  readonly #source: FollowedPrefix;
  readonly #jobs = new Map<string, Stored<JobRecord>>();
  readonly #lists = new Map<string, Lists>();
  readonly #listeners = new Set<() => void>();

  constructor(ports: FollowPorts) {
    this.#ports = ports;
    this.#source = new FollowedPrefix(ports, {
      prefix: cerebroKeys.replication,
      relistMs: BOARD_RELIST_MS,
      apply: (key, entry) => {
        this.#onChange(key, entry);
      },
      settled: () => {
        for (const listener of [...this.#listeners]) listener();
      },
    });
  }

  start(): void {
    this.#source.start();
  }

  close(): void {
    this.#source.close();
    this.#listeners.clear();
  }

  /** Calls the listener after every change; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  job(id: string): BoardJob | undefined {
    const record = this.#jobs.get(id);
    const lists = this.#lists.get(id);
    return record === undefined
      ? undefined
      : { record, tasks: lists?.tasks ?? new Map(), claims: lists?.claims ?? new Map() };
  }

  /** All jobs, oldest first. */
  jobs(): readonly BoardJob[] {
    return [...this.#jobs.values()]
      .toSorted((a, b) => a.createRevision - b.createRevision)
      .flatMap((record) => this.job(record.value.id) ?? []);
  }

  #onChange(key: string, entry: KeyValue | undefined): void {
    try {
      if (key.startsWith(cerebroKeys.jobs)) this.#onJob(key, entry);
      else if (key.startsWith(cerebroKeys.allTasks)) this.#onTask(key, entry);
      else if (key.startsWith(cerebroKeys.allClaims)) this.#onClaim(key, entry);
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_CORRUPT") throw error;
      this.#ports.log.error({ event: "board.corrupt", key, err: error }, "record is unreadable");
    }
  }

  #onJob(key: string, entry: KeyValue | undefined): void {
    const id = key.slice(cerebroKeys.jobs.length);
    if (entry === undefined) this.#jobs.delete(id);
    else this.#jobs.set(id, decodeRecord<JobRecord>(entry));
  }

  #onTask(key: string, entry: KeyValue | undefined): void {
    const [id = "", number = ""] = key.slice(cerebroKeys.allTasks.length).split("/");
    const lists = this.#listsOf(id);
    if (entry === undefined) lists.tasks.delete(number);
    else
      lists.tasks.set(number, {
        record: decodeRecord<TaskRecord>(entry),
        seenAt: this.#ports.clock.now(),
      });
    this.#forgetEmpty(id, lists);
  }

  #onClaim(key: string, entry: KeyValue | undefined): void {
    const [id = "", number = ""] = key.slice(cerebroKeys.allClaims.length).split("/");
    const lists = this.#listsOf(id);
    if (entry === undefined) lists.claims.delete(number);
    else lists.claims.set(number, decodeRecord<ClaimRecord>(entry));
    this.#forgetEmpty(id, lists);
  }

  #listsOf(id: string): Lists {
    const lists = this.#lists.get(id) ?? { tasks: new Map(), claims: new Map() };
    this.#lists.set(id, lists);
    return lists;
  }

  #forgetEmpty(id: string, lists: Lists): void {
    if (lists.tasks.size === 0 && lists.claims.size === 0) this.#lists.delete(id);
  }
}
