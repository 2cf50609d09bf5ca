/**
 * Faults that undo themselves. Whoever drills a lab holds each fault by a lease and renews it; a fault
 * whose lease ends is undone by the process that keeps it (genesis for processes, wan for links), so
 * that a drill that dies leaves nothing broken.
 *
 * Invariants: a fault is on disk before it is done, so a keeper that dies undoes it in its next life
 * (the lease then counts anew from its start); how it was before the first fault of a key is kept until
 * that key is healed; an undo that fails is tried again until it succeeds. Orders run one at a time.
 */

import { assert } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";
import { checkedJson, type JsonField, parseJson } from "../base/checkedJson.ts";
import { AntipodeError } from "../base/errors.ts";
import type { Clock, Timer } from "./clock.ts";
import { type Disk, readWhole, replaceWhole } from "./disk.ts";
import type { Log } from "./log.ts";

/** Not `.json`: folders of state are listed by that ending. */
const FILE = "faults.leases";
/** Longer than this nobody should wait for a lab whose drill has died. */
const LEASE_MS_MAX = 60_000;
/** More than every service and link of the largest lab. */
const FAULTS_MAX = 4096;
const HOLDER_CHARS_MAX = 200;
const UNDO_RETRY_MS = 500;

export interface Lease {
  /** Who drills: the same for all faults of a run. */
  readonly holder: string;
  /** The faults are undone this long after the last renewal. */
  readonly ttlMs: number;
}

/** What can be broken here, and how it becomes whole. `F` says how to undo one fault. */
export interface FaultKind<F> {
  /** Two faults of one key are one: the first says what to go back to. */
  readonly keyOf: (fault: F) => string;
  readonly parse: (field: JsonField) => F;
  /** Makes whole; harmless when it is whole already. */
  readonly undo: (faults: readonly F[]) => Promise<void>;
}

export interface FaultWorld {
  readonly clock: Clock;
  /** The keeper's folder of state. */
  readonly disk: Disk;
  readonly log: Log;
}

interface Held<F> {
  readonly fault: F;
  lease: Lease;
  untilMs: number;
}

export class FaultLeases<F extends object> {
  readonly #world: FaultWorld;
  readonly #kind: FaultKind<F>;
  readonly #held = new Map<string, Held<F>>();
  #timer: Timer | undefined;
  #lastOrder: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(world: FaultWorld, kind: FaultKind<F>) {
    this.#world = world;
    this.#kind = kind;
  }

  /** Takes over the faults of an earlier life; their leases count from now. */
  static async open<F extends object>(
    world: FaultWorld,
    kind: FaultKind<F>,
  ): Promise<FaultLeases<F>> {
    const leases = new FaultLeases(world, kind);
    const bytes = await readWhole(world.disk, FILE);
    if (bytes !== undefined) leases.#take(bytes);
    leases.#arm();
    return leases;
  }

  /**
   * Keeps the faults, then does them.
   * @param tell what to break, and how it is now; called when the orders before this one are done, which may
   *   have healed it
   * @param inject does them; when it throws, what was not held before is undone
   * @throws AntipodeError `INVALID_ARGUMENT` for a wrong lease; what `inject` throws
   */
  hold<T>(lease: Lease, tell: () => readonly F[], inject: () => Promise<T>): Promise<T> {
    checkLease(lease);
    return this.#order(async () => {
      const untilMs = this.#world.clock.now() + lease.ttlMs;
      const added: string[] = [];
      for (const fault of tell()) {
        const key = this.#kind.keyOf(fault);
        const before = this.#held.get(key);
        if (before === undefined) added.push(key);
        this.#held.set(key, { fault: before?.fault ?? fault, lease, untilMs });
      }
      assert(this.#held.size <= FAULTS_MAX, "faults are of services and links of one lab");
      await this.#keep();
      try {
        return await inject();
      } catch (error) {
        await this.#undo(added);
        throw error;
      } finally {
        this.#arm();
      }
    });
  }

  /** Puts off the end of all faults of the holder. @returns the keys that it still holds */
  renew(lease: Lease): Promise<readonly string[]> {
    checkLease(lease);
    return this.#order(() => {
      const keys = this.#keysOf(lease.holder);
      for (const key of keys) {
        const held = this.#held.get(key);
        if (held !== undefined) held.untilMs = this.#world.clock.now() + lease.ttlMs;
      }
      this.#arm();
      return Promise.resolve(keys);
    });
  }

  /** Undoes all faults of the holder, "" for everybody's. @returns their keys */
  heal(holder: string): Promise<readonly string[]> {
    return this.#order(async () => {
      const keys = this.#keysOf(holder);
      await this.#undo(keys);
      this.#arm();
      return keys;
    });
  }

  /** Stops undoing; what is held stays on disk for the next life. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #keysOf(holder: string): readonly string[] {
    const all = [...this.#held].filter(([, one]) => holder === "" || one.lease.holder === holder);
    return all.map(([key]) => key);
  }

  #order<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastOrder.then(work);
    // The next order waits for this one, however it ends; its caller is told of a failure.
    this.#lastOrder = turn.catch(() => undefined);
    return turn;
  }

  async #undo(keys: readonly string[]): Promise<void> {
    const faults = keys.flatMap((key) => this.#held.get(key)?.fault ?? []);
    if (faults.length === 0) return;
    await this.#kind.undo(faults);
    for (const key of keys) this.#held.delete(key);
    await this.#keep();
  }

  async #keep(): Promise<void> {
    const faults = [...this.#held.values()].map(({ fault, lease }) => ({ ...lease, fault }));
    const text = JSON.stringify({ version: 1, faults });
    await replaceWhole(this.#world.disk, FILE, utf8(`${text}\n`));
  }

  #take(bytes: Uint8Array): void {
    const value = parseJson(bytes, FILE, "FORMAT_UNSUPPORTED");
    const file = checkedJson(value, FILE, "FORMAT_UNSUPPORTED").ofVersion(1);
    const now = this.#world.clock.now();
    for (const field of file.object(["version", "faults"]).faults.list(0, FAULTS_MAX)) {
      const one = field.object(["holder", "ttlMs", "fault"]);
      const lease = { holder: one.holder.text(), ttlMs: one.ttlMs.integer(1, LEASE_MS_MAX) };
      const fault = this.#kind.parse(one.fault);
      this.#held.set(this.#kind.keyOf(fault), { fault, lease, untilMs: now + lease.ttlMs });
    }
  }

  #arm(delayMs?: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#held.size === 0 || this.#closed) return;
    const next = Math.min(...[...this.#held.values()].map((one) => one.untilMs));
    const wait = delayMs ?? Math.max(0, next - this.#world.clock.now());
    this.#timer = this.#world.clock.after(wait, () => {
      void this.#order(() => this.#expire());
    });
  }

  async #expire(): Promise<void> {
    const now = this.#world.clock.now();
    const ended = [...this.#held].filter(([, one]) => one.untilMs <= now).map(([key]) => key);
    try {
      await this.#undo(ended);
      this.#arm();
      if (ended.length > 0)
        this.#world.log.warn(
          { event: "fault.expired", faults: ended.join(",") },
          "faults whose holder is gone were undone",
        );
    } catch (err) {
      this.#world.log.error({ event: "fault.undo-failed", err }, "a fault could not be undone yet");
      this.#arm(UNDO_RETRY_MS);
    }
  }
}

function checkLease({ holder, ttlMs }: Lease): void {
  if (holder === "" || holder.length > HOLDER_CHARS_MAX)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `a fault's holder has 1 to ${HOLDER_CHARS_MAX} characters`,
    );
  if (!(Number.isSafeInteger(ttlMs) && ttlMs >= 1 && ttlMs <= LEASE_MS_MAX))
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `a fault is leased for 1 to ${LEASE_MS_MAX} ms, not ${ttlMs}`,
    );
}
