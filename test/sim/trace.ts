/**
 * What happened in a run, as a hash and a tail: every event of every process goes into the hash with
 * its virtual time, and the last ones are kept for the report of a failure. Two runs of a seed have the
 * same hash, or something in them depends on more than the seed.
 */

/** Events kept for a report. */
const TAIL_MAX = 200;
const FNV_PRIME = 0x01000193;
const FNV_START = 0x811c9dc5;
/** Time enters the hash in whole microseconds: finer differences are rounding of one sum. */
const MICROS_PER_MS = 1000;
const TWO_TO_32 = 0x1_0000_0000;

export interface TraceEvent {
  readonly ms: number;
  /** Process it happened at, as `stargate-A-1`, or `world`. */
  readonly at: string;
  readonly what: string;
  readonly detail: string;
}

export interface Trace {
  /** Number of events so far. */
  readonly count: number;
  /** As many as a run may have: whoever makes events stops, so that a loop without end does not. */
  readonly isFull: boolean;
  event(at: string, what: string, detail?: string): void;
  /** 16 hexadecimal digits. */
  hash(): string;
  /** The last events, oldest first. */
  tail(): readonly TraceEvent[];
}

export interface TraceOptions {
  readonly onEvent?: ((event: TraceEvent) => void) | undefined;
  /** No limit by default. */
  readonly eventsMax?: number;
}

/**
 * @param nowMs reads virtual time
 * @param options.onEvent sees every event: for printing
 */
export function createTrace(nowMs: () => number, options: TraceOptions = {}): Trace {
  const { onEvent, eventsMax = Number.POSITIVE_INFINITY } = options;
  let low = FNV_START;
  let high = FNV_START ^ 0x5bd1e995;
  let count = 0;
  const ring: TraceEvent[] = [];
  const mix = (word: number): void => {
    low = Math.imul(low ^ word, FNV_PRIME);
    high = Math.imul(high ^ (word + low), 0x85ebca6b);
    high ^= high >>> 15;
  };
  const mixText = (text: string): void => {
    let word = text.length;
    for (let i = 0; i < text.length; i++) word = Math.imul(word ^ text.charCodeAt(i), FNV_PRIME);
    mix(word);
  };
  return {
    get count() {
      return count;
    },
    get isFull() {
      return count >= eventsMax;
    },
    event(at, what, detail = "") {
      const ms = nowMs();
      const micros = Math.round(ms * MICROS_PER_MS);
      mix((micros % TWO_TO_32) | 0);
      mix(Math.floor(micros / TWO_TO_32));
      mixText(at);
      mixText(what);
      mixText(detail);
      const event = { ms, at, what, detail };
      ring[count % TAIL_MAX] = event;
      count += 1;
      onEvent?.(event);
    },
    hash: () => [high, low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join(""),
    tail() {
      const first = count % TAIL_MAX;
      return count <= TAIL_MAX ? [...ring] : [...ring.slice(first), ...ring.slice(0, first)];
    },
  };
}
