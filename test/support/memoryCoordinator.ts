/**
 * An etcd in memory behind the coordinator port: the embedded server's own core without log and
 * network, with the faults that etcd has shown. Passes the same conformance suite as the real
 * adapter. Several connections see one store, each with faults of its own.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import { type CoreLimits, EtcdCore } from "../../services/etcd/index.ts";
import { inRange, keyRange } from "../../services/etcd/keys.ts";
import {
  byRevision,
  fromKeyValue,
  fromTxn,
  prefixRange,
  toTxn,
  translateFailure,
} from "../../services/platform/adapters/coordinatorRequests.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Coordinator, Watch, WatchHandlers } from "../../services/platform/coordinator.ts";
import { RpcStatusError } from "../../services/platform/rpc.ts";
import { errorOfStatus } from "../../services/platform/rpcStatus.ts";
import { type Event, make, RangeRequest } from "../../services/platform/wire/etcd.ts";

const EXPIRY_TICK_MS = 50;
/** How long a call to a server that does not answer takes to fail. */
const TIMEOUT_MS = 1000;
const SECOND_MS = 1000;

export interface MemoryConnection extends Coordinator {
  /** No call gets through and no event comes, until `heal`. Calls fail after a second. */
  cut(): void;
  heal(): void;
  /** The next transactions happen, but their answers are lost. */
  loseAnswers(count: number): void;
  /** Watches of this connection show nothing until it is called with false again. */
  blindWatches(blind: boolean): void;
}

export interface MemoryEtcd {
  readonly core: EtcdCore;
  connect(): MemoryConnection;
  /** Ends a lease as an administrator, or a confused server, does. */
  revoke(leaseId: string): void;
  compact(revision: number): void;
}

interface OpenWatch {
  readonly prefix: string;
  readonly handlers: WatchHandlers;
  readonly connection: Faults;
  next: number;
  cancelled: boolean;
}

interface Faults {
  isCut: boolean;
  isBlind: boolean;
  answersToLose: number;
  closed: boolean;
}

/** A store at revision 1 whose leases run by this clock. */
export function createMemoryEtcd(clock: Clock, limits?: CoreLimits): MemoryEtcd {
  const core = new EtcdCore(limits);
  core.begin({ clusterId: "1", memberId: "2", leaseNext: 1000 });
  const watches = new Set<OpenWatch>();
  let isDelivering = false;

  const deliverSoon = (): void => {
    core.takeEffects();
    if (isDelivering) return;
    isDelivering = true;
    queueMicrotask(() => {
      isDelivering = false;
      for (const watch of [...watches]) deliver(core, watches, watch);
    });
  };
  const tick = (): void => {
    core.expire(clock.now());
    deliverSoon();
    clock.after(EXPIRY_TICK_MS, tick);
  };
  clock.after(EXPIRY_TICK_MS, tick);

  const act = <A>(decide: () => A): A => {
    try {
      return decide();
    } finally {
      deliverSoon();
    }
  };
  return {
    core,
    connect: () => connect({ core, clock, watches, deliverSoon }),
    revoke: (leaseId) => {
      act(() => void core.leaseRevoke({ ID: leaseId }, clock.now()));
    },
    compact: (revision) => {
      act(() => void core.compact({ revision, physical: false }, clock.now()));
    },
  };
}

interface Store {
  readonly core: EtcdCore;
  readonly clock: Clock;
  readonly watches: Set<OpenWatch>;
  readonly deliverSoon: () => void;
}

function connect(store: Store): MemoryConnection {
  const { core, clock, watches, deliverSoon } = store;
  const faults: Faults = { isCut: false, isBlind: false, answersToLose: 0, closed: false };

  const call = async <A>(decide: () => A): Promise<A> => {
    if (faults.closed) throw new AntipodeError("CANCELLED", "the connection is closed");
    if (faults.isCut) {
      await clock.sleep(TIMEOUT_MS);
      throw new AntipodeError("COORDINATOR_UNAVAILABLE", "etcd does not answer");
    }
    await Promise.resolve();
    const answer = attempt(decide);
    deliverSoon();
    await Promise.resolve();
    return answer;
  };
  return {
    get: (key) =>
      call(() => core.range(make(RangeRequest, prefixRange(key))).kvs.map(fromKeyValue)).then(
        (found) => found.find((entry) => entry.key === key),
      ),
    list: (prefix) =>
      call(() => core.range(make(RangeRequest, prefixRange(prefix)))).then(({ kvs }) => ({
        entries: kvs.map(fromKeyValue),
        revision: core.keyspace.revision,
      })),
    async transact(transaction) {
      const result = await call(() => fromTxn(core.txn(toTxn(transaction), clock.now())));
      if (faults.answersToLose === 0) return result;
      faults.answersToLose -= 1;
      throw new AntipodeError("COORDINATOR_UNAVAILABLE", "the answer was lost");
    },
    watch(prefix, fromRevision, handlers): Watch {
      const watch = { prefix, handlers, connection: faults, next: fromRevision, cancelled: false };
      watches.add(watch);
      deliverSoon();
      return {
        cancel() {
          watch.cancelled = true;
          watches.delete(watch);
        },
      };
    },
    grantLease: (ttlMs) =>
      call(() => core.leaseGrant({ TTL: Math.ceil(ttlMs / SECOND_MS), ID: "0" }, clock.now())).then(
        ({ ID, TTL }) => ({ id: ID, ttlMs: TTL * SECOND_MS }),
      ),
    renewLease: (id) =>
      call(() => core.leaseKeepAlive({ ID: id }, clock.now())).then(({ TTL }) =>
        TTL > 0 ? TTL * SECOND_MS : undefined,
      ),
    revokeLease: (id) =>
      call(() => {
        if (core.leases.get(id) !== undefined) core.leaseRevoke({ ID: id }, clock.now());
      }),
    close() {
      faults.closed = true;
      for (const watch of [...watches]) if (watch.connection === faults) watches.delete(watch);
      return Promise.resolve();
    },
    cut() {
      faults.isCut = true;
    },
    heal() {
      faults.isCut = false;
      deliverSoon();
    },
    loseAnswers(count) {
      faults.answersToLose = count;
    },
    blindWatches(blind) {
      faults.isBlind = blind;
      deliverSoon();
    },
  };
}

/** Fails as the real adapter does when the server refuses. */
function attempt<A>(decide: () => A): A {
  try {
    return decide();
  } catch (error) {
    if (!(error instanceof RpcStatusError)) throw error;
    throw translateFailure(errorOfStatus(error.statusCode, error.message, "memory"));
  }
}

function deliver(core: EtcdCore, watches: Set<OpenWatch>, watch: OpenWatch): void {
  const { keyspace } = core;
  const { isCut, isBlind, closed } = watch.connection;
  if (isCut || isBlind || closed || watch.next > keyspace.revision) return;
  if (watch.next < keyspace.compactRevision) {
    watches.delete(watch);
    watch.handlers.onCompacted(keyspace.compactRevision);
    return;
  }
  const { key, rangeEnd } = prefixRange(watch.prefix);
  const range = keyRange(key, rangeEnd);
  const commits = keyspace.commitsFrom(watch.next, keyspace.revision, keyspace.historyCount);
  watch.next = keyspace.revision + 1;
  for (const commit of commits) {
    const events = commit.changes
      .filter((change) => inRange(range, change.now.key))
      .map(
        (change): Event => ({
          type: change.now.version > 0 ? "PUT" : "DELETE",
          kv: { ...change.now, key: Uint8Array.from(change.now.key, (c) => c.charCodeAt(0)) },
          prevKv: undefined,
        }),
      );
    for (const group of byRevision(events, 0))
      if (!watch.cancelled) watch.handlers.onEvents(group.events, group.revision);
  }
}
