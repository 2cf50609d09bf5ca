/**
 * Is an image of a group of disks a prefix of what the writer was told? Pure and O(n): the heart of
 * P1 and P2.
 *
 * Every write has an interval from when it was issued to when it was acknowledged (never, when its
 * outcome is unknown). Real-time order: a before b when ack(a) < inv(b). A slot has one write
 * outstanding at a time, and shows at most one.
 *
 * included(u): u is visible, or the write v visible in its slot could follow u: not ack(v) < inv(u).
 * The image is a prefix of some order that respects real time exactly when
 *   max { inv(v) : v visible } <= min { ack(u) : u not included },
 * because real-time order is an interval order. A violation is a pair: v is visible, u is missing,
 * and u was acknowledged before v was issued.
 *
 * Positions are places in the journal, not times: exact, and total. Columns instead of objects,
 * because a run has millions of writes.
 */

/** The slot shows zeros: what it held before the first write. */
export const SHOWS_NOTHING = -1;
/** The slot cannot be read as any write; it is reported elsewhere and says nothing here. */
export const SHOWS_DAMAGE = -2;

export interface PrefixInput {
  /** Place of each write's issue in the journal. */
  readonly invPosition: ArrayLike<number>;
  /** Place of its acknowledgement; Infinity when there was none. */
  readonly ackPosition: ArrayLike<number>;
  /** One entry for each slot of each write: the write's index … */
  readonly pairWrite: ArrayLike<number>;
  /** … and the slot. */
  readonly pairSlot: ArrayLike<number>;
  /** For each slot: index of the write that it shows, or one of the constants above. */
  readonly visible: ArrayLike<number>;
}

export interface PrefixVerdict {
  /** For each pair: 1 when the image includes this write in this slot. */
  readonly included: Uint8Array;
  /** Index of the visible write that was issued last, or -1. */
  readonly newestVisible: number;
  /** Pair that is missing and whose write was acknowledged first, or -1. */
  readonly oldestMissingPair: number;
  /** The image is a prefix. When not, the two indices above are the witness. */
  readonly holds: boolean;
}

export function checkPrefix(input: PrefixInput): PrefixVerdict {
  const { invPosition, ackPosition, pairWrite, pairSlot, visible } = input;
  const included = new Uint8Array(pairWrite.length);
  let newestVisible = -1;
  let oldestMissingPair = -1;
  let newestInv = Number.NEGATIVE_INFINITY;
  let oldestAck = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < visible.length; slot++) {
    const shown = visible[slot] ?? SHOWS_NOTHING;
    const inv = shown < 0 ? Number.NEGATIVE_INFINITY : (invPosition[shown] ?? 0);
    if (inv > newestInv) {
      newestInv = inv;
      newestVisible = shown;
    }
  }
  for (let pair = 0; pair < pairWrite.length; pair++) {
    const write = pairWrite[pair] ?? 0;
    const shown = visible[pairSlot[pair] ?? 0] ?? SHOWS_NOTHING;
    if (shown === SHOWS_DAMAGE) continue;
    const shownAck = shown < 0 ? Number.NEGATIVE_INFINITY : (ackPosition[shown] ?? 0);
    if (shownAck >= (invPosition[write] ?? 0)) included[pair] = 1;
    else if ((ackPosition[write] ?? 0) < oldestAck) {
      oldestAck = ackPosition[write] ?? 0;
      oldestMissingPair = pair;
    }
  }
  return { included, newestVisible, oldestMissingPair, holds: newestInv <= oldestAck };
}
