/**
 * How far the other site is behind, at every instant. RPO: what would be lost if the source were lost
 * now, from the cut of the newest recovery point that has arrived until now. Lag: how long the oldest
 * recovery point that is newer than that one waits already. Both follow exactly from cuts and arrivals.
 */

import type { Point, RunResult } from "../result.ts";
import { type Frame, headHeight, type Panel, panelHead, valueAxis } from "./frame.ts";
import { el, pathOf } from "./markup.ts";
import { shortMs } from "./quantities.ts";
import { durationScale } from "./scale.ts";

const PIXELS = 92;
const GAP = 16;

/** One instant; `undefined` while the other site has nothing. */
export interface LagSample {
  readonly atMs: number;
  readonly rpoMs: number | undefined;
  readonly lagMs: number;
}

interface Route {
  readonly pd: string;
  readonly from: string;
  readonly to: string;
  readonly points: readonly Point[];
}

/** Points of one pd between two sites belong together. */
export function routesOf(points: readonly Point[]): readonly Route[] {
  const routes = new Map<string, { pd: string; from: string; to: string; points: Point[] }>();
  for (const point of points) {
    const { pd, from, to } = point;
    const key = JSON.stringify([pd, from, to]);
    const route = routes.get(key) ?? { pd, from, to, points: [] };
    route.points.push(point);
    routes.set(key, route);
  }
  return [...routes.values()];
}

/** State at an instant, events at that instant included. */
export function lagAt(points: readonly Point[], atMs: number): LagSample {
  const arrived = points.filter((one) => (one.arrivedMs ?? Number.POSITIVE_INFINITY) <= atMs);
  const newest = arrived.reduce((max, one) => Math.max(max, one.cutMs), Number.NEGATIVE_INFINITY);
  const waiting = points.filter((one) => one.cutMs <= atMs && one.cutMs > newest);
  const oldest = waiting.reduce((min, one) => Math.min(min, one.cutMs), atMs);
  const rpoMs = arrived.length === 0 ? undefined : atMs - newest;
  return { atMs, rpoMs, lagMs: atMs - oldest };
}

/** Every corner of the two lines from `fromMs` to `toMs`, just before and at each change. */
export function lagSamples(
  points: readonly Point[],
  fromMs: number,
  toMs: number,
): readonly LagSample[] {
  const changes = points.flatMap(({ cutMs, arrivedMs }) =>
    arrivedMs === undefined ? [cutMs] : [cutMs, arrivedMs],
  );
  const times = [...new Set(changes)]
    .filter((at) => at > fromMs && at < toMs)
    .sort((a, b) => a - b);
  return [
    lagAt(points, fromMs),
    ...times.flatMap((at) => {
      const before = points.map((one) =>
        one.arrivedMs === at ? { ...one, arrivedMs: Number.POSITIVE_INFINITY } : one,
      );
      return [lagAt(before, at), lagAt(points, at)];
    }),
    lagAt(points, toMs),
  ];
}

export function lagPanels(frame: Frame, result: RunResult): readonly Panel[] {
  // What is compared at the end is a recovery point of the check itself.
  const toMs = result.phases.find((one) => one.name === "converge")?.toMs;
  const end = toMs ?? result.phases.reduce((most, one) => Math.max(most, one.toMs), 0);
  return routesOf(result.points).map((route) => lagPanel(frame, route, end));
}

function lagPanel(frame: Frame, { pd, from, to, points }: Route, toMs: number): Panel {
  const legend = [
    { text: "RPO now", mark: "rpo", shape: "line" },
    { text: "lag", mark: "lag", shape: "area" },
  ] as const;
  const head = headHeight(frame, legend);
  const fromMs = points.reduce((least, one) => Math.min(least, one.cutMs), toMs);
  const samples = lagSamples(points, fromMs, toMs);
  const most = samples.reduce((max, one) => Math.max(max, one.lagMs, one.rpoMs ?? 0), 0);
  return {
    height: head + PIXELS + GAP,
    draw(top) {
      const base = top + head + PIXELS;
      const y = durationScale(most, { from: base, to: top + head });
      const place = (atMs: number, ms: number): readonly [number, number] => [
        frame.x.at(atMs),
        y.at(ms),
      ];
      const lag = samples.map((one) => place(one.atMs, one.lagMs));
      const rpo = samples.map((one) =>
        one.rpoMs === undefined ? undefined : place(one.atMs, one.rpoMs),
      );
      const area = pathOf([[frame.x.at(fromMs), base], ...lag, [frame.x.at(toMs), base]]);
      return [
        panelHead(frame, top, `${pd} ${from}→${to}: RPO and replication lag`, legend),
        valueAxis(frame, y, shortMs),
        el("path", { class: "lag", d: area }),
        el("path", { class: "rpo", d: pathOf(rpo) }),
      ].join("");
    },
  };
}
