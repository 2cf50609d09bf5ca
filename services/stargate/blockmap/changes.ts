/**
 * Walking two block maps of one geometry side by side: the content now and a base. Equal subtrees are
 * never read, so the cost follows the change and not the size. An absent base is the empty tree, so
 * walking a whole map is the same walk.
 *
 * A walk goes depth first in slices of nodes of one level: reads are batched, the results come in
 * order of place, and memory is bounded by one slice a level.
 */

import { present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { NODE_FANOUT } from "../../base/units.ts";
import type { Fingerprint } from "../chunks.ts";
import { sameFingerprint } from "./fingerprints.ts";
import { type Geometry, type Place, spanBytes } from "./geometry.ts";
import { childrenOf, type MapNode } from "./node.ts";
import { NODE_BATCH_MAX, type Nodes } from "./nodes.ts";

/** A place whose content differs from the base: the two fingerprints are never equal. */
export interface Change extends Place {
  /** Content now; `undefined`: all zero. */
  readonly fingerprint: Fingerprint | undefined;
  /** Content at the base; `undefined`: all zero. */
  readonly base: Fingerprint | undefined;
}

/** Address space that a step down left behind because nothing changed there. */
export interface Skipped {
  /** Zero now and at the base. */
  zeroBytes: number;
  /** Data, equal at the base. */
  unchangedBytes: number;
}

/** A count that has seen nothing yet. */
export function noneSkipped(): Skipped {
  return { zeroBytes: 0, unchangedBytes: 0 };
}

/**
 * One level down: the changed children of changed nodes, in order. What did not change is added to
 * `skipped`.
 * @param changes nodes of one level from 1, in order; at most a slice at a time, for their memory
 * @throws AntipodeError `CHUNK_CORRUPT` when a node is not what its place needs; what the source throws
 */
export async function descend(
  nodes: Nodes,
  geometry: Geometry,
  changes: readonly Change[],
  skipped: Skipped,
): Promise<Change[]> {
  const level = changes[0]?.level ?? 1;
  const wanted: Fingerprint[] = [];
  for (const change of changes) {
    if (change.fingerprint !== undefined) wanted.push(change.fingerprint);
    if (change.base !== undefined) wanted.push(change.base);
  }
  const read = await nodes.read(wanted, level);
  const children: Change[] = [];
  let next = 0;
  const take = (fingerprint: Fingerprint | undefined): MapNode | undefined =>
    fingerprint === undefined ? undefined : present(read[next++], "every wanted node was read");
  for (const change of changes) {
    const now = take(change.fingerprint);
    const base = take(change.base);
    addChangedChildren({ geometry, change, now, base, skipped, children });
  }
  return children;
}

interface Pair {
  readonly geometry: Geometry;
  readonly change: Change;
  readonly now: MapNode | undefined;
  readonly base: MapNode | undefined;
  readonly skipped: Skipped;
  readonly children: Change[];
}

function addChangedChildren({ geometry, change, now, base, skipped, children }: Pair): void {
  const level = change.level - 1;
  const nowChildren = now === undefined ? undefined : childrenOf(now);
  const baseChildren = base === undefined ? undefined : childrenOf(base);
  for (let slot = 0; slot < NODE_FANOUT; slot++) {
    const place = { level, index: change.index * NODE_FANOUT + slot };
    const fingerprint = nowChildren?.[slot];
    const before = baseChildren?.[slot];
    const lengthBytes = spanBytes(geometry, place);
    if (lengthBytes === 0) refuseBeyondEnd(fingerprint ?? before, place);
    else if (!sameFingerprint(fingerprint, before))
      children.push({ ...place, fingerprint, base: before });
    else if (fingerprint === undefined) skipped.zeroBytes += lengthBytes;
    else skipped.unchangedBytes += lengthBytes;
  }
}

function refuseBeyondEnd(fingerprint: Fingerprint | undefined, place: Place): void {
  if (fingerprint === undefined) return;
  throw new AntipodeError("CHUNK_CORRUPT", "a block-map node has children beyond the vDisk's end", {
    level: place.level,
    index: place.index,
  });
}

/** The difference of two whole maps as one change of their tops; none when they are equal. */
export function topChange(
  geometry: Geometry,
  root: Fingerprint | undefined,
  base: Fingerprint | undefined,
): Change[] {
  if (sameFingerprint(root, base)) return [];
  return [{ level: geometry.height, index: 0, fingerprint: root, base }];
}

/** What `walkChanges` needs and may be told. */
export interface Walk {
  readonly nodes: Nodes;
  readonly geometry: Geometry;
  /** Where to begin: changes of one level, in order. */
  readonly from: readonly Change[];
  /** Counts what was passed over; not needed for a plain difference. */
  readonly skipped?: Skipped;
  /** Called with each slice of changed nodes before it is read, e.g. to count them. */
  readonly onNodes?: (changes: readonly Change[]) => void;
}

/** All changed chunks (level 0) below some changes, in order of index, in batches of at most 4096. */
export async function* walkChanges(walk: Walk): AsyncGenerator<readonly Change[], void, undefined> {
  const skipped = walk.skipped ?? noneSkipped();
  const stack = [{ changes: walk.from, at: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const slice = top.changes.slice(top.at, top.at + NODE_BATCH_MAX);
    top.at += NODE_BATCH_MAX;
    if (top.at >= top.changes.length) stack.pop();
    const first = slice[0];
    if (first === undefined) continue;
    if (first.level === 0) {
      yield slice;
      continue;
    }
    walk.onNodes?.(slice);
    const children = await descend(walk.nodes, walk.geometry, slice, skipped);
    if (children.length === 0) continue;
    if (first.level === 1) yield children;
    else stack.push({ changes: children, at: 0 });
  }
}
