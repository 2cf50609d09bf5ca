/**
 * What the embedded server writes to its log: the effects of requests, not the requests, so that
 * recovery needs no decision. One batch of records is one checksummed frame (log.ts); a snapshot is
 * a sequence of the same records that begins with `origin`.
 */

import { field, type Infer, message } from "../base/wire.ts";
import { keyBytes, keyText } from "./keys.ts";
import type { Version } from "./keyspace.ts";

const StoredVersion = message("antipode.etcd.v1.StoredVersion", {
  key: field.bytes(1),
  value: field.bytes(2),
  createRevision: field.uint64(3),
  modRevision: field.uint64(4),
  version: field.uint64(5),
  lease: field.decimal(6, "int64"),
});
type StoredVersion = Infer<typeof StoredVersion>;

/** Who the server is: made once when its folder is made, so that a wiped store is told apart. */
const Origin = message("antipode.etcd.v1.Origin", {
  clusterId: field.decimal(1, "uint64"),
  memberId: field.decimal(2, "uint64"),
  /** The id that the next lease gets. Starts at random: a wiped store never gives an id again. */
  leaseNext: field.uint64(3),
});
export type Origin = Infer<typeof Origin>;

const CommitRecord = message("antipode.etcd.v1.CommitRecord", {
  revision: field.uint64(1),
  versions: field.repeated(field.message(2, StoredVersion)),
});

/** The versions below the history of a snapshot. */
const BaseRecord = message("antipode.etcd.v1.BaseRecord", {
  revision: field.uint64(1),
  compactRevision: field.uint64(2),
  versions: field.repeated(field.message(3, StoredVersion)),
});

const GrantRecord = message("antipode.etcd.v1.GrantRecord", {
  id: field.decimal(1, "int64"),
  ttlSeconds: field.uint64(2),
});
const RevokeRecord = message("antipode.etcd.v1.RevokeRecord", { id: field.decimal(1, "int64") });
const CompactRecord = message("antipode.etcd.v1.CompactRecord", { revision: field.uint64(1) });

/** Exactly one member is present. */
const StoredRecord = message("antipode.etcd.v1.StoredRecord", {
  origin: field.message(1, Origin),
  base: field.message(2, BaseRecord),
  commit: field.message(3, CommitRecord),
  grant: field.message(4, GrantRecord),
  revoke: field.message(5, RevokeRecord),
  compact: field.message(6, CompactRecord),
});
const StoredBatch = message("antipode.etcd.v1.StoredBatch", {
  records: field.repeated(field.message(1, StoredRecord)),
});
type StoredRecord = Infer<typeof StoredRecord>;

/** An effect on the state; the state after a crash is the effects in order. */
export type LogRecord =
  | ({ readonly kind: "origin" } & Origin)
  | {
      readonly kind: "base";
      readonly revision: number;
      readonly compactRevision: number;
      readonly versions: readonly Version[];
    }
  | { readonly kind: "commit"; readonly revision: number; readonly versions: readonly Version[] }
  | { readonly kind: "grant"; readonly id: string; readonly ttlSeconds: number }
  | { readonly kind: "revoke"; readonly id: string }
  | { readonly kind: "compact"; readonly revision: number };

const store = (version: Version): StoredVersion => ({ ...version, key: keyBytes(version.key) });

/** Copies the value: what was decoded is a view of the file that was read. */
const load = (stored: StoredVersion): Version => ({
  ...stored,
  key: keyText(stored.key),
  value: stored.value.slice(),
});

const NONE: StoredRecord = StoredRecord.decode(new Uint8Array(0));

function toStored(record: LogRecord): StoredRecord {
  switch (record.kind) {
    case "origin":
      return { ...NONE, origin: record };
    case "base":
      return { ...NONE, base: { ...record, versions: record.versions.map(store) } };
    case "commit":
      return { ...NONE, commit: { ...record, versions: record.versions.map(store) } };
    case "grant":
      return { ...NONE, grant: record };
    case "revoke":
      return { ...NONE, revoke: record };
    case "compact":
      return { ...NONE, compact: record };
  }
}

function fromStored(stored: StoredRecord): LogRecord | undefined {
  if (stored.origin !== undefined) return { kind: "origin", ...stored.origin };
  if (stored.base !== undefined)
    return { kind: "base", ...stored.base, versions: stored.base.versions.map(load) };
  if (stored.commit !== undefined)
    return { kind: "commit", ...stored.commit, versions: stored.commit.versions.map(load) };
  if (stored.grant !== undefined) return { kind: "grant", ...stored.grant };
  if (stored.revoke !== undefined) return { kind: "revoke", ...stored.revoke };
  if (stored.compact !== undefined) return { kind: "compact", ...stored.compact };
  return undefined;
}

/** The payload of a frame. */
export function encodeBatch(records: readonly LogRecord[]): Uint8Array {
  return StoredBatch.encode({ records: records.map(toStored) });
}

/**
 * Inverse of `encodeBatch`.
 * @returns `undefined` for a record that this version does not know
 * @throws WireError on bytes that are no batch
 */
export function decodeBatch(payload: Uint8Array): readonly LogRecord[] | undefined {
  const records: LogRecord[] = [];
  for (const stored of StoredBatch.decode(payload).records) {
    const record = fromStored(stored);
    if (record === undefined) return undefined;
    records.push(record);
  }
  return records;
}
