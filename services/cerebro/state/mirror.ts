/**
 * A copy in memory of all keys below a prefix, for loops that react to changes. It may lag, so it
 * never decides anything: every write that follows from it is guarded by the revisions it shows.
 * Watches can be late without a sign, so a mirror that has heard nothing for a while reads again.
 */

import { messageOf } from "../../base/errors.ts";
import type { MonotonicMs } from "../../base/ids.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type {
  Coordinator,
  KeyValue,
  Snapshot,
  Watch,
  WatchEvent,
} from "../../platform/coordinator.ts";
import type { Log } from "../../platform/log.ts";
import { MIRROR_RELIST_MS } from "../limits.ts";

export interface MirrorPorts {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a mirror tells: each change once, `undefined` for a key that is gone. */
export type MirrorListener = (key: string, entry: KeyValue | undefined) => void;

export class Mirror {
  readonly #ports: MirrorPorts;
  readonly #prefix: string;
  readonly #apply: MirrorListener;
  readonly #settled: () => void;
  readonly #entries = new Map<string, KeyValue>();
  /** All changes up to here are in `#entries`. */
  #revision = 0;
  #heardAt: MonotonicMs;
  #watch: Watch | undefined;
  #timer: Timer | undefined;
  #reading = false;
  #closed = false;

  /**
   * @param apply called for every change, in order
   * @param settled called after each group of changes
   */
  constructor(ports: MirrorPorts, prefix: string, apply: MirrorListener, settled: () => void) {
    this.#ports = ports;
    this.#prefix = prefix;
    this.#apply = apply;
    this.#settled = settled;
    this.#heardAt = ports.clock.now();
  }

  /** Reads everything, then follows; comes back by itself after faults. */
  start(): void {
    void this.#read();
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
    this.#timer?.cancel();
  }

  /** Asked again after waiting. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #arm(): void {
    this.#timer = this.#ports.clock.after(MIRROR_RELIST_MS / 2, () => {
      if (this.#closed) return;
      if (this.#ports.clock.now() - this.#heardAt >= MIRROR_RELIST_MS) void this.#read();
      this.#arm();
    });
  }

  async #read(): Promise<void> {
    if (this.#reading || this.#closed) return;
    this.#reading = true;
    try {
      const snapshot = await this.#ports.coordinator.list(this.#prefix);
      if (this.#isClosed()) return;
      this.#heardAt = this.#ports.clock.now();
      this.#merge(snapshot);
      this.#watch ??= this.#ports.coordinator.watch(this.#prefix, snapshot.revision + 1, {
        onEvents: (events, revision) => {
          this.#onEvents(events, revision);
        },
        onCompacted: () => {
          this.#onCompacted();
        },
      });
    } catch (error) {
      this.#ports.log.debug(
        { event: "mirror.unavailable", prefix: this.#prefix, why: messageOf(error) },
        "mirror could not be read",
      );
    } finally {
      this.#reading = false;
    }
  }

  /** Takes a snapshot over; one that is older than what the watch brought changes nothing. */
  #merge(snapshot: Snapshot): void {
    if (snapshot.revision < this.#revision) return;
    this.#revision = snapshot.revision;
    const present = new Set<string>();
    let changed = false;
    for (const entry of snapshot.entries) {
      present.add(entry.key);
      if (this.#entries.get(entry.key)?.modRevision === entry.modRevision) continue;
      this.#entries.set(entry.key, entry);
      this.#apply(entry.key, entry);
      changed = true;
    }
    for (const key of [...this.#entries.keys()]) {
      if (present.has(key)) continue;
      this.#entries.delete(key);
      this.#apply(key, undefined);
      changed = true;
    }
    if (changed) this.#settled();
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    if (this.#closed) return;
    this.#heardAt = this.#ports.clock.now();
    if (revision <= this.#revision) return;
    this.#revision = revision;
    for (const event of events) {
      if (event.kind === "put") {
        this.#entries.set(event.entry.key, event.entry);
        this.#apply(event.entry.key, event.entry);
      } else if (this.#entries.delete(event.key)) {
        this.#apply(event.key, undefined);
      }
    }
    this.#settled();
  }

  #onCompacted(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
    void this.#read();
  }
}
