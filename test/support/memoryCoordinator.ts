/**
 * An etcd in memory behind the coordinator port: the embedded server's own core without log and
 * network, with the faults that etcd has shown. Passes the same conformance suite as the real
 * adapter. Several connections see one store, each with faults of its own. Calls and events take no
 * virtual time unless a journey is given: then the effect is in the middle of a call, and what becomes of
 * its caller or of the server meanwhile finds a request or an answer on its way.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { CoreLimits, EtcdCore } from "../../services/etcd/index.ts";
import { keyRange } from "../../services/etcd/keys.ts";
import {
  fromKeyValue,
  fromTxn,
  prefixRange,
  toTxn,
  translateFailure,
} from "../../services/platform/adapters/coordinatorRequests.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type {
  Coordinator,
  Transaction,
  TransactionResult,
  Watch,
} from "../../services/platform/coordinator.ts";
import { RpcStatusError } from "../../services/platform/rpc.ts";
import { errorOfStatus } from "../../services/platform/rpcStatus.ts";
import { make, RangeRequest } from "../../services/platform/wire/etcd.ts";
import {
  type Ambiguity,
  type EtcdBackup,
  EtcdServerFaults,
  emptyCore,
  restoredCore,
} from "./fakeEtcdFaults.ts";
import { type EtcdJourney, journeyMs } from "./fakeEtcdJourney.ts";
import {
  type ConnectionFaults,
  deliver,
  deliverLater,
  type OpenWatch,
  type WatchedStore,
} from "./fakeEtcdWatches.ts";
import type { Undo } from "./fakeFault.ts";

const EXPIRY_TICK_MS = 50;
/** How long a call to a server that does not answer takes to fail. */
const TIMEOUT_MS = 1000;
const SECOND_MS = 1000;

export interface MemoryConnection extends Coordinator {
  /** @param onCarriedOut told when etcd carries it out, or refuses it, whoever hears of that */
  transact(
    transaction: Transaction,
    onCarriedOut?: (answer: TransactionResult) => void,
  ): Promise<TransactionResult>;
  /** No call gets through and no event comes, until `heal`. Calls fail after a second. */
  cut(): void;
  heal(): void;
  /** The next transactions happen, but their answers are lost. */
  loseAnswers(count: number): void;
  /** Watches of this connection show nothing until it is called with false again. */
  blindWatches(blind: boolean): void;
}

export interface MemoryEtcd {
  /** The server's core of now: another one after `restore` and `wipe`. */
  readonly core: EtcdCore;
  connect(): MemoryConnection;
  /** Ends a lease as an administrator, or a confused server, does. */
  revoke(leaseId: string): void;
  compact(revision: number): void;
  /** Compacts all history: a watch that is behind is told so, and must list again. */
  compactAll(): void;
  /** Leases end although they were renewed: a random `count` of those that live. @returns their ids */
  expireEarly(prng: Prng, count?: number): readonly string[];
  /** All live leases end at once, as after a thaw of etcd's leader. */
  revokeAll(): void;
  /** No lease ends, however late its renewal is; those that are over end after it. */
  holdExpiry(): Undo;
  /** Nobody gets an answer. Afterwards every lease has its full time again, as after a restart. */
  outage(): Undo;
  /**
   * Nobody gets an answer, but what was asked is carried out at the thaw, when its callers have long given
   * up. Leases whose time is over end then: before those requests or after, as the generator says.
   */
  freeze(prng: Prng): Undo;
  /** Transactions fail for their callers: some happened, some did not. */
  ambiguous(ambiguity: Ambiguity): Undo;
  /** Events come so much later, and all at once. */
  slowWatches(delayMs: number): Undo;
  backup(): EtcdBackup;
  /** The server comes back as it was at the backup: revisions and epochs go back, watches wait for the old ones. */
  restore(backup: EtcdBackup): void;
  /** The server comes back with nothing. */
  wipe(): void;
  /** Ends every fault of the server; those of connections, and what was revoked or lost, stay. */
  undoAll(): void;
}

export interface MemoryEtcdOptions {
  readonly limits?: CoreLimits;
  /** Time that messages take; none by default. */
  readonly journey?: EtcdJourney;
}

/** A store at revision 1 whose leases run by this clock. */
export function createMemoryEtcd(clock: Clock, options: MemoryEtcdOptions = {}): MemoryEtcd {
  const { limits, journey } = options;
  let life = 0;
  let isDelivering = false;
  const faults = new EtcdServerFaults();
  const store: Store = {
    core: emptyCore(limits, life),
    clock,
    faults,
    journey,
    watches: new Set(),
    deliverSoon,
  };
  const deliverAll = (): void => {
    isDelivering = false;
    for (const watch of [...store.watches]) deliver(store, watch);
  };
  function deliverSoon(): void {
    store.core.takeEffects();
    if (journey !== undefined) {
      for (const watch of store.watches) deliverLater(store, watch, journey);
      return;
    }
    if (isDelivering) return;
    isDelivering = true;
    if (faults.watchDelayMs > 0) clock.after(faults.watchDelayMs, deliverAll);
    else queueMicrotask(deliverAll);
  }
  const tick = (): void => {
    if (faults.expires) store.core.expire(clock.now());
    deliverSoon();
    clock.after(EXPIRY_TICK_MS, tick);
  };
  clock.after(EXPIRY_TICK_MS, tick);

  const act = (decide: () => void): void => {
    try {
      decide();
    } finally {
      deliverSoon();
    }
  };
  const revoke = (leaseId: string): void => {
    act(() => void store.core.leaseRevoke({ ID: leaseId }, clock.now()));
  };
  const compact = (revision: number): void => {
    act(() => void store.core.compact({ revision, physical: false }, clock.now()));
  };
  const liveLeases = (): string[] => store.core.leases.all().map((lease) => lease.id);
  const replace = (core: EtcdCore): void => {
    act(() => {
      store.core = core;
    });
  };
  return {
    get core() {
      return store.core;
    },
    connect: () => connect(store),
    revoke,
    compact,
    compactAll() {
      const { revision, compactRevision } = store.core.keyspace;
      if (revision > compactRevision) compact(revision);
    },
    expireEarly(prng, count = 1) {
      const live = liveLeases();
      const ended: string[] = [];
      while (ended.length < count && live.length > 0)
        ended.push(...live.splice(prng.below(live.length), 1));
      for (const id of ended) revoke(id);
      return ended;
    },
    revokeAll() {
      for (const id of liveLeases()) revoke(id);
    },
    holdExpiry: () => faults.holdExpiry(),
    outage: () =>
      faults.outage(() => {
        act(() => {
          store.core.leases.renewAll(clock.now());
        });
      }),
    freeze: (prng) =>
      faults.freeze((requests) => {
        act(() => {
          thaw(store, requests, prng);
        });
      }),
    ambiguous: (ambiguity) => faults.makeAmbiguous(ambiguity),
    slowWatches: (delayMs) =>
      faults.slowWatches(delayMs, () => {
        queueMicrotask(deliverAll);
      }),
    backup() {
      store.core.takeEffects();
      return store.core.contents();
    },
    restore(backup) {
      life += 1;
      replace(restoredCore(backup, { limits, life, nowMs: clock.now() }));
    },
    wipe() {
      life += 1;
      replace(emptyCore(limits, life));
    },
    undoAll() {
      faults.undoAll();
    },
  };
}

/** What a frozen server does first when it goes on: its late requests, or the leases that are over. */
function thaw(store: Store, requests: readonly (() => void)[], prng: Prng): void {
  const expire = (): void => {
    store.core.expire(store.clock.now());
  };
  const expiresFirst = prng.below(2) === 0;
  if (expiresFirst) expire();
  for (const request of requests) request();
  if (!expiresFirst) expire();
}

interface Store extends WatchedStore {
  core: EtcdCore;
  readonly journey: EtcdJourney | undefined;
  readonly deliverSoon: () => void;
}

function connect(store: Store): MemoryConnection {
  const { clock, watches, deliverSoon, journey } = store;
  const faults: ConnectionFaults = {
    isCut: false,
    isBlind: false,
    answersToLose: 0,
    closed: false,
  };

  const travel = async (): Promise<void> => {
    if (journey !== undefined) await clock.sleep(journeyMs(journey));
  };
  const travelBack = async (): Promise<void> => {
    await travel();
    if (journey === undefined || !(faults.isCut || store.faults.isDown)) return;
    await clock.sleep(TIMEOUT_MS);
    throw new AntipodeError("COORDINATOR_UNAVAILABLE", "the answer was lost on its way");
  };
  const call = async <A>(decide: () => A): Promise<A> => {
    if (faults.closed) throw new AntipodeError("CANCELLED", "the connection is closed");
    await travel();
    if (faults.isCut || store.faults.isDown || store.faults.isFrozen) {
      if (store.faults.isFrozen && !faults.isCut)
        store.faults.keepForThaw(() => {
          carryOutLate(decide);
        });
      await clock.sleep(TIMEOUT_MS);
      throw new AntipodeError("COORDINATOR_UNAVAILABLE", "etcd does not answer");
    }
    await Promise.resolve();
    try {
      return attempt(decide);
    } finally {
      deliverSoon();
      await Promise.resolve();
      await travelBack();
    }
  };
  return {
    get: (key) =>
      call(() => store.core.range(make(RangeRequest, prefixRange(key))).kvs.map(fromKeyValue)).then(
        (found) => found.find((entry) => entry.key === key),
      ),
    list: (prefix) =>
      call(() => ({
        entries: store.core.range(make(RangeRequest, prefixRange(prefix))).kvs.map(fromKeyValue),
        revision: store.core.keyspace.revision,
      })),
    async transact(transaction, onCarriedOut) {
      const fate = store.faults.fateOf();
      if (fate === "requestLost")
        throw new AntipodeError("COORDINATOR_UNAVAILABLE", "the request was lost");
      const result = await call(() => {
        const answer = fromTxn(store.core.txn(toTxn(transaction), clock.now()));
        onCarriedOut?.(answer);
        return answer;
      });
      if (faults.answersToLose === 0 && fate === "answered") return result;
      if (fate === "answered") faults.answersToLose -= 1;
      throw new AntipodeError("COORDINATOR_UNAVAILABLE", "the answer was lost");
    },
    watch(prefix, fromRevision, handlers): Watch {
      const { key, rangeEnd } = prefixRange(prefix);
      const range = keyRange(key, rangeEnd);
      const watch: OpenWatch = {
        ...{ range, handlers, connection: faults },
        ...{ next: fromRevision, cancelled: false, isAwaiting: false },
      };
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
      call(() =>
        store.core.leaseGrant({ TTL: Math.ceil(ttlMs / SECOND_MS), ID: "0" }, clock.now()),
      ).then(({ ID, TTL }) => ({ id: ID, ttlMs: TTL * SECOND_MS })),
    renewLease: (id) =>
      call(() => store.core.leaseKeepAlive({ ID: id }, clock.now())).then(({ TTL }) =>
        TTL > 0 ? TTL * SECOND_MS : undefined,
      ),
    revokeLease: (id) =>
      call(() => {
        if (store.core.leases.get(id) !== undefined)
          store.core.leaseRevoke({ ID: id }, clock.now());
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

/** A refusal finds nobody any more whom it could be told. */
function carryOutLate(decide: () => unknown): void {
  try {
    decide();
  } catch (error) {
    if (!(error instanceof RpcStatusError)) throw error;
  }
}
