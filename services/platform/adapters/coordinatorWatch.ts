/**
 * All watches of a process over one stream, as etcd's API is made for: a sign of life is asked for
 * once a stream, not once a watch. When the stream breaks, another is opened, and every watch goes
 * on at the revision after the last that it delivered: its user sees neither gap nor repetition.
 *
 * A stream can be dead without breaking (a frozen member, a black hole), so it is asked for its
 * progress when nothing came for a second, and given up when nothing at all came for three.
 *
 * Invariants: R1 revisions that a watch delivers ascend; R2 nothing at or above its start is left
 * out unless `onCompacted` is called, after which nothing comes; R3 nothing comes after `cancel`;
 * R4 there is a stream only while there are watches.
 */

import { codeOf } from "../../base/errors.ts";
import type { Clock, Timer } from "../clock.ts";
import { untilBeatMs } from "../coordination/rhythm.ts";
import type { Watch, WatchHandlers } from "../coordinator.ts";
import type { Log } from "../log.ts";
import type { RpcStream } from "../rpc.ts";
import {
  make,
  WatchCancelRequest,
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

type Stream = RpcStream<WatchRequest, WatchResponse>;

interface Watcher {
  /** Chosen here and never given again, so that a late message finds nobody. */
  readonly id: string;
  readonly prefix: string;
  readonly handlers: WatchHandlers;
  /** The next revision to deliver. */
  next: number;
}

export class Watches {
  readonly #parts: WatchParts;
  readonly #watchers = new Map<string, Watcher>();
  readonly #closed = new AbortController();
  #nextId = 1;
  #running = false;
  #failures = 0;
  #stream: Stream | undefined;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** Follows a prefix from a revision on. */
  watch(prefix: string, fromRevision: number, handlers: WatchHandlers): Watch {
    const watcher: Watcher = { id: String(this.#nextId++), prefix, handlers, next: fromRevision };
    this.#watchers.set(watcher.id, watcher);
    if (this.#stream !== undefined) this.#send(this.#stream, createRequest(watcher));
    if (!this.#running) this.#start();
    return {
      cancel: () => {
        this.#cancel(watcher.id);
      },
    };
  }

  /** Ends all watches. */
  close(): void {
    this.#closed.abort();
    this.#watchers.clear();
    this.#stream?.cancel();
  }

  #cancel(id: string): void {
    if (!this.#watchers.delete(id) || this.#stream === undefined) return;
    if (this.#watchers.size === 0) this.#stream.cancel();
    else {
      const cancelRequest = make(WatchCancelRequest, { watchId: id });
      this.#send(this.#stream, make(WatchRequest, { cancelRequest }));
    }
  }

  /** A send that fails is a broken stream, which its reader hears of. */
  #send(stream: Stream, request: WatchRequest): void {
    stream.send(request).catch(() => undefined);
  }

  #start(): void {
    this.#running = true;
    this.#run().catch((error: unknown) => {
      // A handler's failure is its process's failure: thrown where nothing swallows it.
      this.#parts.clock.after(0, () => {
        throw error;
      });
    });
  }

  /** Keeps a stream open while there are watches. */
  async #run(): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      while (this.#watchers.size > 0) {
        await this.#follow();
        if (this.#watchers.size === 0) return;
        const waitMs = backoffMs(this.#failures++);
        log.debug({ event: "watch.reopening", waitMs }, "reopening the watches");
        try {
          await clock.sleep(waitMs, this.#closed.signal);
        } catch (error) {
          if (codeOf(error) !== "CANCELLED") throw error;
        }
      }
    } finally {
      this.#running = false;
    }
  }

  /** One stream's life. Returns when it broke or ended; throws only what a handler throws. */
  async #follow(): Promise<void> {
    const { calls, clock, log } = this.#parts;
    const client = calls.client();
    let watchdog: Watchdog | undefined;
    try {
      const stream = client.stream(WatchService.watch);
      this.#stream = stream;
      watchdog = new Watchdog(clock, stream);
      for (const watcher of this.#watchers.values()) this.#send(stream, createRequest(watcher));
      for await (const response of stream.incoming) {
        watchdog.heard();
        this.#failures = 0;
        if (!this.#onResponse(response)) break;
      }
    } catch (error) {
      if (error instanceof HandlerFailure) throw error.cause;
      if (codeOf(error) === undefined) throw error;
      log.debug({ event: "watch.broken", err: error }, "the stream of the watches broke");
    } finally {
      watchdog?.stop();
      this.#stream?.cancel();
      this.#stream = undefined;
    }
    if (this.#watchers.size > 0) calls.leave(client);
  }

  /** @returns false when the stream is of no more use */
  #onResponse(response: WatchResponse): boolean {
    const watcher = this.#watchers.get(response.watchId);
    if (watcher === undefined) return this.#watchers.size > 0;
    if (response.compactRevision > 0) {
      this.#watchers.delete(watcher.id);
      guard(() => {
        watcher.handlers.onCompacted(response.compactRevision);
      });
      return this.#watchers.size > 0;
    }
    if (response.canceled) return false;
    for (const { revision, events } of byRevision(response.events, watcher.next)) {
      if (!this.#watchers.has(watcher.id)) break;
      watcher.next = revision + 1;
      guard(() => {
        watcher.handlers.onEvents(events, revision);
      });
    }
    return this.#watchers.size > 0;
  }
}

function createRequest({ id, prefix, next }: Watcher): WatchRequest {
  const wanted = { ...prefixRange(prefix), startRevision: next, watchId: id };
  return make(WatchRequest, { createRequest: make(WatchCreateRequest, wanted) });
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

/** Asks a silent stream for a sign of life, and cancels it when there is none. */
class Watchdog {
  readonly #clock: Clock;
  readonly #stream: Stream;
  #heardMs: number;
  #timer: Timer;

  constructor(clock: Clock, stream: Stream) {
    this.#clock = clock;
    this.#stream = stream;
    this.#heardMs = clock.now();
    this.#timer = this.#arm();
  }

  heard(): void {
    this.#heardMs = this.#clock.now();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #arm(): Timer {
    return this.#clock.after(untilBeatMs(this.#clock.now(), PROGRESS_EVERY_MS), () => {
      this.#look();
    });
  }

  #look(): void {
    const silentMs = this.#clock.now() - this.#heardMs;
    if (silentMs > SILENCE_MS_MAX) {
      this.#stream.cancel();
      return;
    }
    // A failed send is a broken stream, which its reader hears of.
    if (silentMs > PROGRESS_EVERY_MS / 2)
      this.#stream.send(make(WatchRequest, { progressRequest: {} })).catch(() => undefined);
    this.#timer = this.#arm();
  }
}
