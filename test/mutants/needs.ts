/**
 * In which worlds a planted bug can show itself: a list of which every item must hold. An item is `cvms`
 * (a site has two or more), `copies` (an oplog has), `group` (a consistency group has two vDisks or more), or
 * kinds of faults with `|` between them, of which the seed draws at least one.
 */

import { faultClasses, type SimConfig } from "../sim/config.ts";

const SIZES: ReadonlyMap<string, (config: SimConfig) => number> = new Map([
  ["cvms", ({ cvms }) => cvms],
  ["copies", ({ replicationFactor }) => replicationFactor],
  ["group", ({ vdisks }) => vdisks],
]);

/** Can a world of this configuration show a bug that needs these? */
export function hasAll(config: SimConfig, needs: readonly string[]): boolean {
  return needs.every((need) => {
    const size = SIZES.get(need);
    if (size !== undefined) return size(config) > 1;
    const kinds: readonly string[] = need.split("|");
    return config.faults.some((kind) => kinds.includes(kind));
  });
}

/** Words of these needs that mean nothing. */
export function unknownNeeds(needs: readonly string[]): readonly string[] {
  return needs
    .filter((need) => !SIZES.has(need))
    .flatMap((need) => need.split("|"))
    .filter((kind) => !(kind in faultClasses));
}
