/** Where chunks belong: the same everywhere, spread evenly, moving only when they must. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import {
  Placement,
  type PlacementMember,
  placementOrder,
  separateMember,
} from "../../../services/stargate/extents/placement.ts";

const fingerprints = Array.from({ length: 3000 }, (_, i) => createPrng(i).fill(new Uint8Array(32)));
const members = [1, 2, 3, 4, 5].map(separateMember);

describe("placement", () => {
  it("names every member once and does not depend on their order", () => {
    for (const fingerprint of fingerprints.slice(0, 200)) {
      const order = placementOrder(fingerprint, members);
      expect([...order].sort()).toEqual([1, 2, 3, 4, 5]);
      expect(placementOrder(fingerprint, members.toReversed())).toEqual(order);
    }
  });

  it("gives every member its share of first and of second copies", () => {
    for (const rank of [0, 1]) {
      const counts = new Map<number, number>();
      for (const fingerprint of fingerprints) {
        const cvm = placementOrder(fingerprint, members)[rank] ?? 0;
        counts.set(cvm, (counts.get(cvm) ?? 0) + 1);
      }
      // 600 each; five standard deviations are 110.
      for (const count of counts.values()) expect(Math.abs(count - 600)).toBeLessThan(110);
    }
  });

  it("is remembered as it is computed, one array for equal orders", () => {
    const paired = (count: number): PlacementMember[] =>
      Array.from({ length: count }, (_, i) => ({
        ...separateMember(i + 1),
        node: `node-${Math.ceil((i + 1) / 2)}`,
      }));
    for (const site of [members, paired(1), paired(6), paired(16)]) {
      const placement = new Placement(site.toReversed());
      const arrays = new Map<string, readonly number[]>();
      for (const fingerprint of fingerprints.slice(0, 1000)) {
        const order = placement.order(fingerprint);
        expect(order).toEqual(placementOrder(fingerprint, site));
        if (site.length < 6) expect(arrays.get(order.join()) ?? order).toBe(order);
        arrays.set(order.join(), order);
      }
    }
  });

  it("moves only the chunks of a member that leaves", () => {
    const rest = members.filter(({ cvm }) => cvm !== 3);
    for (const fingerprint of fingerprints) {
      const before = placementOrder(fingerprint, members);
      expect(placementOrder(fingerprint, rest)).toEqual(before.filter((cvm) => cvm !== 3));
    }
  });

  it("puts no two of the first copies on one node while there is another", () => {
    const pairs: PlacementMember[] = [1, 2, 3, 4, 5, 6].map((cvm) => ({
      ...separateMember(cvm),
      node: `node-${Math.ceil(cvm / 2)}`,
    }));
    for (const fingerprint of fingerprints.slice(0, 500)) {
      const first = placementOrder(fingerprint, pairs).slice(0, 3);
      expect(new Set(first.map((cvm) => Math.ceil(cvm / 2))).size).toBe(3);
    }
  });

  it("never changes: chunks on disk lie where this says", () => {
    const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
    expect(placementOrder(ascending, members)).toMatchInlineSnapshot(`
      [
        3,
        2,
        5,
        1,
        4,
      ]
    `);
    expect(placementOrder(new Uint8Array(32).fill(255), members)).toMatchInlineSnapshot(`
      [
        5,
        3,
        1,
        4,
        2,
      ]
    `);
  });
});
