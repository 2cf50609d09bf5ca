/**
 * Typed access to the site's etcd: JSON records with their revisions, and `commit`, the only way in
 * which a leader writes. A commit names the records that it was decided on; it happens only if they
 * are unchanged and the leader still has its seat, so a leader that was replaced changes nothing.
 */

import { fromUtf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Term } from "../../platform/coordination/election.ts";
import {
  decodeRecord as decodeChecked,
  encodeRecord,
  type StoredRecord,
} from "../../platform/coordination/records.ts";
import type {
  Compare,
  Coordinator,
  KeyValue,
  Operation,
  TransactionResult,
} from "../../platform/coordinator.ts";

/** A record as it was read. */
export type Stored<T> = StoredRecord<T>;

function checkObject(value: unknown): object {
  if (typeof value !== "object" || value === null)
    throw new AntipodeError("COORDINATOR_CORRUPT", "the record is no object");
  return value;
}

/**
 * A record of a key-value pair.
 * @throws AntipodeError `COORDINATOR_CORRUPT` when the value is no JSON object
 */
export function decodeRecord<T>(entry: KeyValue): Stored<T> {
  return decodeChecked(entry, (value) => checkObject(value) as T);
}

/** The record under a key, or `undefined`. */
export async function readRecord<T>(
  coordinator: Coordinator,
  key: string,
): Promise<Stored<T> | undefined> {
  const entry = await coordinator.get(key);
  return entry === undefined ? undefined : decodeRecord<T>(entry);
}

/** All records below a prefix, in order of their keys. */
export async function listRecords<T>(
  coordinator: Coordinator,
  prefix: string,
): Promise<readonly Stored<T>[]> {
  const { entries } = await coordinator.list(prefix);
  return entries.map((entry) => decodeRecord<T>(entry));
}

/** Operation: writes a record, under a lease when one is given. */
export function putRecord(key: string, value: object, lease?: string): Operation {
  const bytes = encodeRecord(value);
  return lease === undefined
    ? { kind: "put", key, value: bytes }
    : { kind: "put", key, value: bytes, lease };
}

export const deleteKey = (key: string): Operation => ({ kind: "delete", key });
export const deletePrefix = (prefix: string): Operation => ({ kind: "deletePrefix", prefix });

/** Condition: the record is as it was read. */
export const unchanged = (stored: Stored<unknown>): Compare => ({
  kind: "modRevision",
  key: stored.key,
  equals: stored.modRevision,
});

/** Condition: there is no such key. */
export const absent = (key: string): Compare => ({ kind: "createRevision", key, equals: 0 });

/**
 * Carries out `then` if this leader has its seat and every condition of `when` holds.
 * @throws AntipodeError `STALE_EPOCH` without the seat, `COORDINATOR_CONFLICT` when a condition does
 *   not hold, `COORDINATOR_UNAVAILABLE` when it is not known whether it happened
 */
export async function commit(
  coordinator: Coordinator,
  term: Term,
  when: readonly Compare[],
  then: readonly Operation[],
): Promise<TransactionResult> {
  if (!term.isLeader()) throw staleTerm(term);
  const result = await coordinator.transact({
    when: [term.guard, ...when],
    then,
    otherwise: [{ kind: "get", key: term.guard.key }],
  });
  if (result.succeeded) return result;
  const seat = result.found[0]?.[0];
  if (!holdsGuard(term.guard, seat)) throw staleTerm(term);
  throw new AntipodeError(
    "COORDINATOR_CONFLICT",
    "a record was changed by somebody else at the same time",
    { keys: when.map((compare) => compare.key).join(" ") },
  );
}

function holdsGuard(guard: Compare, seat: KeyValue | undefined): boolean {
  if (guard.kind === "createRevision") return (seat?.createRevision ?? 0) === guard.equals;
  if (guard.kind === "modRevision") return (seat?.modRevision ?? 0) === guard.equals;
  return seat !== undefined && fromUtf8(seat.value) === fromUtf8(guard.equals);
}

/** The error of a leader that is one no more. */
export function staleTerm(term: Term): AntipodeError {
  return new AntipodeError("STALE_EPOCH", "this Cerebro is not the leader any more", {
    epoch: term.epoch,
  });
}
