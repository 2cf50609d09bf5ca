/**
 * JSON records in etcd, checked on the way in: another version, a person or a bug may have written
 * them. A change is a transaction on the revision that was read, tried again when somebody was
 * faster, a bounded number of times.
 */

import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Compare, Coordinator, KeyValue, Operation } from "../coordinator.ts";

/** Attempts of `readModifyWrite`; each loses to somebody who made progress. */
const CHANGE_ATTEMPTS_MAX = 16;

/**
 * Turns parsed JSON into a record.
 * @throws AntipodeError, or any Error that says what is wrong
 */
export type CheckRecord<T> = (value: unknown) => T;

/** A record with etcd's bookkeeping. */
export interface StoredRecord<T> {
  readonly key: string;
  readonly value: T;
  readonly createRevision: number;
  readonly modRevision: number;
}

/** What a put stores. Undefined fields are left out, as JSON does. */
export function encodeRecord(value: unknown): Uint8Array {
  return utf8(JSON.stringify(value));
}

/** @throws AntipodeError `COORDINATOR_CORRUPT` when it is no JSON or the check refuses it */
export function decodeRecord<T>(entry: KeyValue, check: CheckRecord<T>): StoredRecord<T> {
  const { key, createRevision, modRevision } = entry;
  try {
    const value = check(JSON.parse(fromUtf8(entry.value)));
    return { key, value, createRevision, modRevision };
  } catch (cause) {
    const message = `the record ${key} is not what it should be`;
    throw new AntipodeError("COORDINATOR_CORRUPT", message, { key, modRevision }, cause);
  }
}

/** @throws AntipodeError `COORDINATOR_UNAVAILABLE`, `COORDINATOR_CORRUPT` */
export async function readRecord<T>(
  coordinator: Coordinator,
  key: string,
  check: CheckRecord<T>,
): Promise<StoredRecord<T> | undefined> {
  const entry = await coordinator.get(key);
  return entry && decodeRecord(entry, check);
}

/** All records below a prefix with the revision of the reading. */
export async function listRecords<T>(
  coordinator: Coordinator,
  prefix: string,
  check: CheckRecord<T>,
): Promise<{ readonly records: readonly StoredRecord<T>[]; readonly revision: number }> {
  const { entries, revision } = await coordinator.list(prefix);
  return { records: entries.map((entry) => decodeRecord(entry, check)), revision };
}

export interface Change<T> {
  readonly key: string;
  readonly check: CheckRecord<T>;
  /** The new value, or `undefined` to leave the record as it is. Called again for each attempt. */
  readonly change: (before: T | undefined) => T | undefined;
  /** Further conditions, e.g. a leader's guard. */
  readonly guards?: readonly Compare[];
  /** Further operations of the same transaction. */
  readonly also?: readonly Operation[];
}

export type ChangeOutcome<T> =
  | { readonly kind: "written"; readonly value: T; readonly revision: number }
  | { readonly kind: "unchanged"; readonly value: T | undefined }
  /** A guard does not hold: nothing was written, and trying again does not help. */
  | { readonly kind: "guarded" };

/**
 * Reads a record, decides, and writes if nobody changed it meanwhile.
 * @throws AntipodeError `COORDINATOR_CONFLICT` when others were faster every time;
 *   `COORDINATOR_UNAVAILABLE`: it may have been written
 */
export async function readModifyWrite<T>(
  coordinator: Coordinator,
  wanted: Change<T>,
): Promise<ChangeOutcome<T>> {
  const { key, check, guards = [], also = [] } = wanted;
  let entry = await coordinator.get(key);
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS_MAX; attempt++) {
    const before = entry && decodeRecord(entry, check);
    const value = wanted.change(before?.value);
    if (value === undefined) return { kind: "unchanged", value: before?.value };
    const seen = before?.modRevision ?? 0;
    const result = await coordinator.transact({
      when: [{ kind: "modRevision", key, equals: seen }, ...guards],
      then: [{ kind: "put", key, value: encodeRecord(value) }, ...also],
      otherwise: [{ kind: "get", key }],
    });
    if (result.succeeded) return { kind: "written", value, revision: result.revision };
    entry = result.found[0]?.[0];
    if ((entry?.modRevision ?? 0) === seen) return { kind: "guarded" };
  }
  throw new AntipodeError("COORDINATOR_CONFLICT", `${key} changed faster than it could be read`, {
    key,
    attempts: CHANGE_ATTEMPTS_MAX,
  });
}
