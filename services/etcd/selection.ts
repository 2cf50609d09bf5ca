/**
 * What a range request takes from the keys found: filters by revision, order, limit. etcd counts
 * the keys of the range before filters and limit, and sorts by another target than the key in
 * ascending order when no order is asked.
 */

import { unreachable } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import type { KeyValue, RangeRequest, RangeResponse } from "../platform/wire/etcd.ts";
import { keyBytes } from "./keys.ts";
import type { Version } from "./keyspace.ts";

/** The answer, without header. `found` is in order of the key. */
export function selectRange(request: RangeRequest, found: readonly Version[]): RangeResponse {
  const answer = { header: undefined, kvs: [], more: false, count: found.length };
  if (request.countOnly) return answer;
  const passed = sorted(
    request,
    found.filter((version) => passes(request, version)),
  );
  const limited = request.limit > 0 ? passed.slice(0, request.limit) : passed;
  return {
    ...answer,
    kvs: limited.map((version) => shown(request, version)),
    more: limited.length < passed.length,
  };
}

function passes(request: RangeRequest, version: Version): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (minModRevision > 0 && version.modRevision < minModRevision) return false;
  if (maxModRevision > 0 && version.modRevision > maxModRevision) return false;
  if (minCreateRevision > 0 && version.createRevision < minCreateRevision) return false;
  return maxCreateRevision <= 0 || version.createRevision <= maxCreateRevision;
}

function sorted(request: RangeRequest, versions: readonly Version[]): readonly Version[] {
  const { sortOrder, sortTarget } = request;
  if (sortTarget === "KEY" && sortOrder !== "DESCEND") return versions;
  const sign = sortOrder === "DESCEND" ? -1 : 1;
  return [...versions].sort(
    (a, b) => sign * (orderBy(sortTarget, a, b) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)),
  );
}

function orderBy(target: RangeRequest["sortTarget"], a: Version, b: Version): number {
  switch (target) {
    case "KEY":
      return 0;
    case "VERSION":
      return a.version - b.version;
    case "CREATE":
      return a.createRevision - b.createRevision;
    case "MOD":
      return a.modRevision - b.modRevision;
    case "VALUE":
      return compareBytes(a.value, b.value);
    default:
      return unreachable(target);
  }
}

function shown(request: RangeRequest, version: Version): KeyValue {
  const value = request.keysOnly ? new Uint8Array(0) : version.value;
  return { ...version, key: keyBytes(version.key), value };
}
