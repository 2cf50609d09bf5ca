/** What the page says of an instant under the pointer: ready-made text, so that the script decides nothing. */

import type { RunResult } from "../result.ts";
import { numberedEvents } from "./eventsPanel.ts";
import { frameOf } from "./frame.ts";
import { lagAt, routesOf } from "./lagPanel.ts";
import { amount, shortMs } from "./quantities.ts";
import { perSecond } from "./workloadPanels.ts";

/** Instants when no writer's intervals give them. */
const INSTANTS = 240;
/** Faults that are named; more are counted. */
const NAMED_MAX = 4;

/** [ms of the run, what was so then], in order of time. */
export function instantsOf(result: RunResult): readonly (readonly [number, string])[] {
  const { fromMs, toMs } = frameOf(result, 1000);
  const given = (result.workloads[0]?.intervals ?? []).map((one) => (one.fromMs + one.toMs) / 2);
  const last = given.at(-1) ?? fromMs;
  const step = (toMs - fromMs) / INSTANTS;
  const rest = Array.from({ length: INSTANTS }, (_, index) => fromMs + (index + 0.5) * step);
  const times = [...given, ...rest.filter((at) => at > last || at < (given[0] ?? toMs))];
  return times
    .sort((a, b) => a - b)
    .map((at) => [Math.round(at), textAt(result, at).join("\n")] as const);
}

function textAt(result: RunResult, atMs: number): readonly string[] {
  return [
    `at ${shortMs(atMs)}`,
    ...workloadLines(result, atMs),
    ...routesOf(result.points).map(({ pd, from, to, points }) => {
      const { rpoMs, lagMs } = lagAt(points, atMs);
      const rpo = rpoMs === undefined ? "no copy yet" : `RPO ${shortMs(rpoMs)}`;
      return `${pd} ${from}→${to}: ${rpo}, lag ${shortMs(lagMs)}`;
    }),
    ...result.lanes.flatMap(({ site, role, subject, spans }) =>
      spans
        .filter((one) => one.fromMs <= atMs && atMs < one.toMs)
        .map(({ cvm, epoch }) => {
          const what = role === "cerebro.leader" ? "leader" : `owner of ${subject}`;
          return `${what} at ${site}: CVM ${cvm}, epoch ${epoch}`;
        }),
    ),
    ...faultLines(result, atMs),
  ];
}

function workloadLines(result: RunResult, atMs: number): readonly string[] {
  return result.workloads.flatMap(({ pd, intervals }) => {
    const now = intervals.find((one) => one.fromMs <= atMs && atMs < one.toMs);
    if (now === undefined) return [];
    const unknown = now.unknown === 0 ? "" : `, ${now.unknown} without a good answer`;
    const rate = `${pd}: ${amount(perSecond(now))} writes/s${unknown}`;
    if (now.acknowledged === 0) return [rate];
    const latency = `p50 ${shortMs(now.p50Ms)} · p99 ${shortMs(now.p99Ms)} · p99.9 ${shortMs(now.p999Ms)} · max ${shortMs(now.maxMs)}`;
    return [rate, latency];
  });
}

function faultLines(result: RunResult, atMs: number): readonly string[] {
  const now = numberedEvents(result).filter(
    ({ event }) => event.kind === "fault" && event.fromMs <= atMs && atMs <= event.toMs,
  );
  const named = now
    .slice(0, NAMED_MAX)
    .map(({ number, event }) => `fault ${number}: ${event.what}`);
  return now.length <= NAMED_MAX ? named : [...named, `and ${now.length - NAMED_MAX} more faults`];
}
