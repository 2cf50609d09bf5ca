/**
 * A candidate for one role at a site: drives the machine of electionMachine.ts with etcd, the
 * process's lease and the clock. SPEC.md beside this file has states, events and invariants.
 */

import { assert } from "../../base/assert.ts";
import { codeOf } from "../../base/errors.ts";
import { epoch as asEpoch, type Epoch } from "../../base/ids.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Compare, Coordinator, KeyValue, Watch } from "../coordinator.ts";
import type { Log } from "../log.ts";
import {
  ELECTION_START,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionState,
  guardOf,
  type QueueView,
  stepElection,
} from "./electionMachine.ts";
import type { ProcessLease } from "./processLease.ts";
import { decodeRecord, encodeRecord } from "./records.ts";
import { untilBeatMs } from "./rhythm.ts";

/** Bounds how long a late watch can hide that the seat before ours is gone. */
const POLL_MS = 1000;
/** The watchdog looks again no sooner, however the clock rounds. */
const WATCHDOG_MS_MIN = 1;
/** Before a call that failed is made again. */
const RETRY_MS = 100;

/** A leader's time in office. */
export interface Term {
  /** Higher than that of every term before; goes with every order. */
  readonly epoch: Epoch;
  /** Of the etcd that counts the epoch: another one after it lost its data. Goes with the epoch. */
  readonly incarnation: string;
  /** For the `when` of transactions: holds as long as the seat is this leader's. */
  readonly guard: Compare;
  /** Synchronous; false as soon as the lease may have ended. A hint: `guard` and epochs decide. */
  isLeader(): boolean;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

export interface ElectionOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
  readonly lease: ProcessLease;
  /** `siteKeys.seatPrefix(role)`. */
  readonly seatPrefix: string;
  /** `siteKeys.leaderEpoch(role)`. */
  readonly epochKey: string;
  /** JSON for those who look for the leader: CVM, address. */
  readonly value: unknown;
  /** Called once a term. Must not throw; long work goes on its own and heeds `signal`. */
  readonly onElected: (term: Term) => void;
  /** Called once after each `onElected`, when the term is over. */
  readonly onLost: (epoch: Epoch) => void;
}

export interface Election {
  /** The term under way here, if any. */
  term(): Term | undefined;
  isLeader(): boolean;
  /** Leaves the queue for good. Resolves when the seat is deleted, or etcd did not answer. */
  resign(): Promise<void>;
}

/** Begins to stand as soon as the process has a lease, and again after every loss. */
export function startElection(options: ElectionOptions): Election {
  const candidate = new Candidate(options);
  candidate.start();
  return candidate;
}

interface HeldTerm extends Term {
  readonly end: () => void;
}

class Candidate implements Election {
  readonly #options: ElectionOptions;
  #state: ElectionState = ELECTION_START;
  #term: HeldTerm | undefined;
  #watch: Watch | undefined;
  #poll: Timer | undefined;
  #watchdog: Timer | undefined;
  #unsubscribe: () => void = () => undefined;
  #leaving: Promise<void> = Promise.resolve();

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unsubscribe = this.#options.lease.onChange(() => {
      this.#onLeaseChange();
    });
    this.#armPoll();
    this.#onLeaseChange();
  }

  term(): Term | undefined {
    return this.#term;
  }

  isLeader(): boolean {
    return this.#term?.isLeader() ?? false;
  }

  async resign(): Promise<void> {
    this.#unsubscribe();
    this.#poll?.cancel();
    this.#watchdog?.cancel();
    this.#watch?.cancel();
    this.#on({ kind: "resign", leaseId: this.#options.lease.current()?.id });
    await this.#leaving;
  }

  #on(event: ElectionEvent): void {
    const { state, effects } = stepElection(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#act(effect);
  }

  #onLeaseChange(): void {
    const lease = this.#options.lease.current();
    if (lease === undefined || !this.#options.lease.isValid()) this.#on({ kind: "leaseLost" });
    else this.#on({ kind: "leaseHeld", leaseId: lease.id });
  }

  #act(effect: ElectionEffect): void {
    switch (effect.kind) {
      case "takeSeat":
        void this.#ask(effect.turn, () => this.#takeSeat(effect.turn, effect.leaseId));
        return;
      case "look":
        void this.#ask(effect.turn, () => this.#look(effect.turn));
        return;
      case "raise":
        void this.#ask(effect.turn, () => this.#raise(effect));
        return;
      case "lead":
        this.#lead(effect);
        return;
      case "stepDown":
        this.#stepDown(effect.epoch);
        return;
      case "leaveSeat":
        this.#leaving = this.#leave(`${this.#options.seatPrefix}${effect.leaseId}`);
        return;
    }
  }

  /** Turns the outcome of a call into an event. Failures wait a moment, so that none is a storm. */
  async #ask(turn: number, call: () => Promise<ElectionEvent>): Promise<void> {
    const { clock, log } = this.#options;
    let event: ElectionEvent;
    try {
      event = await call();
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      log.debug({ event: "election.call.failed", err: error }, "etcd did not answer a candidate");
      await clock.sleep(RETRY_MS);
      event = { kind: "failed", turn };
    }
    this.#on(event);
  }

  async #takeSeat(turn: number, leaseId: string): Promise<ElectionEvent> {
    const { coordinator, seatPrefix, value } = this.#options;
    const key = `${seatPrefix}${leaseId}`;
    const result = await coordinator.transact({
      when: [{ kind: "createRevision", key, equals: 0 }],
      then: [{ kind: "put", key, value: encodeRecord(value), lease: leaseId }],
      otherwise: [{ kind: "get", key }],
    });
    // The seat can be there already: an attempt whose answer was lost, or a term before this one.
    const createRevision = result.succeeded
      ? result.revision
      : (result.found[0]?.[0]?.createRevision ?? 0);
    this.#followFrom(result.revision + 1);
    return { kind: "seated", turn, seat: { key, leaseId, createRevision } };
  }

  async #look(turn: number): Promise<ElectionEvent> {
    const { coordinator, seatPrefix, epochKey } = this.#options;
    const { found, revision } = await coordinator.transact({
      when: [],
      then: [
        { kind: "list", prefix: seatPrefix },
        { kind: "get", key: epochKey },
      ],
    });
    this.#followFrom(revision + 1);
    const entry = found[1]?.[0];
    const view: QueueView = {
      seats: found[0] ?? [],
      epoch: asEpoch(entry === undefined ? 0 : decodeRecord(entry, checkEpochRecord).value.epoch),
      epochRevision: entry?.modRevision ?? 0,
      incarnation: incarnationOf(entry),
    };
    return { kind: "seen", turn, view };
  }

  async #raise(effect: Extract<ElectionEffect, { kind: "raise" }>): Promise<ElectionEvent> {
    const { coordinator, epochKey, value } = this.#options;
    const { seat, epoch, incarnation, epochRevision, turn } = effect;
    const record: EpochRecord = { epoch, incarnation, leader: value };
    const { succeeded } = await coordinator.transact({
      when: [guardOf(seat), { kind: "modRevision", key: epochKey, equals: epochRevision }],
      then: [{ kind: "put", key: epochKey, value: encodeRecord(record) }],
    });
    return succeeded ? { kind: "raised", turn } : { kind: "refused", turn };
  }

  #lead({ seat, epoch, incarnation }: Extract<ElectionEffect, { kind: "lead" }>): void {
    assert(this.#term === undefined, "one term at a time");
    const { lease, onElected, log } = this.#options;
    const over = new AbortController();
    const holds = (): boolean =>
      !over.signal.aborted && lease.current()?.id === seat.leaseId && lease.isValid();
    this.#term = {
      epoch,
      incarnation,
      guard: guardOf(seat),
      isLeader: holds,
      signal: over.signal,
      end: () => {
        over.abort();
      },
    };
    log.info({ event: "election.won", epoch, seat: seat.key }, "elected");
    this.#armWatchdog();
    onElected(this.#term);
  }

  #stepDown(epoch: Epoch): void {
    assert(this.#term?.epoch === epoch, "only the term under way ends");
    this.#watchdog?.cancel();
    this.#term.end();
    this.#term = undefined;
    this.#options.log.warn({ event: "election.lost", epoch }, "no longer leader");
    this.#options.onLost(epoch);
  }

  async #leave(key: string): Promise<void> {
    const { coordinator, log } = this.#options;
    try {
      await coordinator.transact({ when: [], then: [{ kind: "delete", key }] });
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      log.debug({ event: "election.leave.failed", err: error }, "the seat ends with its lease");
    }
  }

  #followFrom(fromRevision: number): void {
    if (this.#state.kind === "resigned") return;
    this.#watch ??= this.#options.coordinator.watch(this.#options.seatPrefix, fromRevision, {
      onEvents: () => {
        this.#on({ kind: "nudged" });
      },
      onCompacted: () => {
        this.#watch = undefined;
        this.#on({ kind: "nudged" });
      },
    });
  }

  #armPoll(): void {
    const { clock } = this.#options;
    this.#poll = clock.after(untilBeatMs(clock.now(), POLL_MS), () => {
      this.#armPoll();
      this.#onLeaseChange();
      this.#on({ kind: "nudged" });
    });
  }

  /** Due at the last trusted instant as it is known now; a renewal moves it on when it is due. */
  #armWatchdog(): void {
    const { clock, lease } = this.#options;
    const leftMs = lease.validUntilMs() - clock.now();
    this.#watchdog = clock.after(Math.max(WATCHDOG_MS_MIN, leftMs), () => {
      if (this.#term === undefined) return;
      if (!this.#term.isLeader()) this.#on({ kind: "leaseLost" });
      else this.#armWatchdog();
    });
  }
}

interface EpochRecord {
  readonly epoch: number;
  /** "" in records of versions that did not tell it. */
  readonly incarnation: string;
  readonly leader: unknown;
}

function checkEpochRecord(value: unknown): EpochRecord {
  if (typeof value !== "object" || value === null || !("epoch" in value))
    throw new Error("an epoch record has an epoch");
  const { epoch } = value;
  if (typeof epoch !== "number" || !Number.isSafeInteger(epoch) || epoch < 1)
    throw new Error("an epoch is a positive integer");
  const incarnation = "incarnation" in value ? value.incarnation : "";
  if (typeof incarnation !== "string") throw new Error("an incarnation is text");
  return { epoch, incarnation, leader: "leader" in value ? value.leader : undefined };
}

function incarnationOf(entry: KeyValue | undefined): string {
  return entry === undefined ? "" : decodeRecord(entry, checkEpochRecord).value.incarnation;
}

/** By which incarnation the leaders of a role count now: "" while none has begun a term. */
export async function readIncarnation(coordinator: Coordinator, epochKey: string): Promise<string> {
  return incarnationOf(await coordinator.get(epochKey));
}

/** Who leads, as far as etcd knows: the first seat in the queue, and the epoch of its term. */
export interface LeaderView {
  /** `value` of the leader's options, or `undefined` when nobody stands. */
  readonly leader: unknown;
  /** 0 while the one who has the seat has not begun a term: the newest epoch is its predecessor's then. */
  readonly epoch: Epoch;
}

/**
 * For those who look for a leader. The first in the queue may not have begun its term yet: its own
 * answer tells.
 */
export async function readLeader(
  coordinator: Coordinator,
  keys: { readonly seatPrefix: string; readonly epochKey: string },
): Promise<LeaderView> {
  const { found } = await coordinator.transact({
    when: [],
    then: [
      { kind: "list", prefix: keys.seatPrefix },
      { kind: "get", key: keys.epochKey },
    ],
  });
  const seats = [...(found[0] ?? [])].sort((a, b) => a.createRevision - b.createRevision);
  const entry = found[1]?.[0];
  const first = seats[0];
  const leader: unknown = first && decodeRecord(first, (value) => value).value;
  const newest = entry && decodeRecord(entry, checkEpochRecord).value;
  const isItsOwn =
    leader !== undefined &&
    newest !== undefined &&
    JSON.stringify(newest.leader) === JSON.stringify(leader);
  return { leader, epoch: asEpoch(isItsOwn ? newest.epoch : 0) };
}
