/**
 * The coordinator port's words in etcd's, and back. Pure. Keys are UTF-8 text; a prefix is the range
 * up to the prefix with its last byte raised.
 */

import { assert, present } from "../../base/assert.ts";
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AntipodeError, codeOf, grpcStatus, messageOf } from "../../base/errors.ts";
import type {
  Operation,
  Compare as PortCompare,
  KeyValue as PortKeyValue,
  Transaction,
  TransactionResult,
  WatchEvent,
} from "../coordinator.ts";
import {
  Compare,
  DeleteRangeRequest,
  type Event,
  type KeyValue,
  make,
  PutRequest,
  RangeRequest,
  RequestOp,
  type TxnRequest,
  type TxnResponse,
} from "../wire/etcd.ts";

/** etcd's "no end": every key from the given one on. */
const NO_END = new Uint8Array(1);

/** `key` and `range_end` of everything that begins with a prefix. */
export function prefixRange(prefix: string): { key: Uint8Array; rangeEnd: Uint8Array } {
  const key = utf8(prefix);
  if (key.length === 0) return { key: NO_END, rangeEnd: NO_END };
  const rangeEnd = key.slice();
  const last = rangeEnd.length - 1;
  // UTF-8 has no byte 0xff, so that the last byte can always be raised.
  assert((rangeEnd[last] ?? 255) < 255, "a prefix is UTF-8");
  rangeEnd[last] = (rangeEnd[last] ?? 0) + 1;
  return { key, rangeEnd };
}

export function toTxn(transaction: Transaction): TxnRequest {
  return {
    compare: transaction.when.map(toCompare),
    success: transaction.then.map(toOp),
    failure: (transaction.otherwise ?? []).map(toOp),
  };
}

function toCompare(compare: PortCompare): Compare {
  const key = utf8(compare.key);
  switch (compare.kind) {
    case "createRevision":
      return make(Compare, { key, target: "CREATE", createRevision: compare.equals });
    case "modRevision":
      return make(Compare, { key, target: "MOD", modRevision: compare.equals });
    case "value":
      return make(Compare, { key, target: "VALUE", value: compare.equals });
  }
}

function toOp(operation: Operation): RequestOp {
  switch (operation.kind) {
    case "put": {
      const { key, value, lease = "0" } = operation;
      return make(RequestOp, { requestPut: make(PutRequest, { key: utf8(key), value, lease }) });
    }
    case "delete": {
      const request = make(DeleteRangeRequest, { key: utf8(operation.key) });
      return make(RequestOp, { requestDeleteRange: request });
    }
    case "deletePrefix": {
      const request = make(DeleteRangeRequest, prefixRange(operation.prefix));
      return make(RequestOp, { requestDeleteRange: request });
    }
    case "get":
      return make(RequestOp, { requestRange: make(RangeRequest, { key: utf8(operation.key) }) });
    case "list": {
      const request = make(RangeRequest, prefixRange(operation.prefix));
      return make(RequestOp, { requestRange: request });
    }
  }
}

export function fromTxn(response: TxnResponse): TransactionResult {
  return {
    succeeded: response.succeeded,
    revision: revisionOf(response),
    found: response.responses.map((one) => (one.responseRange?.kvs ?? []).map(fromKeyValue)),
  };
}

/** The store's revision that an answer carries. */
export function revisionOf(response: {
  readonly header: { revision: number } | undefined;
}): number {
  return present(response.header, "etcd's answers carry a header").revision;
}

/** Copies the value: what was decoded is a view of the message that it came in. */
export function fromKeyValue(stored: KeyValue): PortKeyValue {
  const { createRevision, modRevision, version } = stored;
  const lease = stored.lease === "0" ? "" : stored.lease;
  const key = fromUtf8(stored.key);
  return { key, value: stored.value.slice(), createRevision, modRevision, version, lease };
}

/** The events of one message by revision, in order; those below `from` are left out. */
export function byRevision(
  events: readonly Event[],
  from: number,
): readonly { readonly revision: number; readonly events: readonly WatchEvent[] }[] {
  const groups: { revision: number; events: WatchEvent[] }[] = [];
  for (const event of events) {
    const stored = present(event.kv, "an event carries its key");
    const revision = stored.modRevision;
    if (revision < from) continue;
    const translated: WatchEvent =
      event.type === "PUT"
        ? { kind: "put", entry: fromKeyValue(stored) }
        : { kind: "delete", key: fromUtf8(stored.key), revision };
    const last = groups.at(-1);
    if (last?.revision === revision) last.events.push(translated);
    else groups.push({ revision, events: [translated] });
  }
  return groups;
}

/** Failures after which the same request can be sent to another member. */
export function isTransient(error: unknown): boolean {
  const code = codeOf(error);
  return code === "PEER_UNREACHABLE" || code === "DEADLINE_EXCEEDED";
}

/** True when the request provably never reached a server. */
export function wasNotSent(error: unknown): boolean {
  if (!(error instanceof AntipodeError) || error.code !== "PEER_UNREACHABLE") return false;
  const text = String(error.details["grpcMessage"] ?? "");
  return /^(No connection established|Name resolution failed)/.test(text);
}

/** What the port promises for a failure of a call. */
export function translateFailure(error: unknown): Error {
  if (!(error instanceof AntipodeError))
    return error instanceof Error ? error : new AntipodeError("INTERNAL", messageOf(error));
  if (isTransient(error)) return unavailable(error);
  const { grpcStatus: status, grpcMessage } = error.details;
  if (error.code !== "PEER_REFUSED") return error;
  const reason = String(grpcMessage);
  if (status === grpcStatus.notFound && reason.includes("lease not found"))
    return new AntipodeError("COORDINATOR_CONFLICT", "the lease is gone", { reason: "leaseGone" });
  if (status === grpcStatus.invalidArgument)
    return new AntipodeError("INVALID_ARGUMENT", reason, {}, error);
  return unavailable(error);
}

function unavailable(cause: AntipodeError): AntipodeError {
  const message = `etcd does not answer: ${cause.message}`;
  return new AntipodeError("COORDINATOR_UNAVAILABLE", message, {}, cause);
}
