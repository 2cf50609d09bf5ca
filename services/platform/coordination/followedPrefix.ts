/**
 * All keys below a prefix of etcd, followed: read once, then kept current by a watch, and read again
 * when nothing was heard for a while, because a watch can be late without a sign (FAULT_MODEL.md).
 * What it tells may be late, never invented; decisions that matter are guarded by the revisions it
 * shows, or read etcd themselves (`refresh`).
 *
 * Invariant: V1 it goes forward only: a reading older than what was applied changes nothing.
 */

import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { MonotonicMs } from "../../base/ids.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Coordinator, KeyValue, Snapshot, Watch, WatchEvent } from "../coordinator.ts";
import type { Log } from "../log.ts";

/** After a reading that failed. */
const RETRY_MS = 200;

export interface FollowPorts {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Followed {
  readonly prefix: string;
  /** What bounds how late a blind watch can make it. */
  readonly relistMs: number;
  /** Each change once and in order; `undefined` for a key that is gone. */
  readonly apply: (key: string, entry: KeyValue | undefined) => void;
  /** After each group of changes, and after the first reading. */
  readonly settled: () => void;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: AntipodeError) => void;
}

export class FollowedPrefix {
  readonly #ports: FollowPorts;
  readonly #followed: Followed;
  /** Key → revision of its last change: what `apply` was told. */
  readonly #known = new Map<string, number>();
  /** All changes up to here were applied; -1 before the first reading. */
  #revision = -1;
  #heardAt: MonotonicMs;
  #watch: Watch | undefined;
  #timer: Timer | undefined;
  /** The reading under way, and the one that begins after it. */
  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  readonly #waiting: Waiting[] = [];
  #closed = false;

  constructor(ports: FollowPorts, followed: Followed) {
    this.#ports = ports;
    this.#followed = followed;
    this.#heardAt = ports.clock.now();
  }

  /** Begins to read and to follow; failures of etcd are waited out with what was known before. */
  start(): void {
    void this.#round();
  }

  /** Resolves after the first reading. @throws AntipodeError `CANCELLED` when closed before */
  ready(): Promise<void> {
    if (this.#revision >= 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /**
   * Shows what etcd holds at a moment after the call; calls that wait share a reading.
   * @throws AntipodeError `COORDINATOR_UNAVAILABLE`, `CANCELLED`
   */
  refresh(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    const before = this.#reading;
    if (before === undefined) return this.#begin();
    const next = before
      .catch(() => {
        // Whoever asked for that reading was told.
      })
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      });
    this.#next = next;
    return next;
  }

  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
    this.#timer?.cancel();
    for (const { reject } of this.#waiting.splice(0))
      reject(new AntipodeError("CANCELLED", "no longer followed"));
  }

  /** Reads if it is time, and comes back. */
  async #round(): Promise<void> {
    const { clock, log } = this.#ports;
    const { prefix, relistMs } = this.#followed;
    let pauseMs = RETRY_MS;
    try {
      const quietMs = clock.now() - this.#heardAt;
      if (this.#watch === undefined || quietMs >= relistMs) await this.refresh();
      pauseMs = Math.max(RETRY_MS, relistMs - (clock.now() - this.#heardAt));
    } catch (error) {
      log.debug(
        { event: "prefix.readFailed", prefix, reason: messageOf(error) },
        "etcd could not be read",
      );
    }
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = clock.after(pauseMs, () => {
      void this.#round();
    });
  }

  #begin(): Promise<void> {
    const reading = this.#read().finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    this.#reading = reading;
    return reading;
  }

  async #read(): Promise<void> {
    const { coordinator, clock } = this.#ports;
    const snapshot = await coordinator.list(this.#followed.prefix);
    if (this.#closed) throw new AntipodeError("CANCELLED", "no longer followed");
    this.#heardAt = clock.now();
    this.#merge(snapshot);
    this.#watch ??= coordinator.watch(this.#followed.prefix, snapshot.revision + 1, {
      onEvents: (events, revision) => {
        this.#onEvents(events, revision);
      },
      onCompacted: () => {
        this.#onCompacted();
      },
    });
  }

  #merge(snapshot: Snapshot): void {
    if (snapshot.revision < this.#revision) return;
    let changed = this.#revision < 0;
    this.#revision = snapshot.revision;
    const present = new Set<string>();
    for (const entry of snapshot.entries) {
      present.add(entry.key);
      if (this.#known.get(entry.key) === entry.modRevision) continue;
      this.#put(entry);
      changed = true;
    }
    for (const key of [...this.#known.keys()]) if (!present.has(key)) changed = this.#remove(key);
    if (changed) this.#followed.settled();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    if (this.#closed) return;
    this.#heardAt = this.#ports.clock.now();
    if (revision <= this.#revision) return;
    this.#revision = revision;
    let changed = false;
    for (const event of events)
      if (event.kind === "delete") changed = this.#remove(event.key) || changed;
      else {
        this.#put(event.entry);
        changed = true;
      }
    if (changed) this.#followed.settled();
  }

  #put(entry: KeyValue): void {
    this.#known.set(entry.key, entry.modRevision);
    this.#followed.apply(entry.key, entry);
  }

  #remove(key: string): boolean {
    const wasKnown = this.#known.delete(key);
    if (wasKnown) this.#followed.apply(key, undefined);
    return wasKnown;
  }

  /** What the watch still had to bring is gone: reads everything and watches from there. */
  #onCompacted(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
    this.#timer?.cancel();
    void this.#round();
  }
}
