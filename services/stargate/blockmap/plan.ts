/**
 * Cutting the difference of two maps into subtrees for the tasks of a replication: goes down only
 * until there are about as many as wanted, reading a few nodes of either map.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Fingerprint } from "../chunks.ts";
import { type Change, descend, noneSkipped, topChange } from "./changes.ts";
import type { Root } from "./fingerprints.ts";
import { type Geometry, spanBytes } from "./geometry.ts";
import type { Nodes } from "./nodes.ts";

/** A changed subtree that has data now. */
export interface Subtree extends Change {
  readonly fingerprint: Fingerprint;
}

/** The work that makes a replica of the root out of a replica of its base. */
export interface Plan {
  /** All of one level (1 at least), in order of place. Empty: only the top nodes are to be shipped, if any. */
  readonly subtrees: readonly Subtree[];
  /** Address space below the subtrees. With the two below: the size of the vDisk. */
  readonly logicalBytes: number;
  /** Address space outside of them that is zero now. */
  readonly zeroBytes: number;
  /** Address space outside of them that is data, equal at the base. */
  readonly unchangedBytes: number;
}

/** Most subtrees a plan may be asked for; the result has less than 64 times as many. */
const PLAN_SUBTREES_MAX = 1024;

/**
 * The subtrees that differ between a root and its base, at the level whose number of them comes
 * nearest to `subtreesMax` in ratio.
 * @throws AntipodeError `INVALID_ARGUMENT` when `subtreesMax` is not 1 to PLAN_SUBTREES_MAX
 */
export async function plan(
  nodes: Nodes,
  geometry: Geometry,
  roots: { readonly root: Root; readonly base: Root },
  subtreesMax: number,
): Promise<Plan> {
  if (!Number.isInteger(subtreesMax) || subtreesMax < 1 || subtreesMax > PLAN_SUBTREES_MAX)
    throw new AntipodeError("INVALID_ARGUMENT", "a plan has 1 to 1024 subtrees", { subtreesMax });
  const skipped = noneSkipped();
  /** Subtrees that are zero now need no shipping: the nodes above say so. */
  const keepData = (changes: readonly Change[], tally: typeof skipped): Subtree[] => {
    const kept: Subtree[] = [];
    for (const change of changes) {
      const { fingerprint } = change;
      if (fingerprint === undefined) tally.zeroBytes += spanBytes(geometry, change);
      else kept.push({ ...change, fingerprint });
    }
    return kept;
  };

  const top = topChange(geometry, roots.root, roots.base);
  if (top.length === 0)
    skipped[roots.root === undefined ? "zeroBytes" : "unchangedBytes"] = geometry.sizeBytes;
  let subtrees = keepData(top, skipped);
  for (let level = geometry.height; level > 1 && subtrees.length < subtreesMax; level--) {
    const below = noneSkipped();
    const children = keepData(await descend(nodes, geometry, subtrees, below), below);
    if (!isNearer(children.length, subtrees.length, subtreesMax)) break;
    skipped.zeroBytes += below.zeroBytes;
    skipped.unchangedBytes += below.unchangedBytes;
    subtrees = children;
  }
  let logicalBytes = 0;
  for (const subtree of subtrees) logicalBytes += spanBytes(geometry, subtree);
  assert(
    logicalBytes + skipped.zeroBytes + skipped.unchangedBytes === geometry.sizeBytes,
    "a plan accounts for every byte",
  );
  return { subtrees, logicalBytes, ...skipped };
}

/** Is going down worth it? At equal distance the finer cut wins: small tasks resume better. */
function isNearer(below: number, above: number, wanted: number): boolean {
  if (below <= wanted) return true;
  return below * above <= wanted * wanted;
}
