/**
 * How long a message to or from the etcd in memory is on its way. Each draws its own time, so that a later
 * request overtakes an earlier one, its caller dies or freezes between the effect and the answer, and an
 * event comes before the answer to what caused it or after it, as on a real network. Most take less than the
 * mean, some take several times as long.
 */

import type { Prng } from "../../services/base/prng.ts";

/** No message takes longer than so many times the mean: the tail is long, and far from a caller's deadline. */
const TAIL_MAX = 8;

/** Of every message, one way. */
export interface EtcdJourney {
  /** How long it takes on average, in ms. */
  readonly meanMs: number;
  readonly prng: Prng;
}

/** The time of one message in ms, exponentially distributed. */
export function journeyMs({ meanMs, prng }: EtcdJourney): number {
  return meanMs * Math.min(TAIL_MAX, -Math.log(1 - prng.unit()));
}
