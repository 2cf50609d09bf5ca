/** What a writer saw: answers a second, and how long they took, interval by interval. */

import type { Interval, Workload } from "../result.ts";
import {
  type Frame,
  headHeight,
  type LegendEntry,
  type Panel,
  panelHead,
  valueAxis,
} from "./frame.ts";
import { el, pathOf } from "./markup.ts";
import { amount, shortMs } from "./quantities.ts";
import { amountScale, logScale } from "./scale.ts";

const THROUGHPUT_PIXELS = 92;
const LATENCY_PIXELS = 132;
const GAP = 16;

const LATENCIES = [
  { text: "p50", mark: "p50", of: (one: Interval) => one.p50Ms },
  { text: "p99", mark: "p99", of: (one: Interval) => one.p99Ms },
  { text: "p99.9", mark: "p999", of: (one: Interval) => one.p999Ms },
  { text: "max", mark: "max", of: (one: Interval) => one.maxMs },
] as const;

/** Answers a second of an interval. */
export function perSecond({ fromMs, toMs, acknowledged }: Interval): number {
  return (acknowledged * 1000) / Math.max(1, toMs - fromMs);
}

/** Acknowledged writes a second, as steps. */
export function throughputPanel(frame: Frame, workload: Workload): Panel {
  const wanted = workload.ratePerSecond;
  const legend: readonly LegendEntry[] = [
    { text: "acknowledged", mark: "rate", shape: "area" },
    ...(wanted > 0 ? [{ text: "asked for", mark: "wanted", shape: "line" } as const] : []),
  ];
  const head = headHeight(frame, legend);
  return {
    height: head + THROUGHPUT_PIXELS + GAP,
    draw(top) {
      const base = top + head + THROUGHPUT_PIXELS;
      const most = workload.intervals.reduce((max, one) => Math.max(max, perSecond(one)), wanted);
      const y = amountScale(most, { from: base, to: top + head });
      const wantedY = y.at(wanted);
      const [first, last] = [workload.intervals[0], workload.intervals.at(-1)];
      const extent = { x1: frame.x.at(first?.fromMs ?? 0), x2: frame.x.at(last?.toMs ?? 0) };
      return [
        panelHead(frame, top, `${workload.pd} at ${workload.site}: writes a second`, legend),
        valueAxis(frame, y, amount),
        el("path", {
          class: "rate",
          d: stepsOf(frame, workload.intervals, (value) => y.at(value), base),
        }),
        wanted > 0 ? el("line", { class: "wanted", ...extent, y1: wantedY, y2: wantedY }) : "",
      ].join("");
    },
  };
}

/** The outline of the answers from the base line up and down again. */
function stepsOf(
  frame: Frame,
  intervals: readonly Interval[],
  y: (value: number) => number,
  base: number,
): string {
  const [first, last] = [intervals[0], intervals.at(-1)];
  if (first === undefined || last === undefined) return "M0 0";
  const points = intervals.flatMap((one): (readonly [number, number])[] => {
    const at = y(perSecond(one));
    return [
      [frame.x.at(one.fromMs), at],
      [frame.x.at(one.toMs), at],
    ];
  });
  return pathOf([[frame.x.at(first.fromMs), base], ...points, [frame.x.at(last.toMs), base]]);
}

/** Latency percentiles on a logarithmic axis; no line where nothing was answered. */
export function latencyPanel(frame: Frame, workload: Workload): Panel {
  const legend = LATENCIES.map(({ text, mark }) => ({ text, mark, shape: "line" }) as const);
  const head = headHeight(frame, legend);
  const answered = workload.intervals.filter((one) => one.acknowledged > 0);
  const least = answered.reduce((min, one) => Math.min(min, one.p50Ms), Number.POSITIVE_INFINITY);
  const most = answered.reduce((max, one) => Math.max(max, one.maxMs), 0);
  return {
    height: head + LATENCY_PIXELS + GAP,
    draw(top) {
      const pixels = { from: top + head + LATENCY_PIXELS, to: top + head };
      const y = logScale(
        answered.length === 0 ? 1 : least,
        answered.length === 0 ? 10 : most,
        pixels,
      );
      const lines = LATENCIES.map(({ mark, of }) => {
        const points = workload.intervals.flatMap((one, index) =>
          pointsOf(
            frame,
            workload.intervals,
            index,
            one.acknowledged > 0 ? y.at(of(one)) : undefined,
          ),
        );
        return el("path", { class: mark, d: pathOf(points) });
      });
      return [
        panelHead(frame, top, `${workload.pd} at ${workload.site}: latency of a write`, legend),
        valueAxis(frame, y, powerOfTen),
        ...lines.reverse(),
      ].join("");
    },
  };
}

/** A point in the middle of an interval; a dash of its width where it stands alone. */
function pointsOf(
  frame: Frame,
  intervals: readonly Interval[],
  index: number,
  y: number | undefined,
): readonly (readonly [number, number] | undefined)[] {
  const one = intervals[index];
  if (one === undefined || y === undefined) return [undefined];
  const isAlone = ![index - 1, index + 1].some((at) => (intervals[at]?.acknowledged ?? 0) > 0);
  if (!isAlone) return [[frame.x.at((one.fromMs + one.toMs) / 2), y]];
  return [
    [frame.x.at(one.fromMs), y],
    [frame.x.at(one.toMs), y],
  ];
}

/** A tick of a logarithmic axis: "10 ms", "100 s". */
function powerOfTen(valueMs: number): string {
  return valueMs < 1000 ? shortMs(valueMs) : `${Math.round(valueMs / 1000)} s`;
}
