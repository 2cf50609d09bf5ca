/**
 * Calls to etcd's members: a deadline on each, the next member after a failure, and a bounded number
 * of attempts. What writes is repeated only when it provably never left: a transaction whose answer
 * is lost may have happened, and only its author knows what that means.
 */

import { assert, present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Method } from "../../base/wire.ts";
import type { Clock } from "../clock.ts";
import type { Address } from "../net.ts";
import type { Rpc, RpcClient } from "../rpc.ts";
import { isTransient, translateFailure, wasNotSent } from "./coordinatorRequests.ts";

/** One attempt; etcd answers in milliseconds, and a frozen member must not hold a leader. */
const ATTEMPT_MS = 1000;
/** All attempts of a call together. */
const CALL_MS = 2000;
const BACKOFF_MS_MIN = 50;
const BACKOFF_MS_MAX = 250;
/** Above what fits into `CALL_MS` with the backoffs. */
const ATTEMPTS_MAX = 32;
/** Further calls wait here, not at etcd: a deadline measures etcd's time, not a queue's. */
const IN_FLIGHT_MAX = 64;
/** A process with this many calls waiting has lost control of itself. */
const WAITING_MAX = 8192;

/** 50, 100, 200, 250, 250, … ms. */
export function backoffMs(failures: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures, 8));
}

export interface CallParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly endpoints: readonly Address[];
}

/** What one attempt may take, and what ends it early. */
export interface AttemptOptions {
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A request that may be repeated at will, or one that changes something. */
export type Repeatable = "repeatable" | "once";

export class CoordinatorCalls {
  readonly #parts: CallParts;
  /** What to end when the coordinator is closed. */
  readonly #onClose = new Set<() => void>();
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;
  #current = 0;
  #closed = false;

  constructor(parts: CallParts) {
    assert(parts.endpoints.length > 0, "a coordinator has endpoints");
    this.#parts = parts;
  }

  /** Ends all calls and watches. */
  close(): void {
    this.#closed = true;
    for (const end of [...this.#onClose]) end();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** @returns a function that takes the callback back */
  onClose(end: () => void): () => void {
    this.#onClose.add(end);
    return () => this.#onClose.delete(end);
  }

  /** The member that calls go to now. */
  client(): RpcClient {
    const { rpc, endpoints } = this.#parts;
    return rpc.connect(present(endpoints[this.#current], "the current endpoint exists"));
  }

  /** Goes on with the next member, unless somebody has already gone on. */
  leave(client: RpcClient): void {
    const now = this.client().address;
    if (now.host !== client.address.host || now.port !== client.address.port) return;
    this.#current = (this.#current + 1) % this.#parts.endpoints.length;
  }

  /** @throws AntipodeError as the port promises */
  unary<Q, A>(method: Method<Q, A, "unary">, request: Q, repeatable: Repeatable): Promise<A> {
    return this.attempt(repeatable, (client, options) => client.unary(method, request, options));
  }

  /** Runs an attempt against one member after the other until one answers or time is up. */
  async attempt<A>(
    repeatable: Repeatable,
    act: (client: RpcClient, options: AttemptOptions) => Promise<A>,
  ): Promise<A> {
    await this.#enter();
    const abort = new AbortController();
    const forget = this.onClose(() => {
      abort.abort();
    });
    try {
      return await this.#attempts(repeatable, act, abort.signal);
    } finally {
      forget();
      this.#inFlight -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #attempts<A>(
    repeatable: Repeatable,
    act: (client: RpcClient, options: AttemptOptions) => Promise<A>,
    signal: AbortSignal,
  ): Promise<A> {
    const { clock } = this.#parts;
    const endMs = clock.now() + CALL_MS;
    for (let failures = 0; ; failures++) {
      this.#checkOpen();
      const client = this.client();
      try {
        const deadlineMs = Math.max(1, Math.min(ATTEMPT_MS, endMs - clock.now()));
        return await act(client, { deadlineMs, signal });
      } catch (error) {
        if (!isTransient(error)) throw translateFailure(error);
        this.leave(client);
        const again = repeatable === "repeatable" || wasNotSent(error);
        const waitMs = backoffMs(failures);
        const late = failures >= ATTEMPTS_MAX || clock.now() + waitMs >= endMs;
        if (!again || late) throw translateFailure(error);
        await clock.sleep(waitMs, signal);
      }
    }
  }

  /** Waits for a place among the calls in flight. */
  async #enter(): Promise<void> {
    this.#checkOpen();
    if (this.#waiting.length >= WAITING_MAX)
      throw new AntipodeError("OVERLOADED", "too many calls wait for etcd", {
        waiting: this.#waiting.length,
      });
    while (this.#inFlight >= IN_FLIGHT_MAX && !this.#closed)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#checkOpen();
    this.#inFlight += 1;
  }

  #checkOpen(): void {
    if (this.#closed) throw new AntipodeError("CANCELLED", "the coordinator's client is closed");
  }
}
