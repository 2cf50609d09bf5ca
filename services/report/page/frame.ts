/**
 * What all panels of the time line share: one horizontal scale, one left edge, one way to draw a title
 * with its legend, a vertical axis and lines. A panel says how high it is and draws itself below a top.
 */

import type { RunResult } from "../result.ts";
import { el, label } from "./markup.ts";
import { type Scale, timeScale } from "./scale.ts";

/** Room at the left for the labels of axes and lanes, at the right for half a tick's label. */
const LEFT_WIDE = 118;
const LEFT_NARROW = 84;
const RIGHT = 22;
/** Below this a title and its legend do not fit one line. */
const NARROW = 700;
const TICK_PIXELS = 84;
const CHARACTER_PIXELS = 6.4;
const SAMPLE_PIXELS = 22;

export interface Frame {
  readonly width: number;
  readonly left: number;
  readonly right: number;
  readonly isNarrow: boolean;
  /** ms of the run to pixels, from `fromMs` at the left edge to `toMs` at the right one. */
  readonly x: Scale;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Panel {
  readonly height: number;
  /** @param top pixel of its upper edge */
  draw(top: number): string;
}

/** A sample in a legend: a class for its colour, and how it is drawn. */
export interface LegendEntry {
  readonly text: string;
  readonly mark: string;
  readonly shape: "line" | "area" | "diamond";
}

/** The frame of a run at a width. */
export function frameOf(result: RunResult, width: number): Frame {
  const isNarrow = width < NARROW;
  const left = isNarrow ? LEFT_NARROW : LEFT_WIDE;
  const right = width - RIGHT;
  const times = [...result.phases, ...result.workloads.flatMap((one) => one.intervals)];
  const from = times.reduce((least, one) => Math.min(least, one.fromMs), 0);
  const to = times.reduce((most, one) => Math.max(most, one.toMs), from + 1);
  const ticksMax = Math.max(2, Math.floor((right - left) / TICK_PIXELS));
  const x = timeScale({ from, to }, { from: left, to: right }, ticksMax);
  return { width, left, right, isNarrow, x, fromMs: from, toMs: to };
}

/** Height that a title with its legend takes. */
export function headHeight(frame: Frame, legend: readonly LegendEntry[]): number {
  return frame.isNarrow && legend.length > 0 ? 40 : 24;
}

/** Title at the left edge, legend at the right one, or below it where it is narrow. */
export function panelHead(
  frame: Frame,
  top: number,
  title: string,
  legend: readonly LegendEntry[],
): string {
  const widths = legend.map((one) => SAMPLE_PIXELS + 6 + one.text.length * CHARACTER_PIXELS + 14);
  const total = widths.reduce((sum, one) => sum + one, 0);
  const y = top + (frame.isNarrow ? 31 : 15);
  let x = frame.isNarrow ? 2 : frame.right - total;
  const entries = legend.map((entry, index) => {
    const at = x;
    x += widths[index] ?? 0;
    return (
      sampleOf(entry, at, y) + label({ class: "legend", x: at + SAMPLE_PIXELS + 6, y }, entry.text)
    );
  });
  return label({ class: "panelTitle", x: 2, y: top + 15 }, title) + entries.join("");
}

function sampleOf({ mark, shape }: LegendEntry, x: number, y: number): string {
  if (shape === "line")
    return el("line", { class: mark, x1: x, x2: x + SAMPLE_PIXELS, y1: y - 4, y2: y - 4 });
  if (shape === "area")
    return el("rect", { class: mark, x, width: SAMPLE_PIXELS, y: y - 9, height: 10 });
  return el("path", {
    class: mark,
    d: `M${Math.round(x + SAMPLE_PIXELS - 12)} ${y - 4}l5 -5l5 5l-5 5z`,
  });
}

/** Grid lines and their labels at the left. */
export function valueAxis(frame: Frame, y: Scale, text: (value: number) => string): string {
  return y.ticks
    .map((tick) => {
      const at = y.at(tick);
      const line = el("line", { class: "grid", x1: frame.left, x2: frame.right, y1: at, y2: at });
      return line + label({ class: "tick end", x: frame.left - 8, y: at + 4 }, text(tick));
    })
    .join("");
}

/** Has a label room? */
export function fits(text: string, pixels: number): boolean {
  return text.length * CHARACTER_PIXELS <= pixels;
}

/** A label that is cut where it has no room. */
export function fitted(text: string, pixels: number): string {
  const characters = Array.from(text);
  const room = Math.floor(pixels / CHARACTER_PIXELS);
  if (characters.length <= room) return text;
  return room < 3 ? "" : `${characters.slice(0, room - 1).join("")}…`;
}
