/**
 * Watches of the etcd in memory: what a connection has asked to hear of, and how events come to it: in order,
 * without gap, and late where the server, the connection or the way is slow.
 */

import type { EtcdCore } from "../../services/etcd/index.ts";
import { inRange, type KeyRange } from "../../services/etcd/keys.ts";
import { byRevision } from "../../services/platform/adapters/coordinatorRequests.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { WatchEvent, WatchHandlers } from "../../services/platform/coordinator.ts";
import type { Event } from "../../services/platform/wire/etcd.ts";
import type { EtcdServerFaults } from "./fakeEtcdFaults.ts";
import { type EtcdJourney, journeyMs } from "./fakeEtcdJourney.ts";

/** What is wrong with one connection. */
export interface ConnectionFaults {
  isCut: boolean;
  isBlind: boolean;
  answersToLose: number;
  closed: boolean;
}

export interface OpenWatch {
  readonly range: KeyRange;
  readonly handlers: WatchHandlers;
  readonly connection: ConnectionFaults;
  /** The first revision that it has not heard of. */
  next: number;
  cancelled: boolean;
  /** Events are on their way to it. */
  isAwaiting: boolean;
}

/** What watches look at. */
export interface WatchedStore {
  readonly core: EtcdCore;
  readonly clock: Clock;
  /** Of the server; those of a connection are its own. */
  readonly faults: EtcdServerFaults;
  readonly watches: Set<OpenWatch>;
}

/** Orders what the watch has not heard of. What happens until it arrives comes with it: events are late, never early. */
export function deliverLater(store: WatchedStore, watch: OpenWatch, journey: EtcdJourney): void {
  if (watch.isAwaiting || watch.next > store.core.keyspace.revision) return;
  watch.isAwaiting = true;
  store.clock.after(store.faults.watchDelayMs + journeyMs(journey), () => {
    watch.isAwaiting = false;
    deliver(store, watch);
  });
}

/** Tells the watch what it has not heard of, unless a fault keeps it from hearing. */
export function deliver({ core, faults, watches }: WatchedStore, watch: OpenWatch): void {
  const { keyspace } = core;
  const { isCut, isBlind, closed } = watch.connection;
  if (faults.isDown || faults.isFrozen || watch.cancelled) return;
  if (isCut || isBlind || closed || watch.next > keyspace.revision) return;
  if (watch.next < keyspace.compactRevision) {
    watches.delete(watch);
    watch.handlers.onCompacted(keyspace.compactRevision);
    return;
  }
  const commits = keyspace.commitsFrom(watch.next, keyspace.revision, keyspace.historyCount);
  watch.next = keyspace.revision + 1;
  for (const commit of commits) {
    const events = commit.changes
      .filter((change) => inRange(watch.range, change.now.key))
      .map(
        (change): Event => ({
          type: change.now.version > 0 ? "PUT" : "DELETE",
          kv: { ...change.now, key: Uint8Array.from(change.now.key, (c) => c.charCodeAt(0)) },
          prevKv: undefined,
        }),
      );
    for (const group of byRevision(events, 0)) tell(watch, group.events, group.revision);
  }
}

/** A watch can be cancelled by what it is told. */
function tell(watch: OpenWatch, events: readonly WatchEvent[], revision: number): void {
  if (!watch.cancelled) watch.handlers.onEvents(events, revision);
}
