/**
 * Where a chunk belongs: rendezvous (highest random weight) hashing of its fingerprint over the CVMs.
 * Pure, and the same on every CVM, so no table of places exists. When a CVM comes or goes, only the
 * chunks that it wins move (HRW's property; Thaler and Ravishankar 1998).
 *
 * The fingerprint is a SHA-256 already: eight of its bytes, mixed with the CVM's number by 32-bit
 * integer mixing (the finalizer of MurmurHash3), spread well enough, and cost no 64-bit arithmetic.
 *
 * No two copies share a node while another node is there: of every node the best CVM comes first, in
 * order of weight, then the second best of every node, and so on. Block and rack are carried for the
 * same rule one level up.
 */

import { present } from "../../base/assert.ts";
import type { Fingerprint } from "../chunks.ts";

/** A CVM and what it shares its fate with. */
export interface PlacementMember {
  readonly cvm: number;
  /** The machine it runs on. */
  readonly node: string;
  /** The chassis of that machine. */
  readonly block: string;
  readonly rack: string;
}

/** A member of a site where every CVM is a node, a block and a rack of its own. */
export function separateMember(cvm: number): PlacementMember {
  return { cvm, node: `node-${cvm}`, block: `block-${cvm}`, rack: `rack-${cvm}` };
}

/**
 * All members in the order in which they should hold the chunk: the first RF live ones do.
 * @param members each CVM once, in any order: the answer does not depend on it
 */
export function placementOrder(
  fingerprint: Fingerprint,
  members: readonly PlacementMember[],
): readonly number[] {
  const low = wordAt(fingerprint, 0);
  const high = wordAt(fingerprint, 4);
  const ranked = members
    .map((member) => ({ member, weight: weightOf(low, high, member.cvm) }))
    .sort((a, b) => b.weight - a.weight || a.member.cvm - b.member.cvm);
  return arranged(ranked.map(({ member }) => member));
}

/** Orders that are remembered: 6 CVMs have 720. A site with more computes some anew each time. */
const ORDERS_MAX = 1024;
/** 13 to the power of 13 is the last that fits a safe integer, by which an order is found. */
const REMEMBERED_MEMBERS_MAX = 13;

/**
 * `placementOrder` for one site, without its cost a chunk: equal orders are one array, so that whoever
 * has many chunks can group them by it and decide once for each order.
 */
export class Placement {
  /** By CVM: the rule for equal weights. */
  readonly #members: readonly PlacementMember[];
  readonly #orders = new Map<number, readonly number[]>();
  readonly #weights: Float64Array;
  readonly #ranked: Uint32Array;

  /** @param members each CVM once, in any order */
  constructor(members: readonly PlacementMember[]) {
    this.#members = members.toSorted((a, b) => a.cvm - b.cvm);
    this.#weights = new Float64Array(members.length);
    this.#ranked = new Uint32Array(members.length);
  }

  /** What `placementOrder` says; mostly the same array for the same order. */
  order(fingerprint: Fingerprint): readonly number[] {
    const members = this.#members;
    const ranked = this.#ranked;
    this.#rank(wordAt(fingerprint, 0), wordAt(fingerprint, 4));
    if (members.length > REMEMBERED_MEMBERS_MAX) return this.#arrangedNow();
    let name = 0;
    for (let rank = 0; rank < ranked.length; rank++)
      name = name * members.length + (ranked[rank] ?? 0);
    const known = this.#orders.get(name);
    if (known !== undefined) return known;
    const order = this.#arrangedNow();
    if (this.#orders.size < ORDERS_MAX) this.#orders.set(name, order);
    return order;
  }

  /** Insertion sort, heaviest first; an equal weight stays behind the lower CVM. */
  #rank(low: number, high: number): void {
    const weights = this.#weights;
    const ranked = this.#ranked;
    for (let i = 0; i < weights.length; i++) {
      const weight = weightOf(low, high, this.#members[i]?.cvm ?? 0);
      let at = i;
      for (; at > 0 && (weights[at - 1] ?? 0) < weight; at--) {
        weights[at] = weights[at - 1] ?? 0;
        ranked[at] = ranked[at - 1] ?? 0;
      }
      weights[at] = weight;
      ranked[at] = i;
    }
  }

  #arrangedNow(): readonly number[] {
    return arranged(
      Array.from(this.#ranked, (index) => present(this.#members[index], "a rank is a member's")),
    );
  }
}

/** Members by weight, so that no node comes twice before every node has come once, and so on. */
function arranged(ranked: readonly PlacementMember[]): readonly number[] {
  const takenOfNode = new Map<string, number>();
  const rounds: number[][] = [];
  for (const member of ranked) {
    const round = takenOfNode.get(member.node) ?? 0;
    takenOfNode.set(member.node, round + 1);
    const cvms = rounds[round] ?? [];
    cvms.push(member.cvm);
    rounds[round] = cvms;
  }
  return rounds.flat();
}

/** Four bytes as a little-endian number, signed: only its bits matter. */
function wordAt(fingerprint: Fingerprint, at: number): number {
  return (
    (fingerprint[at] ?? 0) |
    ((fingerprint[at + 1] ?? 0) << 8) |
    ((fingerprint[at + 2] ?? 0) << 16) |
    ((fingerprint[at + 3] ?? 0) << 24)
  );
}

function weightOf(low: number, high: number, cvm: number): number {
  return mix(mix(low ^ Math.imul(cvm, 0x9e3779b1)) ^ high);
}

/** fmix32 of MurmurHash3: every input bit changes every output bit with probability one half. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
