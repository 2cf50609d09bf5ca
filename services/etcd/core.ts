/**
 * The embedded server's decisions: request in, answer and effects out, synchronous and
 * deterministic, so that the simulator runs the same code. Time is a parameter.
 *
 * A request changes the state in memory at once and leaves the effects in an outbox; whoever drives
 * the core makes them durable before any answer leaves (engine.ts). Recovery feeds the same effects
 * back through `replay`.
 *
 * Invariants: C1 the state is exactly the effects in order; C2 a refused request has no effect;
 * C3 a granted lease lives for its TTL after each renewal; C4 history is bounded by compaction.
 */

import { assert, unreachable } from "../base/assert.ts";
import type { MonotonicMs } from "../base/ids.ts";
import { MIB } from "../base/units.ts";
import type {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  ResponseHeader,
  TxnRequest,
  TxnResponse,
} from "../platform/wire/etcd.ts";
import { keyBytes } from "./keys.ts";
import { Keyspace, type Version } from "./keyspace.ts";
import { Leases } from "./leases.ts";
import type { LogRecord, Origin } from "./records.ts";
import { refusal } from "./refusal.ts";
import { Transaction, withHeader } from "./transaction.ts";

/** Bounds of a core; the defaults serve a site, smaller ones serve tests. */
export interface CoreLimits {
  /** Commits kept for watches; twice as many trigger a compaction. */
  readonly historyCommitsMin: number;
  /** Approximate bytes of history that trigger a compaction to half. */
  readonly historyBytesMax: number;
  /** Approximate bytes of all versions; more is refused. */
  readonly sizeBytesMax: number;
}

export const CORE_LIMITS: CoreLimits = {
  historyCommitsMin: 10_000,
  historyBytesMax: 16 * MIB,
  sizeBytesMax: 256 * MIB,
};

/** etcd's own bound for a TTL. */
const TTL_SECONDS_MAX = 9_000_000_000;
/** An id this far above the next one was chosen by a client, not by us. */
const LEASE_IDS_AHEAD_MAX = 1_000_000;
const SECOND_MS = 1000;
const TERM = "1";

export class EtcdCore {
  readonly keyspace = new Keyspace();
  readonly leases = new Leases();
  readonly #limits: CoreLimits;
  #origin: Origin | undefined;
  #outbox: LogRecord[] = [];

  constructor(limits: CoreLimits = CORE_LIMITS) {
    this.#limits = limits;
  }

  /** Names a new server. Its first effect. */
  begin(origin: Origin): void {
    assert(this.#origin === undefined, "a server is named once");
    this.#effect({ kind: "origin", ...origin }, 0 as MonotonicMs);
  }

  /** Whether the core has a name: false for an empty folder. */
  get begun(): boolean {
    return this.#origin !== undefined;
  }

  header(): ResponseHeader {
    const { clusterId = "0", memberId = "0" } = this.#origin ?? {};
    return { clusterId, memberId, revision: this.keyspace.revision, raftTerm: TERM };
  }

  /** The effects since the last call, to be made durable together. */
  takeEffects(): readonly LogRecord[] {
    const effects = this.#outbox;
    this.#outbox = [];
    return effects;
  }

  /** @throws RpcStatusError, here and in every request below */
  range(request: RangeRequest): RangeResponse {
    return { ...this.#transaction().range(request), header: this.header() };
  }

  put(request: PutRequest, now: MonotonicMs): PutResponse {
    this.#checkSpace();
    const transaction = this.#transaction();
    const response = transaction.put(request);
    this.#commit(transaction.versions, now);
    return { ...response, header: this.header() };
  }

  deleteRange(request: DeleteRangeRequest, now: MonotonicMs): DeleteRangeResponse {
    const transaction = this.#transaction();
    const response = transaction.deleteRange(request);
    this.#commit(transaction.versions, now);
    return { ...response, header: this.header() };
  }

  txn(request: TxnRequest, now: MonotonicMs): TxnResponse {
    const transaction = this.#transaction();
    const response = transaction.txn(request);
    if (transaction.versions.some((version) => version.version > 0)) this.#checkSpace();
    this.#commit(transaction.versions, now);
    return withHeader(response, this.header());
  }

  compact(request: CompactionRequest, now: MonotonicMs): CompactionResponse {
    if (request.revision > this.keyspace.revision) throw refusal.futureRevision();
    if (request.revision <= this.keyspace.compactRevision) throw refusal.compacted();
    this.#effect({ kind: "compact", revision: request.revision }, now);
    return { header: this.header() };
  }

  leaseGrant(request: LeaseGrantRequest, now: MonotonicMs): LeaseGrantResponse {
    if (request.TTL > TTL_SECONDS_MAX) throw refusal.leaseTooLong();
    if (request.ID !== "0" && this.leases.get(request.ID) !== undefined)
      throw refusal.leaseExists();
    const id = request.ID === "0" ? this.#freeLeaseId() : request.ID;
    const ttlSeconds = Math.max(1, request.TTL);
    this.#effect({ kind: "grant", id, ttlSeconds }, now);
    return { header: this.header(), ID: id, TTL: ttlSeconds, error: "" };
  }

  leaseRevoke(request: LeaseRevokeRequest, now: MonotonicMs): LeaseRevokeResponse {
    if (this.leases.get(request.ID) === undefined) throw refusal.leaseNotFound();
    this.#revoke(request.ID, now);
    return { header: this.header() };
  }

  /** A lease that is gone answers with TTL 0, it is no error. */
  leaseKeepAlive(request: LeaseKeepAliveRequest, now: MonotonicMs): LeaseKeepAliveResponse {
    return { header: this.header(), ID: request.ID, TTL: this.leases.renew(request.ID, now) };
  }

  /** A lease that is gone answers with TTL -1. */
  leaseTimeToLive(request: LeaseTimeToLiveRequest, now: MonotonicMs): LeaseTimeToLiveResponse {
    const lease = this.leases.get(request.ID);
    if (lease === undefined)
      return { header: this.header(), ID: request.ID, TTL: -1, grantedTTL: 0, keys: [] };
    const TTL = Math.max(0, Math.floor((lease.expiresMs - now) / SECOND_MS));
    const keys = request.keys ? [...lease.keys].sort().map(keyBytes) : [];
    return { header: this.header(), ID: request.ID, TTL, grantedTTL: lease.ttlSeconds, keys };
  }

  leaseLeases(): LeaseLeasesResponse {
    return { header: this.header(), leases: this.leases.all().map(({ id }) => ({ ID: id })) };
  }

  /** Ends the leases whose time is over. */
  expire(now: MonotonicMs): void {
    for (const lease of this.leases.expired(now)) this.#revoke(lease.id, now);
  }

  /** Takes an effect from the log; `now` is when the leases begin to run. */
  replay(record: LogRecord, now: MonotonicMs): void {
    switch (record.kind) {
      case "origin": {
        const { clusterId, memberId, leaseNext } = record;
        this.#origin = { clusterId, memberId, leaseNext };
        return;
      }
      case "base":
        this.keyspace.restore(record.versions, record.compactRevision, record.revision);
        for (const version of record.versions) this.#attach(version);
        return;
      case "commit":
        this.keyspace.commit(record.revision, record.versions);
        for (const version of record.versions) this.#attach(version);
        return;
      case "grant":
        this.leases.grant(record.id, record.ttlSeconds, now);
        this.#skipLeaseId(record.id);
        return;
      case "revoke":
        this.leases.revoke(record.id);
        return;
      case "compact":
        this.keyspace.compact(record.revision);
        return;
      default:
        unreachable(record);
    }
  }

  /** The whole state as effects on an empty core: what a snapshot holds. */
  contents(): readonly LogRecord[] {
    assert(this.#origin !== undefined, "only a named server has a snapshot");
    assert(this.#outbox.length === 0, "a snapshot holds what is in the log");
    const { base, commits } = this.keyspace.contents();
    const { compactRevision, revision } = this.keyspace;
    return [
      { kind: "origin", ...this.#origin },
      ...this.leases
        .all()
        .map(({ id, ttlSeconds }): LogRecord => ({ kind: "grant", id, ttlSeconds })),
      { kind: "base", revision: revision - commits.length, compactRevision, versions: base },
      ...commits.map(
        (commit): LogRecord => ({
          kind: "commit",
          revision: commit.revision,
          versions: commit.changes.map((change) => change.now),
        }),
      ),
    ];
  }

  /** A key of the past may name a lease that has ended since; a living key never does. */
  #attach(version: Version): void {
    if (version.lease !== "0" && this.leases.get(version.lease) === undefined)
      this.leases.attach({ ...version, lease: "0" });
    else this.leases.attach(version);
  }

  #effect(record: LogRecord, now: MonotonicMs): void {
    this.replay(record, now);
    this.#outbox.push(record);
  }

  #transaction(): Transaction {
    return new Transaction(this.keyspace, (id) => this.leases.get(id) !== undefined);
  }

  #checkSpace(): void {
    if (this.keyspace.sizeBytes > this.#limits.sizeBytesMax) throw refusal.noSpace();
  }

  #commit(versions: readonly Version[], now: MonotonicMs): void {
    if (versions.length === 0) return;
    this.#effect({ kind: "commit", revision: this.keyspace.revision + 1, versions }, now);
    this.#boundHistory(now);
  }

  #boundHistory(now: MonotonicMs): void {
    const { historyCommitsMin, historyBytesMax } = this.#limits;
    const { historyCount, historyBytes, revision } = this.keyspace;
    if (historyCount <= 2 * historyCommitsMin && historyBytes <= historyBytesMax) return;
    let drop = Math.max(0, historyCount - historyCommitsMin);
    let bytes = historyBytes;
    for (let i = 0; i < drop; i++) bytes -= this.keyspace.oldestCommitBytes(i);
    while (bytes > historyBytesMax / 2 && drop < historyCount - 1)
      bytes -= this.keyspace.oldestCommitBytes(drop++);
    const target = revision - historyCount + 1 + drop;
    if (target > this.keyspace.compactRevision)
      this.#effect({ kind: "compact", revision: target }, now);
  }

  #revoke(id: string, now: MonotonicMs): void {
    const transaction = this.#transaction();
    for (const key of [...(this.leases.get(id)?.keys ?? [])].sort()) transaction.delete(key);
    this.#commit(transaction.versions, now);
    this.#effect({ kind: "revoke", id }, now);
  }

  #freeLeaseId(): string {
    assert(this.#origin !== undefined, "only a named server grants leases");
    let id = this.#origin.leaseNext;
    while (this.leases.get(String(id)) !== undefined) id += 1;
    return String(id);
  }

  /** Ids that the server chose are not chosen again, whatever happened to their leases. */
  #skipLeaseId(id: string): void {
    const origin = this.#origin;
    if (origin === undefined) return;
    const ahead = Number(id) - origin.leaseNext;
    if (ahead < 0 || ahead > LEASE_IDS_AHEAD_MAX) return;
    this.#origin = { ...origin, leaseNext: Number(id) + 1 };
  }
}
