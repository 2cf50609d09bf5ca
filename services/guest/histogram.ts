/**
 * A latency histogram with logarithmic buckets of 1/16 of a power of two: at most 6 % off, in fixed
 * memory. Pure, so that workloads run the same in a simulated world.
 */

const STEPS = 16;
const POWERS = 40;

export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export class LatencyHistogram {
  readonly #buckets = new Float64Array(STEPS * POWERS);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  record(ms: number): void {
    const micros = Math.max(1, ms * 1000);
    const index = Math.min(Math.floor(Math.log2(micros) * STEPS), this.#buckets.length - 1);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count += 1;
    this.#sumMs += ms;
    this.#maxMs = Math.max(this.#maxMs, ms);
  }

  /** Takes over everything that the other one recorded. */
  merge(other: LatencyHistogram): void {
    for (let index = 0; index < this.#buckets.length; index++)
      this.#buckets[index] = (this.#buckets[index] ?? 0) + (other.#buckets[index] ?? 0);
    this.#count += other.#count;
    this.#sumMs += other.#sumMs;
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      meanMs: this.#count === 0 ? 0 : round(this.#sumMs / this.#count),
      p50Ms: this.#quantile(0.5),
      p90Ms: this.#quantile(0.9),
      p99Ms: this.#quantile(0.99),
      p999Ms: this.#quantile(0.999),
      maxMs: round(this.#maxMs),
    };
  }

  /** Upper edge of the bucket in which the quantile lies, at most the maximum. */
  #quantile(share: number): number {
    let left = this.#count * share;
    for (let index = 0; index < this.#buckets.length; index++) {
      left -= this.#buckets[index] ?? 0;
      if (left <= 0 && this.#count > 0)
        return round(Math.min(2 ** ((index + 1) / STEPS) / 1000, this.#maxMs));
    }
    return round(this.#maxMs);
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
