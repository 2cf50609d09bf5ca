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

import { viewOf } from "../../base/bytes.ts";
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
  const view = viewOf(fingerprint);
  const low = view.getUint32(0, true);
  const high = view.getUint32(4, true);
  const ranked = members
    .map((member) => ({ member, weight: weightOf(low, high, member.cvm) }))
    .sort((a, b) => b.weight - a.weight || a.member.cvm - b.member.cvm);

  const takenOfNode = new Map<string, number>();
  const rounds: number[][] = [];
  for (const { member } of ranked) {
    const round = takenOfNode.get(member.node) ?? 0;
    takenOfNode.set(member.node, round + 1);
    const cvms = rounds[round] ?? [];
    cvms.push(member.cvm);
    rounds[round] = cvms;
  }
  return rounds.flat();
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
