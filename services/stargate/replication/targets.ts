/**
 * The target site as a whole: any of its CVMs answers and places, so requests go to them in turn. Each
 * target has one lane for queries and one for chunks, so that a question does not wait behind 16 MiB.
 *
 * When a lane breaks, each request that was open asks again elsewhere, and chunks are asked for before
 * they are sent again: what arrived is not sent twice (P5). A target that failed rests for a while that
 * doubles; when nobody has answered for GIVE_UP_MS the ship fails and its job tries again later (P9).
 *
 * What a target refuses is different: bad bytes are checked here first, so that rot at the source is
 * told from damage on the way (P7); a full disk fails at once.
 */

import { assert, present } from "../../base/assert.ts";
import { AntipodeError, type ErrorCode, isErrorCode } from "../../base/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import type { Address } from "../../platform/net.ts";
import type { Rpc } from "../../platform/rpc.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { encodePack, joinFingerprints } from "../extents/chunkPack.ts";
import { plainOf } from "./frames.ts";
import { type Answer, createLane, type Lane, type Request } from "./lane.ts";
import type { Ledger } from "./ledger.ts";
import {
  ATTEMPTS_MAX,
  GIVE_UP_MS,
  REFUSALS_MAX,
  REST_MS,
  REST_MS_MAX,
  WATCHDOG_DOUBLINGS_MAX,
  WATCHDOG_MS,
} from "./limits.ts";

/** The target site. */
export interface Targets {
  /** For each fingerprint: is it on all its CVMs there? At most QUERY_FINGERPRINTS_MAX. */
  query(fingerprints: readonly Fingerprint[]): Promise<readonly boolean[]>;
  /** Resolves when all chunks are durable there. */
  send(chunks: readonly StoredChunk[]): Promise<void>;
  /** Ends all streams; nothing may be under way. */
  end(): void;
  /** Breaks all streams: everything under way fails with the reason. */
  shut(reason: Error): void;
}

export interface TargetsOptions {
  readonly addresses: readonly Address[];
  readonly replicationFactor: number;
  readonly rpc: Pick<Rpc, "connect">;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly ledger: Ledger;
}

/** Codes with which asking again at once cannot help. */
const FINAL: ReadonlySet<string> = new Set<ErrorCode>([
  "DISK_FULL",
  "RECOVERY_POINT_INCOMPLETE",
  "UNIMPLEMENTED",
  "STALE_EPOCH",
]);
const DAMAGED: ReadonlySet<string> = new Set<ErrorCode>([
  "FINGERPRINT_MISMATCH",
  "MESSAGE_INVALID",
]);

const NOTHING = new Uint8Array(0);

type LaneKind = "queries" | "chunks";

class Target {
  readonly address: Address;
  readonly lanes: Partial<Record<LaneKind, Lane>> = {};
  /** Failures since the last answer. */
  failures = 0;
  restsUntil = 0;

  constructor(address: Address) {
    this.address = address;
  }
}

/** Opens nothing yet: a lane is opened when it is first needed. */
export function createTargets(options: TargetsOptions): Targets {
  return new TargetPool(options);
}

class TargetPool implements Targets {
  readonly #options: TargetsOptions;
  readonly #targets: readonly Target[];
  #turn = 0;
  /** Since when nobody has answered; `undefined` while somebody does. */
  #failingSinceMs: number | undefined;
  #shutReason: Error | undefined;
  /** One sleep for all requests that wait for a target. */
  #rested: Promise<void> | undefined;

  constructor(options: TargetsOptions) {
    assert(options.addresses.length > 0, "a ship has a target");
    this.#options = options;
    this.#targets = options.addresses.map((address) => new Target(address));
  }

  async query(fingerprints: readonly Fingerprint[]): Promise<readonly boolean[]> {
    if (fingerprints.length === 0) return [];
    const joined = joinFingerprints(fingerprints);
    const { replicationFactor } = this.#options;
    const answer = await this.#ask("queries", () =>
      Promise.resolve({ fingerprints: joined, pack: NOTHING, replicationFactor }),
    );
    const bytes = present(answer, "a query is always sent").present;
    if (bytes.length === fingerprints.length) return Array.from(bytes, (byte) => byte === 1);
    throw new AntipodeError("MESSAGE_INVALID", "a target answered another number of fingerprints");
  }

  async send(chunks: readonly StoredChunk[]): Promise<void> {
    const { codec, ledger, replicationFactor } = this.#options;
    let missing = chunks;
    const answer = await this.#ask(
      "chunks",
      async (attempt) => {
        if (attempt > 0) {
          const arrived = await this.query(missing.map((chunk) => chunk.fingerprint));
          missing = missing.filter((_, i) => arrived[i] !== true);
          if (missing.length === 0) return undefined;
        }
        return {
          fingerprints: NOTHING,
          pack: encodePack(codec, missing),
          replicationFactor,
        };
      },
      () => {
        // Throws when the source itself holds something else than it believes: that is never sent again.
        for (const chunk of missing) plainOf(codec, chunk);
      },
    );
    ledger.resentBytes += answer?.duplicateBytes ?? 0;
  }

  end(): void {
    for (const target of this.#targets) for (const lane of Object.values(target.lanes)) lane.end();
  }

  shut(reason: Error): void {
    this.#shutReason ??= reason;
    for (const target of this.#targets)
      for (const lane of Object.values(target.lanes)) lane.break(reason);
  }

  /**
   * Asks until somebody answers.
   * @param build the request of an attempt; `undefined` when there is nothing left to ask
   * @param onDamaged checks our own bytes after a target found them damaged
   */
  async #ask(
    kind: LaneKind,
    build: (attempt: number) => Promise<Request | undefined>,
    onDamaged: () => void = () => undefined,
  ): Promise<Answer | undefined> {
    let refusals = 0;
    for (let attempt = 0; ; attempt++) {
      const request = await build(attempt);
      if (request === undefined) return undefined;
      const target = await this.#next();
      const outcome = await this.#lane(target, kind).ask(request);
      if (outcome.kind === "broken") {
        this.#mayRetry(outcome.reason, attempt);
        continue;
      }
      const { answer } = outcome;
      if (answer.errorCode === "") return answer;
      if (DAMAGED.has(answer.errorCode)) onDamaged();
      refusals += 1;
      if (FINAL.has(answer.errorCode) || refusals > REFUSALS_MAX) throw refusalOf(target, answer);
      this.#rest(target);
    }
  }

  /** Returns when asking elsewhere is sensible, throws otherwise. */
  #mayRetry(reason: Error, attempt: number): void {
    if (this.#shutReason !== undefined) throw this.#shutReason;
    if (!(reason instanceof AntipodeError) || FINAL.has(reason.code)) throw reason;
    const failingMs = this.#options.clock.now() - (this.#failingSinceMs ?? Infinity);
    if (attempt < ATTEMPTS_MAX && failingMs < GIVE_UP_MS) return;
    throw new AntipodeError(
      "REMOTE_UNAVAILABLE",
      `no target has answered for ${Math.round(failingMs)} ms`,
      { targets: this.#targets.length, attempts: attempt + 1 },
      reason,
    );
  }

  /** The next target in turn that does not rest; waits while all do. */
  async #next(): Promise<Target> {
    const { clock, signal } = this.#options;
    for (;;) {
      if (this.#shutReason !== undefined) throw this.#shutReason;
      const now = clock.now();
      for (let i = 0; i < this.#targets.length; i++) {
        const index = (this.#turn + i) % this.#targets.length;
        const target = present(this.#targets[index], "the index is in range");
        if (target.restsUntil > now) continue;
        this.#turn = index + 1;
        return target;
      }
      const earliest = Math.min(...this.#targets.map((target) => target.restsUntil));
      this.#rested ??= clock.sleep(earliest - now, signal).finally(() => {
        this.#rested = undefined;
      });
      await this.#rested;
    }
  }

  #rest(target: Target): void {
    const restMs = Math.min(REST_MS * 2 ** target.failures, REST_MS_MAX);
    target.failures += 1;
    target.restsUntil = this.#options.clock.now() + restMs;
  }

  #lane(target: Target, kind: LaneKind): Lane {
    const { clock, ledger, rpc } = this.#options;
    const existing = target.lanes[kind];
    if (existing?.isBroken === false) return existing;
    const doublings = Math.min(target.failures, WATCHDOG_DOUBLINGS_MAX);
    const lane = createLane({
      client: rpc.connect(target.address),
      clock,
      watchdogMs: WATCHDOG_MS * 2 ** doublings,
      onSent: (bytes) => {
        ledger.wireBytes += bytes;
      },
      onAnswer: () => {
        target.failures = 0;
        this.#failingSinceMs = undefined;
      },
      onBroken: (reason) => {
        this.#onBroken(target, kind, reason);
      },
    });
    target.lanes[kind] = lane;
    return lane;
  }

  #onBroken(target: Target, kind: LaneKind, reason: Error): void {
    if (this.#shutReason !== undefined) return;
    this.#failingSinceMs ??= this.#options.clock.now();
    this.#rest(target);
    this.#options.log.warn(
      { event: "replication.laneBroken", ...target.address, lane: kind, err: reason },
      "stream to a target broke",
    );
  }
}

function refusalOf(target: Target, answer: Answer): AntipodeError {
  const code = isErrorCode(answer.errorCode) ? answer.errorCode : "REMOTE_UNAVAILABLE";
  return new AntipodeError(code, `the target refused: ${answer.errorMessage}`, {
    host: target.address.host,
    port: target.address.port,
    code: answer.errorCode,
  });
}
