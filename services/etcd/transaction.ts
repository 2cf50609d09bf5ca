/**
 * One request on the keyspace, as etcd carries it out: everything is checked before anything is
 * changed, the branches of nested transactions are chosen on the state before, and later operations
 * see earlier ones. The result is a list of new versions; nothing is changed here.
 */

import type {
  DeleteRangeRequest,
  DeleteRangeResponse,
  KeyValue,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from "../platform/wire/etcd.ts";
import { holds } from "./compare.ts";
import { inRange, type KeyRange, keyBytes, keyRange, keyText } from "./keys.ts";
import type { Keyspace, Version } from "./keyspace.ts";
import { refusal } from "./refusal.ts";
import { selectRange } from "./selection.ts";

/** Operations of a branch, and compares, that one transaction may have: etcd's default. */
const TRANSACTION_OPERATIONS_MAX = 128;
/** Nesting that is followed. etcd has no bound of its own; nobody nests by hand beyond two. */
const TRANSACTION_DEPTH_MAX = 8;
const NO_LEASE = "0";

/** A version as the wire shows it. */
export function toKeyValue(version: Version): KeyValue {
  return { ...version, key: keyBytes(version.key) };
}

/** A transaction with the branch that its compares choose, nested ones included. */
interface Planned {
  readonly succeeded: boolean;
  readonly steps: readonly { readonly op: RequestOp; readonly nested: Planned | undefined }[];
}

/** A request being carried out. Use once: check and run, then take `versions`. */
export class Transaction {
  /** What the request changes, in order; all carry revision + 1. */
  readonly versions: Version[] = [];
  readonly #keyspace: Keyspace;
  readonly #hasLease: (id: string) => boolean;
  readonly #drafts = new Map<string, Version>();

  constructor(keyspace: Keyspace, hasLease: (id: string) => boolean) {
    this.#keyspace = keyspace;
    this.#hasLease = hasLease;
  }

  /** @throws RpcStatusError when the request is refused; nothing is changed then */
  range(request: RangeRequest): RangeResponse {
    this.#checkRange(request);
    return this.#range(request);
  }

  /** @throws RpcStatusError */
  put(request: PutRequest): PutResponse {
    this.#checkPut(request);
    return this.#put(request);
  }

  /** @throws RpcStatusError */
  deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    if (request.key.length === 0) throw refusal.emptyKey();
    return this.#deleteRange(request);
  }

  /** @throws RpcStatusError */
  txn(request: TxnRequest): TxnResponse {
    checkShape(request, 0);
    const planned = this.#plan(request);
    this.#checkPlan(planned);
    return this.#run(planned);
  }

  #plan(request: TxnRequest): Planned {
    const succeeded = request.compare.every((compare) => holds(compare, this.#keyspace));
    const branch = succeeded ? request.success : request.failure;
    const steps = branch.map((op) => ({
      op,
      nested: op.requestTxn === undefined ? undefined : this.#plan(op.requestTxn),
    }));
    return { succeeded, steps };
  }

  #checkPlan(planned: Planned): void {
    for (const { op, nested } of planned.steps) {
      if (nested !== undefined) this.#checkPlan(nested);
      if (op.requestRange !== undefined) this.#checkRange(op.requestRange);
      if (op.requestPut !== undefined) this.#checkPut(op.requestPut);
    }
  }

  #checkRange(request: RangeRequest): void {
    if (request.key.length === 0) throw refusal.emptyKey();
    if (request.revision > this.#keyspace.revision) throw refusal.futureRevision();
    if (request.revision > 0 && request.revision < this.#keyspace.compactRevision)
      throw refusal.compacted();
  }

  #checkPut(request: PutRequest): void {
    if (request.key.length === 0) throw refusal.emptyKey();
    if (request.ignoreValue && request.value.length > 0) throw refusal.valueProvided();
    if (request.ignoreLease && request.lease !== NO_LEASE) throw refusal.leaseProvided();
    if (request.lease !== NO_LEASE && !this.#hasLease(request.lease)) throw refusal.leaseNotFound();
    if (!request.ignoreValue && !request.ignoreLease) return;
    if (this.#keyspace.get(keyText(request.key)) === undefined) throw refusal.keyNotFound();
  }

  #run(planned: Planned): TxnResponse {
    const responses = planned.steps.map(({ op, nested }): ResponseOp => {
      const responseRange = op.requestRange && this.#range(op.requestRange);
      const responsePut = op.requestPut && this.#put(op.requestPut);
      const responseDeleteRange = op.requestDeleteRange && this.#deleteRange(op.requestDeleteRange);
      const responseTxn = nested && this.#run(nested);
      return { responseRange, responsePut, responseDeleteRange, responseTxn };
    });
    return { header: undefined, succeeded: planned.succeeded, responses };
  }

  #range(request: RangeRequest): RangeResponse {
    const range = keyRange(request.key, request.rangeEnd);
    const inPast = request.revision > 0 && request.revision <= this.#keyspace.revision;
    const found = inPast ? this.#keyspace.range(range, request.revision) : this.#living(range);
    return selectRange(request, found);
  }

  #put(request: PutRequest): PutResponse {
    const key = keyText(request.key);
    const before = this.#get(key);
    const revision = this.#keyspace.revision + 1;
    const version = {
      key,
      value: request.ignoreValue && before !== undefined ? before.value : request.value.slice(),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      lease: request.ignoreLease && before !== undefined ? before.lease : request.lease,
    };
    this.#draft(version);
    const prevKv = request.prevKv && before !== undefined ? toKeyValue(before) : undefined;
    return { header: undefined, prevKv };
  }

  #deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    const found = this.#living(keyRange(request.key, request.rangeEnd));
    for (const version of found) this.delete(version.key);
    const prevKvs = request.prevKv ? found.map(toKeyValue) : [];
    return { header: undefined, deleted: found.length, prevKvs };
  }

  /** Deletes a key that is there; for leases that end. */
  delete(key: string): void {
    this.#draft({
      key,
      value: new Uint8Array(0),
      createRevision: 0,
      modRevision: this.#keyspace.revision + 1,
      version: 0,
      lease: NO_LEASE,
    });
  }

  #draft(version: Version): void {
    this.versions.push(version);
    this.#drafts.set(version.key, version);
  }

  #get(key: string): Version | undefined {
    const draft = this.#drafts.get(key);
    if (draft === undefined) return this.#keyspace.get(key);
    return draft.version > 0 ? draft : undefined;
  }

  /** What lives in the range, as the operations so far leave it. */
  #living(range: KeyRange): Version[] {
    const stored = this.#keyspace.range(range);
    if (this.#drafts.size === 0) return stored;
    const merged = stored.filter((version) => !this.#drafts.has(version.key));
    for (const draft of this.#drafts.values())
      if (draft.version > 0 && inRange(range, draft.key)) merged.push(draft);
    return merged.sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}

/** What may be said of a transaction without looking at the store. */
function checkShape(request: TxnRequest, depth: number): void {
  const branches = [request.success, request.failure];
  const most = Math.max(request.compare.length, ...branches.map((branch) => branch.length));
  if (most > TRANSACTION_OPERATIONS_MAX || depth > TRANSACTION_DEPTH_MAX)
    throw refusal.tooManyOps();
  for (const compare of request.compare) if (compare.key.length === 0) throw refusal.emptyKey();
  for (const op of branches.flat()) {
    const key = op.requestRange?.key ?? op.requestPut?.key ?? op.requestDeleteRange?.key;
    if (op.requestTxn !== undefined) checkShape(op.requestTxn, depth + 1);
    else if (key === undefined || key.length === 0) throw refusal.emptyKey();
  }
  for (const branch of branches) checkOverlap(branch);
}

/** What a branch touches: keys put, and ranges deleted. Alternatives of a nested one count both. */
interface Touched {
  readonly puts: string[];
  readonly deletes: KeyRange[];
}

/** A branch puts no key twice and deletes no key that it puts, nested branches included. */
function checkOverlap(branch: readonly RequestOp[]): Touched {
  const touched: Touched = { puts: [], deletes: [] };
  const seen = new Set<string>();
  for (const op of branch) {
    if (op.requestPut !== undefined) {
      const key = keyText(op.requestPut.key);
      if (seen.has(key)) throw refusal.duplicateKey();
      seen.add(key);
      touched.puts.push(key);
    } else if (op.requestDeleteRange !== undefined) {
      touched.deletes.push(keyRange(op.requestDeleteRange.key, op.requestDeleteRange.rangeEnd));
    } else if (op.requestTxn !== undefined) {
      const inner = [checkOverlap(op.requestTxn.success), checkOverlap(op.requestTxn.failure)];
      const keys = new Set(inner.flatMap((one) => one.puts));
      for (const key of keys) {
        if (seen.has(key)) throw refusal.duplicateKey();
        seen.add(key);
        touched.puts.push(key);
      }
      touched.deletes.push(...inner.flatMap((one) => one.deletes));
    }
  }
  // Of a nested transaction only one branch runs, so its own puts and the other's deletes may meet;
  // etcd allows that too. It is refused here: nobody needs it, and the check stays simple.
  for (const range of touched.deletes)
    if (touched.puts.some((key) => inRange(range, key))) throw refusal.duplicateKey();
  return touched;
}

/** Puts the header on an answer and on the answers inside it. */
export function withHeader(response: TxnResponse, header: ResponseHeader): TxnResponse {
  const responses = response.responses.map(
    (op): ResponseOp => ({
      responseRange: op.responseRange && { ...op.responseRange, header },
      responsePut: op.responsePut && { ...op.responsePut, header },
      responseDeleteRange: op.responseDeleteRange && { ...op.responseDeleteRange, header },
      responseTxn: op.responseTxn && withHeader(op.responseTxn, header),
    }),
  );
  return { ...response, header, responses };
}
