/**
 * One watch stream: any number of watchers, each a place in the history. Nothing is queued: a
 * watcher that is slow only falls behind, and when compaction passes it, it is told so and ends.
 *
 * Invariants: W1 a watcher gets every change of its range from its start, once, in order, all of a
 * revision in one message; W2 only durable changes are shown; W3 "created" precedes the first
 * change, and nothing follows "canceled"; W4 a progress answer comes after every change up to it.
 */

import type { CallContext, RpcStream } from "../platform/rpc.ts";
import {
  type Event,
  make,
  type WatchCreateRequest,
  type WatchRequest,
  WatchResponse,
} from "../platform/wire/etcd.ts";
import type { EtcdEngine } from "./engine.ts";
import { inRange, type KeyRange, keyRange } from "./keys.ts";
import type { Change, Commit } from "./keyspace.ts";
import { toKeyValue } from "./transaction.ts";

/** Commits looked at for one message. */
const COMMITS_AT_ONCE = 128;
/** A client that holds more on one stream leaks them. */
const WATCHERS_MAX = 1024;
/** As etcd: the answer to a progress request is for no watcher. */
const NO_WATCHER = "-1";
const FIRST_KEY = new Uint8Array(1);

interface Watcher {
  readonly id: string;
  readonly range: KeyRange;
  readonly filters: WatchCreateRequest["filters"];
  readonly prevKv: boolean;
  /** The next revision to look at. */
  next: number;
}

type Stream = RpcStream<WatchResponse, WatchRequest>;

/** Serves one stream until the client ends it. */
export async function serveWatch(
  engine: EtcdEngine,
  stream: Stream,
  context: CallContext,
): Promise<void> {
  const watchers = new Watchers(engine, stream);
  const unsubscribe = engine.onDurable(() => {
    watchers.wake();
  });
  const onAbort = (): void => {
    watchers.stop();
  };
  context.signal.addEventListener("abort", onAbort, { once: true });
  const pump = watchers.run();
  // Awaited below; this only keeps a failure from being "unhandled" while requests are read.
  pump.catch(() => {
    stream.cancel();
  });
  try {
    for await (const request of stream.incoming) watchers.onRequest(request);
    watchers.finish();
    await pump;
  } finally {
    watchers.stop();
    context.signal.removeEventListener("abort", onAbort);
    unsubscribe();
  }
}

class Watchers {
  readonly #engine: EtcdEngine;
  readonly #stream: Stream;
  readonly #watchers = new Map<string, Watcher>();
  /** Answers to requests, in order; at most a few a request. */
  #answers: WatchResponse[] = [];
  #progressAsked = false;
  #nextId = 0;
  #state: "running" | "finishing" | "stopped" = "running";
  #wake: (() => void) | undefined;

  constructor(engine: EtcdEngine, stream: Stream) {
    this.#engine = engine;
    this.#stream = stream;
  }

  onRequest(request: WatchRequest): void {
    if (request.createRequest !== undefined) this.#create(request.createRequest);
    if (request.cancelRequest !== undefined) this.#cancel(request.cancelRequest.watchId);
    if (request.progressRequest !== undefined) this.#progressAsked = true;
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The client sends no more: what it asked for is answered, then the stream ends. */
  finish(): void {
    this.#state = "finishing";
    this.wake();
  }

  stop(): void {
    this.#state = "stopped";
    this.wake();
  }

  /** Sends until there is no more to do. Rejects when the stream breaks. */
  async run(): Promise<void> {
    while (this.#state !== "stopped") {
      const messages = this.#collect();
      for (const message of messages) await this.#stream.send(message);
      if (messages.length > 0) continue;
      if (this.#state !== "running") return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What can be sent now: answers, then one message a watcher that is behind, then progress. */
  #collect(): WatchResponse[] {
    const messages = this.#answers;
    this.#answers = [];
    let behind = false;
    for (const watcher of this.#watchers.values()) {
      const message = this.#advance(watcher);
      if (message !== undefined) messages.push(message);
      behind ||= watcher.next <= this.#engine.durableRevision;
    }
    if (!this.#progressAsked || behind) return messages;
    this.#progressAsked = false;
    messages.push(this.#response({ watchId: NO_WATCHER }));
    return messages;
  }

  /** Moves a watcher through the history up to its next message. */
  #advance(watcher: Watcher): WatchResponse | undefined {
    const { keyspace } = this.#engine.core;
    while (watcher.next <= this.#engine.durableRevision) {
      if (watcher.next < keyspace.compactRevision) return this.#endCompacted(watcher);
      const commits = keyspace.commitsFrom(
        watcher.next,
        this.#engine.durableRevision,
        COMMITS_AT_ONCE,
      );
      const last = commits.at(-1);
      if (last === undefined) {
        // Revisions before the first commit have no changes.
        watcher.next = this.#engine.durableRevision + 1;
        return undefined;
      }
      watcher.next = last.revision + 1;
      const events = commits.flatMap((commit) => eventsOf(watcher, commit));
      if (events.length > 0) return this.#response({ watchId: watcher.id, events });
    }
    return undefined;
  }

  #endCompacted(watcher: Watcher): WatchResponse {
    this.#watchers.delete(watcher.id);
    const { compactRevision } = this.#engine.core.keyspace;
    return this.#response({
      watchId: watcher.id,
      canceled: true,
      compactRevision,
      cancelReason: "etcdserver: mvcc: required revision has been compacted",
    });
  }

  #create(request: WatchCreateRequest): void {
    const id = request.watchId === "0" ? this.#freeId() : request.watchId;
    const refused = this.#reasonToRefuse(id);
    if (refused !== undefined) {
      const answer = { watchId: id, created: true, canceled: true, cancelReason: refused };
      this.#answers.push(this.#response(answer));
      return;
    }
    const key = request.key.length === 0 ? FIRST_KEY : request.key;
    this.#watchers.set(id, {
      id,
      range: keyRange(key, request.rangeEnd),
      filters: request.filters,
      prevKv: request.prevKv,
      next: request.startRevision > 0 ? request.startRevision : this.#engine.durableRevision + 1,
    });
    this.#answers.push(this.#response({ watchId: id, created: true }));
  }

  #reasonToRefuse(id: string): string | undefined {
    if (this.#watchers.has(id)) return "mvcc: watcher duplicate ID provided on the WatchStream";
    if (this.#watchers.size >= WATCHERS_MAX) return "etcdserver: too many watchers on one stream";
    return undefined;
  }

  #freeId(): string {
    while (this.#watchers.has(String(this.#nextId))) this.#nextId += 1;
    return String(this.#nextId++);
  }

  #cancel(id: string): void {
    if (!this.#watchers.delete(id)) return;
    this.#answers.push(this.#response({ watchId: id, canceled: true }));
  }

  #response(given: Partial<WatchResponse>): WatchResponse {
    return make(WatchResponse, { header: this.#engine.header(), ...given });
  }
}

function eventsOf(watcher: Watcher, commit: Commit): Event[] {
  return commit.changes.flatMap((change) => {
    if (!inRange(watcher.range, change.now.key)) return [];
    const event = eventOf(watcher, change);
    return watcher.filters.includes(event.type === "PUT" ? "NOPUT" : "NODELETE") ? [] : [event];
  });
}

function eventOf(watcher: Watcher, change: Change): Event {
  const { now, before } = change;
  const prevKv = watcher.prevKv && before !== undefined ? toKeyValue(before) : undefined;
  return { type: now.version > 0 ? "PUT" : "DELETE", kv: toKeyValue(now), prevKv };
}
