/**
 * A prefix of etcd kept in memory: listed once, then followed by a watch, and listed again from time
 * to time, because a watch alone cannot be trusted (FAULT_MODEL.md). What it shows may be late, never
 * invented; decisions that matter read etcd themselves.
 */

import { messageOf } from "../../base/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Coordinator, Watch } from "../../platform/coordinator.ts";
import type { Log } from "../../platform/log.ts";

export interface WatchedEntry<T> {
  readonly value: T;
  readonly modRevision: number;
}

export interface WatchedTableOptions<T> {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
  readonly prefix: string;
  /** Throws on a value that is no such record; the entry is then left out and logged. */
  readonly decode: (value: Uint8Array) => T;
  /** Called after each change. */
  readonly onChange: () => void;
}

const RELIST_MS = 5000;
const RETRY_MS = 200;

export class WatchedTable<T> {
  readonly #options: WatchedTableOptions<T>;
  #entries = new Map<string, WatchedEntry<T>>();
  #revision = 0;
  #watch: Watch | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: WatchedTableOptions<T>) {
    this.#options = options;
  }

  /** By the part of the key after the prefix. */
  get(suffix: string): WatchedEntry<T> | undefined {
    return this.#entries.get(suffix);
  }

  entries(): IterableIterator<[string, WatchedEntry<T>]> {
    return this.#entries.entries();
  }

  /** Lists and begins to follow. @throws AntipodeError `COORDINATOR_UNAVAILABLE` */
  async start(): Promise<void> {
    await this.refresh();
    this.#follow();
    this.#scheduleRelist(RELIST_MS);
  }

  /** Reads everything now. */
  async refresh(): Promise<void> {
    const { coordinator, prefix } = this.#options;
    const { entries, revision } = await coordinator.list(prefix);
    if (revision < this.#revision || this.#closed) return;
    this.#revision = revision;
    const fresh = new Map<string, WatchedEntry<T>>();
    for (const entry of entries) this.#put(fresh, entry.key, entry.value, entry.modRevision);
    this.#entries = fresh;
    this.#options.onChange();
  }

  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
    this.#timer?.cancel();
  }

  #put(
    into: Map<string, WatchedEntry<T>>,
    key: string,
    bytes: Uint8Array,
    modRevision: number,
  ): void {
    const { prefix, decode, log } = this.#options;
    try {
      into.set(key.slice(prefix.length), { value: decode(bytes), modRevision });
    } catch (error) {
      log.error(
        { event: "table.recordUnreadable", key, reason: messageOf(error) },
        "record in etcd is unreadable",
      );
    }
  }

  #follow(): void {
    const { coordinator, prefix } = this.#options;
    this.#watch?.cancel();
    this.#watch = coordinator.watch(prefix, this.#revision + 1, {
      onEvents: (events, revision) => {
        if (revision <= this.#revision) return;
        this.#revision = revision;
        for (const event of events) {
          if (event.kind === "delete") this.#entries.delete(event.key.slice(prefix.length));
          else
            this.#put(this.#entries, event.entry.key, event.entry.value, event.entry.modRevision);
        }
        this.#options.onChange();
      },
      onCompacted: () => {
        this.#timer?.cancel();
        this.#relist("follow");
      },
    });
  }

  #scheduleRelist(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#relist("keep");
    });
  }

  #relist(then: "follow" | "keep"): void {
    this.refresh().then(
      () => {
        if (then === "follow" && !this.#closed) this.#follow();
        this.#scheduleRelist(RELIST_MS);
      },
      (error: unknown) => {
        this.#options.log.debug(
          { event: "table.listFailed", prefix: this.#options.prefix, reason: messageOf(error) },
          "list failed",
        );
        if (!this.#closed)
          this.#timer = this.#options.clock.after(RETRY_MS, () => {
            this.#relist(then);
          });
      },
    );
  }
}
