/**
 * Renewals of leases over one long-lived stream: a stream a renewal was the dearest thing that an
 * idle lab did. A renewal never waits behind another: when one is still unanswered, the next gets a
 * stream of its own, and that one stays.
 *
 * Invariants: N1 every renewal is answered or fails within its deadline; N2 a stream that let a
 * deadline pass, or answered out of turn, is used no more.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { Clock } from "../clock.ts";
import type { RpcClient, RpcStream } from "../rpc.ts";
import {
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseService,
} from "../wire/etcd.ts";

interface Waiting {
  readonly id: string;
  readonly resolve: (answer: LeaseKeepAliveResponse) => void;
  readonly reject: (error: unknown) => void;
}

export class Renewals {
  readonly #clock: Clock;
  /** Those that are open; besides the current one only what still waits for an answer. */
  readonly #open = new Set<RenewalStream>();
  #current: RenewalStream | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Renews once.
   * @returns etcd's answer; its TTL is 0 when the lease is gone
   * @throws AntipodeError `DEADLINE_EXCEEDED`, or what broke the stream
   */
  async renew(client: RpcClient, id: string, deadlineMs: number): Promise<LeaseKeepAliveResponse> {
    const stream = this.#streamOf(client);
    const timer = this.#clock.after(deadlineMs, () => {
      stream.fail(new AntipodeError("DEADLINE_EXCEEDED", "a lease's renewal was not answered"));
    });
    try {
      return await stream.ask(id);
    } finally {
      timer.cancel();
    }
  }

  /** Ends all streams; renewals under way fail. */
  close(): void {
    for (const stream of [...this.#open])
      stream.fail(new AntipodeError("CANCELLED", "the coordinator's client is closed"));
  }

  #streamOf(client: RpcClient): RenewalStream {
    const current = this.#current;
    if (current?.isFree && current.client === client) return current;
    current?.retire();
    const fresh = new RenewalStream(client, () => {
      this.#open.delete(fresh);
    });
    this.#open.add(fresh);
    this.#current = fresh;
    return fresh;
  }
}

/** One stream: etcd answers its requests in their order. */
class RenewalStream {
  readonly client: RpcClient;
  readonly #stream: RpcStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;
  readonly #onOver: () => void;
  readonly #waiting: Waiting[] = [];
  #state: "open" | "retired" | "over" = "open";

  constructor(client: RpcClient, onOver: () => void) {
    this.client = client;
    this.#onOver = onOver;
    this.#stream = client.stream(LeaseService.keepAlive);
    void this.#read();
  }

  /** Whether a renewal would be the only one on it. */
  get isFree(): boolean {
    return this.#state === "open" && this.#waiting.length === 0;
  }

  ask(id: string): Promise<LeaseKeepAliveResponse> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ id, resolve, reject });
      this.#stream.send({ ID: id }).catch((error: unknown) => {
        this.fail(error);
      });
    });
  }

  /** Nothing more is asked; it ends when what was asked is answered. */
  retire(): void {
    if (this.#state !== "open") return;
    this.#state = "retired";
    this.#endIfDone();
  }

  /** Ends the stream at once, and all that wait with it. */
  fail(error: unknown): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#stream.cancel();
    this.#onOver();
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  async #read(): Promise<void> {
    try {
      for await (const answer of this.#stream.incoming) this.#onAnswer(answer);
      this.fail(new AntipodeError("PEER_UNREACHABLE", "etcd ended the stream of renewals"));
    } catch (error) {
      this.fail(error);
    }
  }

  #onAnswer(answer: LeaseKeepAliveResponse): void {
    const asked = this.#waiting.shift();
    if (asked === undefined || asked.id !== answer.ID) {
      const error = new AntipodeError("PEER_UNREACHABLE", "etcd answered a renewal out of turn");
      asked?.reject(error);
      this.fail(error);
      return;
    }
    asked.resolve(answer);
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#state !== "retired" || this.#waiting.length > 0) return;
    this.#state = "over";
    this.#stream.end();
    this.#onOver();
  }
}
