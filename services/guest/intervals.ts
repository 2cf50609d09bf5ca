/**
 * What a workload did in each interval of its run: answers, bytes, latency. Memory is bounded by
 * `INTERVALS_MAX`: when a run is longer, two neighbours become one, so that intervals get wider and
 * none is lost.
 */

import { LatencyHistogram } from "./histogram.ts";

/** Enough for every point of a wide chart; with their histograms 2.5 MiB. */
const INTERVALS_MAX = 480;

export interface IntervalSample {
  /** On the clock that the recorder was told of. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly acknowledged: number;
  /** Ended without a good answer. */
  readonly unknown: number;
  /** Acknowledged. */
  readonly bytes: number;
  /** All 0 when nothing was acknowledged. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

interface Interval {
  acknowledged: number;
  unknown: number;
  bytes: number;
  readonly latency: LatencyHistogram;
}

export class IntervalRecorder {
  readonly #startMs: number;
  #widthMs: number;
  #intervals: Interval[] = [];

  constructor(startMs: number, widthMs: number) {
    this.#startMs = startMs;
    this.#widthMs = widthMs;
  }

  acknowledged(nowMs: number, latencyMs: number, bytes: number): void {
    const interval = this.#at(nowMs);
    interval.acknowledged += 1;
    interval.bytes += bytes;
    interval.latency.record(latencyMs);
  }

  unknown(nowMs: number): void {
    this.#at(nowMs).unknown += 1;
  }

  /** All intervals from the start to `nowMs`, also those in which nothing happened. */
  samples(nowMs: number): readonly IntervalSample[] {
    this.#at(nowMs);
    const whole = Math.floor((nowMs - this.#startMs) / this.#widthMs);
    const all = this.#intervals.slice(0, whole);
    // Less than half an interval says little of a rate: it joins the one before.
    const rest = this.#intervals.slice(whole).reduce(joined, empty());
    const restMs = nowMs - this.#startMs - whole * this.#widthMs;
    if (whole === 0 || restMs * 2 >= this.#widthMs) all.push(rest);
    else all.push(joined(rest, all.pop() ?? empty()));
    return all.map(({ acknowledged, unknown, bytes, latency }, index) => {
      const { p50Ms, p99Ms, p999Ms, maxMs } = latency.summary();
      const fromMs = this.#startMs + index * this.#widthMs;
      const toMs = index === all.length - 1 ? nowMs : fromMs + this.#widthMs;
      return { fromMs, toMs, acknowledged, unknown, bytes, p50Ms, p99Ms, p999Ms, maxMs };
    });
  }

  #at(nowMs: number): Interval {
    const index = (): number => Math.max(0, Math.floor((nowMs - this.#startMs) / this.#widthMs));
    while (index() >= INTERVALS_MAX) this.#widen();
    while (this.#intervals.length <= index()) this.#intervals.push(empty());
    return this.#intervals[index()] ?? empty();
  }

  #widen(): void {
    this.#widthMs *= 2;
    const halves = this.#intervals;
    this.#intervals = [];
    for (let index = 0; index < halves.length; index += 2)
      this.#intervals.push(joined(halves[index] ?? empty(), halves[index + 1] ?? empty()));
  }
}

function joined(a: Interval, b: Interval): Interval {
  const latency = new LatencyHistogram();
  latency.merge(a.latency);
  latency.merge(b.latency);
  return {
    acknowledged: a.acknowledged + b.acknowledged,
    unknown: a.unknown + b.unknown,
    bytes: a.bytes + b.bytes,
    latency,
  };
}

function empty(): Interval {
  return { acknowledged: 0, unknown: 0, bytes: 0, latency: new LatencyHistogram() };
}
