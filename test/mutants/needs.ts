/**
 * In which worlds a planted bug can show itself: a list of which every item must hold. An item is `cvms`
 * (a site has two or more), `copies` (an oplog has), `copies3` (it has three), `group` (a consistency group has two
 * vDisks or more), `orders` (no faults but those in an order, which others often ruin), or kinds of faults with
 * `|` between them, of which the seed draws at least one.
 */

import { faultClasses, faultGroups, type SimConfig } from "../sim/config.ts";

const TRAITS: ReadonlyMap<string, (config: SimConfig) => boolean> = new Map([
  ["cvms", ({ cvms }) => cvms > 1],
  ["copies", ({ replicationFactor }) => replicationFactor > 1],
  ["copies3", ({ replicationFactor }) => replicationFactor > 2],
  ["group", ({ vdisks }) => vdisks > 1],
  ["orders", ({ faults }) => faults.every((kind) => kind in faultGroups.ordered)],
]);

/** Can a world of this configuration show a bug that needs these? */
export function hasAll(config: SimConfig, needs: readonly string[]): boolean {
  return needs.every((need) => {
    const has = TRAITS.get(need);
    if (has !== undefined) return has(config);
    const kinds: readonly string[] = need.split("|");
    return config.faults.some((kind) => kinds.includes(kind));
  });
}

/** Words of these needs that mean nothing. */
export function unknownNeeds(needs: readonly string[]): readonly string[] {
  return needs
    .filter((need) => !TRAITS.has(need))
    .flatMap((need) => need.split("|"))
    .filter((kind) => !(kind in faultClasses));
}
