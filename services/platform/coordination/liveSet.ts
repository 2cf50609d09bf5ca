/**
 * The processes of a role that live, as etcd sees it: kept current by a watch, and by a poll that
 * bounds how late a blind watch can make it. A hint like every lease: whoever is listed may be gone,
 * whoever is missing may be only slow.
 *
 * Invariant: V1 the set goes forward only: a reading older than what was applied changes nothing.
 */

import { codeOf } from "../../base/errors.ts";
import type { Clock } from "../clock.ts";
import type { Coordinator, KeyValue, Watch, WatchEvent } from "../coordinator.ts";
import type { Log } from "../log.ts";
import { type CheckRecord, decodeRecord } from "./records.ts";

const POLL_MS = 1000;

export interface LiveSetOptions<T> {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
  /** `siteKeys.livePrefix(service)`. */
  readonly prefix: string;
  readonly check: CheckRecord<T>;
  /** Called after each change with the whole set; first when it was read for the first time. */
  readonly onChange: (live: ReadonlyMap<string, T>) => void;
}

export interface LiveSet<T> {
  /** What follows the prefix in the key → the value. Empty until it was read for the first time. */
  current(): ReadonlyMap<string, T>;
  /** Resolves when the set was read for the first time. */
  ready(): Promise<void>;
  close(): void;
}

/** Starts at once; failures of etcd are waited out with the last known set. */
export function followLiveSet<T>(options: LiveSetOptions<T>): LiveSet<T> {
  const follower = new LiveFollower(options);
  follower.start();
  return follower;
}

class LiveFollower<T> implements LiveSet<T> {
  readonly #options: LiveSetOptions<T>;
  readonly #stopped = new AbortController();
  readonly #waiting: (() => void)[] = [];
  #live: ReadonlyMap<string, T> = new Map();
  /** Revision that `#live` shows; -1 before the first reading. */
  #revision = -1;
  #watch: Watch | undefined;

  constructor(options: LiveSetOptions<T>) {
    this.#options = options;
  }

  start(): void {
    void this.#run();
  }

  current(): ReadonlyMap<string, T> {
    return this.#live;
  }

  ready(): Promise<void> {
    if (this.#revision >= 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#stopped.abort();
    this.#watch?.cancel();
  }

  async #run(): Promise<void> {
    const { coordinator, clock, log, prefix } = this.#options;
    while (!this.#isClosed()) {
      try {
        const { entries, revision } = await coordinator.list(prefix);
        if (this.#isClosed()) return;
        this.#onRead(entries, revision);
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
        log.debug({ event: "live.poll.failed", prefix, err: error }, "could not read who lives");
      }
      await clock.sleep(POLL_MS, this.#stopped.signal).catch(() => undefined);
    }
  }

  #isClosed(): boolean {
    return this.#stopped.signal.aborted;
  }

  #onRead(entries: readonly KeyValue[], revision: number): void {
    if (revision < this.#revision) return;
    const isFirst = this.#revision < 0;
    const live = new Map<string, T>();
    for (const entry of entries) this.#add(live, entry);
    const changed = isFirst || !sameEntries(this.#live, live);
    this.#revision = revision;
    this.#watch ??= this.#follow(revision + 1);
    if (changed) this.#become(live);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    if (revision <= this.#revision) return;
    const live = new Map(this.#live);
    for (const event of events) {
      if (event.kind === "put") this.#add(live, event.entry);
      else live.delete(event.key.slice(this.#options.prefix.length));
    }
    this.#revision = revision;
    if (!sameEntries(this.#live, live)) this.#become(live);
  }

  /** An entry that cannot be read is left out: one bad record must not blind the whole set. */
  #add(live: Map<string, T>, entry: KeyValue): void {
    const { prefix, check, log } = this.#options;
    try {
      live.set(entry.key.slice(prefix.length), decodeRecord(entry, check).value);
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      log.error({ event: "live.record.bad", err: error }, "a liveness record is unreadable");
    }
  }

  #become(live: ReadonlyMap<string, T>): void {
    this.#live = live;
    this.#options.onChange(live);
  }

  #follow(fromRevision: number): Watch {
    return this.#options.coordinator.watch(this.#options.prefix, fromRevision, {
      onEvents: (events, revision) => {
        this.#onEvents(events, revision);
      },
      onCompacted: () => {
        // The next poll reads everything and watches from there.
        this.#watch = undefined;
      },
    });
  }
}

/** Values are plain JSON. */
function sameEntries<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a)
    if (!b.has(key) || JSON.stringify(b.get(key)) !== JSON.stringify(value)) return false;
  return true;
}
