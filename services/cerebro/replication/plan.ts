/**
 * What a replication job has to do, as pure functions: which recovery point both sites have, what a
 * vDisk's base is, and how the differing subtrees are bundled into tasks.
 */

import { assert } from "../../base/assert.ts";
import type { RecoveryPointDisk, RecoveryPointRecord } from "../../base/siteRecords.ts";
import { CHUNK_SIZE_BYTES, NODE_FANOUT } from "../../base/units.ts";
import { CHANGED_SHARE_EXPECTED, TASK_ADDRESS_BYTES_MIN } from "../limits.ts";
import type { SubtreeRecord } from "../state/records.ts";

/** A recovery point that the target holds: its id and its roots. */
export interface TargetPoint {
  readonly id: string;
  readonly roots: readonly string[];
}

/** Does the target's record of a point name the same roots as ours? A point never changes (P3). */
function agrees(own: RecoveryPointRecord, target: TargetPoint): boolean {
  return own.disks.every((disk) => disk.root === "" || target.roots.includes(disk.root));
}

/**
 * The newest recovery point that both sites hold: first along the lineage of the point to replicate,
 * then any other of the domain, newest first.
 * @param local points of the domain at the source, in order of their creation
 * @param excluded points that turned out to be incomplete at the target
 */
export function chooseBase(
  point: RecoveryPointRecord,
  local: readonly RecoveryPointRecord[],
  target: readonly TargetPoint[],
  excluded: readonly string[],
): RecoveryPointRecord | undefined {
  const held = new Map(target.map((entry) => [entry.id, entry]));
  const usable = (candidate: RecoveryPointRecord): boolean => {
    const there = held.get(candidate.id);
    return (
      candidate.id !== point.id &&
      !excluded.includes(candidate.id) &&
      there !== undefined &&
      agrees(candidate, there)
    );
  };
  const byId = new Map(local.map((entry) => [entry.id, entry]));
  const seen = new Set<string>();
  let ancestor = byId.get(point.parentId);
  while (ancestor !== undefined && !seen.has(ancestor.id)) {
    if (usable(ancestor)) return ancestor;
    seen.add(ancestor.id);
    ancestor = byId.get(ancestor.parentId);
  }
  return local.findLast(usable);
}

/**
 * The root at the base that a vDisk's changes are counted from: the same vDisk, or the one of the
 * same name (after a failover the clone has a new identity), of the same size.
 */
export function baseRootOf(disk: RecoveryPointDisk, base: RecoveryPointRecord | undefined): string {
  const same =
    base?.disks.find((other) => other.vdiskId === disk.vdiskId) ??
    base?.disks.find((other) => other.vdiskName === disk.vdiskName);
  return same !== undefined && same.sizeBytes === disk.sizeBytes ? same.root : "";
}

/** Address space below a node, clipped to the vDisk. */
export function addressBytesOf(subtree: SubtreeRecord, sizeBytes: number): number {
  const width = CHUNK_SIZE_BYTES * NODE_FANOUT ** subtree.level;
  return Math.max(0, Math.min(width, sizeBytes - subtree.index * width));
}

/**
 * What a subtree counts for when work is shared out: its address space, or, where a base is known, the part
 * of it that is expected to have changed. Wrong guesses cost balance between workers, nothing else.
 */
function weightOf(subtree: SubtreeRecord, sizeBytes: number): number {
  const bytes = addressBytesOf(subtree, sizeBytes);
  return subtree.base === "" ? bytes : bytes * CHANGED_SHARE_EXPECTED;
}

/**
 * Bundles subtrees, in order of place, into at most `bundlesMax` tasks of about equal weight: a small
 * increment is one task, which saves the claims of many and a round for the top. Every subtree is in
 * exactly one bundle.
 */
export function bundleSubtrees(
  subtrees: readonly SubtreeRecord[],
  sizeBytes: number,
  bundlesMax: number,
): readonly (readonly SubtreeRecord[])[] {
  assert(bundlesMax >= 1, "a vDisk that ships has room for a task");
  const total = subtrees.reduce((sum, subtree) => sum + weightOf(subtree, sizeBytes), 0);
  const wanted = Math.max(TASK_ADDRESS_BYTES_MIN, Math.ceil(total / bundlesMax));
  const bundles: SubtreeRecord[][] = [];
  let filled = 0;
  for (const subtree of subtrees) {
    const bytes = weightOf(subtree, sizeBytes);
    const last = bundles.at(-1);
    // The last bundle takes what rounding left over.
    const full = filled + bytes > wanted && bundles.length < bundlesMax;
    if (last === undefined || full) {
      bundles.push([subtree]);
      filled = bytes;
    } else {
      last.push(subtree);
      filled += bytes;
    }
  }
  return bundles;
}

/** Shares a number of places out to weights, at least one each. */
export function shareOut(weights: readonly number[], places: number): readonly number[] {
  assert(weights.length <= places, "every weight gets a place");
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const spare = places - weights.length;
  return weights.map((weight) => 1 + (total === 0 ? 0 : Math.floor((spare * weight) / total)));
}
