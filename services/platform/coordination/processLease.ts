/**
 * The one lease of a service process, and a key under it that says that the process lives. Renewed
 * by the monotonic clock; when etcd says that it is gone, another is made at once.
 *
 * Whoever acts because of the lease asks `validUntilMs` at that instant: it is counted from when a
 * renewal was sent, never from its answer. Even so it is a hint (FAULT_MODEL.md): epochs decide.
 *
 * Invariants: P1 one lease at a time; P2 `validUntilMs` is never later than the server's own end,
 * as long as the server keeps its word; P3 a lost lease is replaced without help, however long etcd
 * was away; P4 at most `RENEWALS_IN_FLIGHT_MAX` calls are open.
 */

import { codeOf } from "../../base/errors.ts";
import { type MonotonicMs, monotonicMs } from "../../base/ids.ts";
import type { Clock } from "../clock.ts";
import type { Coordinator } from "../coordinator.ts";
import type { Log } from "../log.ts";
import { beatMs, granted, type HeldLease, renewed } from "./leaseTerm.ts";
import { encodeRecord } from "./records.ts";
import { untilBeatMs } from "./rhythm.ts";

/** A renewal can hang on a dead connection; the next ones must not wait for it. */
const RENEWALS_IN_FLIGHT_MAX = 4;
const RETRY_MS = 250;

export interface ProcessLeaseOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
  /** 2000 with the embedded server, 5000 with etcd's default ticks. */
  readonly ttlMs: number;
  /** `siteKeys.live(service, cvm)`. */
  readonly key: string;
  /** JSON that others read: addresses, pid. */
  readonly value: unknown;
}

export interface ProcessLease {
  /** The lease and its trusted end, or `undefined` while there is none. */
  current(): HeldLease | undefined;
  /** The end of the trust; an instant long past while there is no lease. */
  validUntilMs(): MonotonicMs;
  isValid(): boolean;
  /** Resolves when there is a lease and the key is written. */
  held(): Promise<HeldLease>;
  /** Called when a lease is made or lost, and after each renewal. @returns ends the subscription */
  onChange(listener: () => void): () => void;
  /** Ends the lease, and with it the key and every seat: others notice at once. */
  stop(): Promise<void>;
}

/** Starts at once; failures of etcd are waited out. */
export function startProcessLease(options: ProcessLeaseOptions): ProcessLease {
  const keeper = new LeaseKeeper(options);
  keeper.start();
  return keeper;
}

class LeaseKeeper implements ProcessLease {
  readonly #options: ProcessLeaseOptions;
  readonly #listeners = new Set<() => void>();
  readonly #stopped = new AbortController();
  readonly #waiting: ((lease: HeldLease) => void)[] = [];
  #lease: HeldLease | undefined;
  #inFlight = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ProcessLeaseOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  current(): HeldLease | undefined {
    return this.#lease;
  }

  validUntilMs(): MonotonicMs {
    return this.#lease?.validUntilMs ?? monotonicMs(Number.NEGATIVE_INFINITY);
  }

  isValid(): boolean {
    return this.#options.clock.now() < this.validUntilMs();
  }

  held(): Promise<HeldLease> {
    if (this.#lease !== undefined) return Promise.resolve(this.#lease);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    const lease = this.#lease;
    this.#lease = undefined;
    this.#tell();
    if (lease === undefined) return;
    try {
      await this.#options.coordinator.revokeLease(lease.id);
    } catch (error) {
      // It ends by itself within its TTL.
      this.#note("lease.revoke.failed", error);
    }
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#isStopped()) {
      try {
        const lease = await this.#acquire();
        log.info({ event: "lease.held", lease: lease.id, ttlMs: lease.ttlMs }, "lease held");
        this.#lease = lease;
        for (const resolve of this.#waiting.splice(0)) resolve(lease);
        this.#tell();
        await this.#keep();
      } catch (error) {
        if (this.#isStopped()) return;
        if (codeOf(error) === undefined) throw error;
        this.#note("lease.failed", error);
        await clock.sleep(RETRY_MS, this.#stopped.signal).catch(() => undefined);
      }
    }
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  async #acquire(): Promise<HeldLease> {
    const { coordinator, clock, ttlMs, key, value } = this.#options;
    const sentMs = clock.now();
    const { id, ttlMs: grantedMs } = await coordinator.grantLease(ttlMs);
    await coordinator.transact({
      when: [],
      then: [{ kind: "put", key, value: encodeRecord(value), lease: id }],
    });
    return granted(id, grantedMs, sentMs);
  }

  /** Renews until the server says that the lease is gone. */
  async #keep(): Promise<void> {
    const { clock } = this.#options;
    while (this.#lease !== undefined) {
      const delayMs = untilBeatMs(clock.now(), beatMs(this.#lease.ttlMs));
      await clock.sleep(delayMs, this.#stopped.signal);
      const lease = this.current();
      if (lease !== undefined && this.#inFlight < RENEWALS_IN_FLIGHT_MAX) void this.#renew(lease);
    }
  }

  /** A failed call only means that the trust is not extended. */
  async #renew(asked: HeldLease): Promise<void> {
    const { coordinator, clock, log } = this.#options;
    const sentMs = clock.now();
    this.#inFlight += 1;
    try {
      const ttlMs = await coordinator.renewLease(asked.id);
      if (this.#lease?.id !== asked.id) return;
      if (ttlMs === undefined)
        log.warn({ event: "lease.lost", lease: asked.id }, "etcd says that the lease is gone");
      this.#lease = ttlMs === undefined ? undefined : renewed(this.#lease, ttlMs, sentMs);
      this.#tell();
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      this.#note("lease.renewal.failed", error);
    } finally {
      this.#inFlight -= 1;
    }
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #note(event: string, err: unknown): void {
    this.#options.log.warn({ event, err }, "etcd did not do what was asked");
  }
}
