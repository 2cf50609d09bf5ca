/**
 * The conditions of a transaction. A condition on a range holds when it holds for every key in it;
 * a key that does not exist has revisions, version and lease 0, and no value compares with it.
 */

import { unreachable } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import type { Compare } from "../platform/wire/etcd.ts";
import { keyRange } from "./keys.ts";
import type { Keyspace, Version } from "./keyspace.ts";

const MISSING = { createRevision: 0, modRevision: 0, version: 0, lease: "0" } as const;

/** Whether the condition holds now. */
export function holds(compare: Compare, keyspace: Keyspace): boolean {
  const found = keyspace.range(keyRange(compare.key, compare.rangeEnd));
  if (found.length > 0)
    return found.every((version) => matches(compare, orderOf(compare, version)));
  // No byte string stands for a missing value, so etcd lets every compare of values fail.
  return compare.target !== "VALUE" && matches(compare, orderOfNumbers(compare, MISSING));
}

function matches(compare: Compare, order: number): boolean {
  switch (compare.result) {
    case "EQUAL":
      return order === 0;
    case "GREATER":
      return order > 0;
    case "LESS":
      return order < 0;
    case "NOT_EQUAL":
      return order !== 0;
    default:
      return unreachable(compare.result);
  }
}

/** Sign of "what is stored" minus "what the condition names". */
function orderOf(compare: Compare, version: Version): number {
  if (compare.target === "VALUE")
    return compareBytes(version.value, compare.value ?? new Uint8Array(0));
  return orderOfNumbers(compare, version);
}

type Numbers = Pick<Version, "createRevision" | "modRevision" | "version" | "lease">;

function orderOfNumbers(compare: Compare, stored: Numbers): number {
  switch (compare.target) {
    case "VERSION":
      return stored.version - (compare.version ?? 0);
    case "CREATE":
      return stored.createRevision - (compare.createRevision ?? 0);
    case "MOD":
      return stored.modRevision - (compare.modRevision ?? 0);
    case "LEASE":
      return Number(BigInt(stored.lease) - BigInt(compare.lease ?? "0"));
    case "VALUE":
      return 0;
    default:
      return unreachable(compare.target);
  }
}
