/**
 * One watch over whatever connections there are: it reopens its stream at the revision after the
 * last that it delivered, so that its user sees neither gap nor repetition.
 *
 * A stream can be dead without breaking (a frozen member, a black hole), so it is asked for its
 * progress every second, and given up when nothing at all came for three.
 *
 * Invariants: R1 delivered revisions ascend; R2 nothing at or above the start is left out unless
 * `onCompacted` is called, after which nothing comes; R3 nothing comes after `cancel`.
 */

import { codeOf } from "../../base/errors.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Watch, WatchHandlers } from "../coordinator.ts";
import type { Log } from "../log.ts";
import type { RpcStream } from "../rpc.ts";
import {
  make,
  WatchCreateRequest,
  WatchRequest,
  type WatchResponse,
  WatchService,
} from "../wire/etcd.ts";
import { backoffMs, type CoordinatorCalls } from "./coordinatorCalls.ts";
import { byRevision, prefixRange } from "./coordinatorRequests.ts";

const PROGRESS_EVERY_MS = 1000;
const SILENCE_MS_MAX = 3000;

export interface WatchParts {
  readonly calls: CoordinatorCalls;
  readonly clock: Clock;
  readonly log: Log;
}

/** Follows a prefix from a revision on. */
export function followPrefix(
  parts: WatchParts,
  prefix: string,
  fromRevision: number,
  handlers: WatchHandlers,
): Watch {
  const follower = new Follower(parts, prefix, fromRevision, handlers);
  follower.run().catch((error: unknown) => {
    // A handler's failure is its process's failure: thrown where nothing swallows it.
    parts.clock.after(0, () => {
      throw error;
    });
  });
  return {
    cancel: () => {
      follower.cancel();
    },
  };
}

class Follower {
  readonly #parts: WatchParts;
  readonly #prefix: string;
  readonly #handlers: WatchHandlers;
  readonly #stopped = new AbortController();
  readonly #forget: () => void;
  #next: number;
  #failures = 0;
  #stream: RpcStream<WatchRequest, WatchResponse> | undefined;

  constructor(parts: WatchParts, prefix: string, fromRevision: number, handlers: WatchHandlers) {
    this.#parts = parts;
    this.#prefix = prefix;
    this.#next = fromRevision;
    this.#handlers = handlers;
    this.#forget = parts.calls.onClose(() => {
      this.cancel();
    });
  }

  cancel(): void {
    this.#stopped.abort();
    this.#stream?.cancel();
  }

  async run(): Promise<void> {
    const { clock, log } = this.#parts;
    for (;;) {
      await this.#follow();
      if (this.#stopped.signal.aborted) {
        this.#forget();
        return;
      }
      const waitMs = backoffMs(this.#failures++);
      log.debug({ event: "watch.reopening", prefix: this.#prefix, waitMs }, "reopening a watch");
      try {
        await clock.sleep(waitMs, this.#stopped.signal);
      } catch (error) {
        if (codeOf(error) !== "CANCELLED") throw error;
      }
    }
  }

  /** One stream's life. Returns when it broke or ended; throws only what a handler throws. */
  async #follow(): Promise<void> {
    const { calls } = this.#parts;
    const client = calls.client();
    let watchdog: Watchdog | undefined;
    try {
      const stream = client.stream(WatchService.watch);
      this.#stream = stream;
      watchdog = new Watchdog(this.#parts.clock, stream);
      await stream.send(this.#createRequest());
      for await (const response of stream.incoming) {
        watchdog.heard();
        this.#failures = 0;
        if (this.#stopped.signal.aborted || !this.#onResponse(response)) break;
      }
    } catch (error) {
      if (error instanceof HandlerFailure) throw error.cause;
      if (codeOf(error) === undefined) throw error;
      this.#parts.log.debug({ event: "watch.broken", err: error }, "a watch's stream broke");
    } finally {
      watchdog?.stop();
      this.#stream?.cancel();
      this.#stream = undefined;
    }
    calls.leave(client);
  }

  /** @returns false when the stream is of no more use */
  #onResponse(response: WatchResponse): boolean {
    if (response.compactRevision > 0) {
      this.#stopped.abort();
      guard(() => {
        this.#handlers.onCompacted(response.compactRevision);
      });
      return false;
    }
    if (response.canceled) return false;
    for (const { revision, events } of byRevision(response.events, this.#next)) {
      if (this.#stopped.signal.aborted) return false;
      this.#next = revision + 1;
      guard(() => {
        this.#handlers.onEvents(events, revision);
      });
    }
    return true;
  }

  #createRequest(): WatchRequest {
    const range = prefixRange(this.#prefix);
    const startRevision = this.#next;
    return make(WatchRequest, {
      createRequest: make(WatchCreateRequest, { ...range, startRevision }),
    });
  }
}

/** Carries what a handler threw past the handling of broken streams. */
class HandlerFailure extends Error {
  override readonly name = "HandlerFailure";
}

function guard(act: () => void): void {
  try {
    act();
  } catch (cause) {
    throw new HandlerFailure("a watch's handler failed", { cause });
  }
}

/** Asks a stream for signs of life, and cancels it when there are none. */
class Watchdog {
  readonly #clock: Clock;
  readonly #stream: RpcStream<WatchRequest, WatchResponse>;
  #heardMs: number;
  #timer: Timer;

  constructor(clock: Clock, stream: RpcStream<WatchRequest, WatchResponse>) {
    this.#clock = clock;
    this.#stream = stream;
    this.#heardMs = clock.now();
    this.#timer = clock.after(PROGRESS_EVERY_MS, () => {
      this.#look();
    });
  }

  heard(): void {
    this.#heardMs = this.#clock.now();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #look(): void {
    if (this.#clock.now() - this.#heardMs > SILENCE_MS_MAX) {
      this.#stream.cancel();
      return;
    }
    // A failed send is a broken stream, which its reader hears of.
    this.#stream.send(make(WatchRequest, { progressRequest: {} })).catch(() => undefined);
    this.#timer = this.#clock.after(PROGRESS_EVERY_MS, () => {
      this.#look();
    });
  }
}
