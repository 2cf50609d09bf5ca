/**
 * What was done to the lab: phases of the run, faults as bars from injection to healing, actions as
 * diamonds. The numbers are those of the list below the chart; the bands run through all panels.
 */

import { formatDuration } from "../../base/units.ts";
import type { RunResult } from "../result.ts";
import { type Frame, fits, headHeight, type LegendEntry, type Panel, panelHead } from "./frame.ts";
import { el, escaped, label, titled } from "./markup.ts";
import { shortMs } from "./quantities.ts";

type RunEvent = RunResult["events"][number];

/** A numbered event of the run. */
export interface NumberedEvent {
  readonly number: number;
  readonly event: RunEvent;
}

const LEGEND: readonly LegendEntry[] = [
  { text: "fault until healed", mark: "fault", shape: "area" },
  { text: "action", mark: "action", shape: "diamond" },
];
const ROW = 17;
const BAR = 11;
/** Rows beyond which faults at one time are drawn over each other. */
const ROWS_MAX = 6;
const BAR_PIXELS_MIN = 5;
const DIGIT_PIXELS = 7;

/** Events in order of time, numbered from 1. */
export function numberedEvents(result: RunResult): readonly NumberedEvent[] {
  const sorted = [...result.events].sort((a, b) => a.fromMs - b.fromMs);
  return sorted.map((event, index) => ({ number: index + 1, event }));
}

/** Vertical bands of all faults, behind the panels. */
export function faultBands(
  frame: Frame,
  result: RunResult,
  span: { readonly top: number; readonly bottom: number },
): string {
  return result.events
    .filter((one) => one.kind === "fault" && one.problem === "")
    .map(({ fromMs, toMs }) => {
      const x = frame.x.at(fromMs);
      const width = Math.max(1.5, frame.x.at(toMs) - x);
      return el("rect", { class: "band", x, width, y: span.top, height: span.bottom - span.top });
    })
    .join("");
}

/** Names of the phases, and lines between them. */
export function phasesPanel(frame: Frame, result: RunResult): Panel {
  return {
    height: 22,
    draw: (top) =>
      result.phases
        .map(({ name, fromMs, toMs }) => {
          const [x, end] = [frame.x.at(fromMs), frame.x.at(toMs)];
          const width = Math.max(0, end - x);
          const spoken = `${name}: ${formatDuration(toMs - fromMs)}`;
          const box = {
            class: "phase",
            x,
            width: Math.max(1, width - 1),
            y: top,
            height: 18,
            rx: 2,
          };
          const middle = { class: "legend mid", x: x + width / 2, y: top + 13 };
          return titled("rect", box, spoken) + (fits(name, width - 6) ? label(middle, name) : "");
        })
        .join(""),
  };
}

/** Faults packed into rows, then actions. */
export function eventsPanel(frame: Frame, result: RunResult): Panel {
  const events = numberedEvents(result);
  const faults = pack(
    frame,
    events.filter(({ event }) => event.kind === "fault"),
  );
  const others = pack(
    frame,
    events.filter(({ event }) => event.kind !== "fault"),
  );
  const rowsOf = (packed: readonly Packed[]): number =>
    packed.reduce((most, one) => Math.max(most, one.row + 1), 0);
  const [faultRows, otherRows] = [rowsOf(faults), rowsOf(others)];
  const head = headHeight(frame, LEGEND);
  return {
    height: head + (faultRows + otherRows) * ROW + 8,
    draw(top) {
      const rowsTop = top + head;
      const side = (text: string, row: number): string =>
        label({ class: "tick end", x: frame.left - 8, y: rowsTop + row * ROW + 10 }, text);
      return [
        panelHead(frame, top, "Faults and actions", LEGEND),
        faultRows > 0 ? side("faults", 0) : "",
        otherRows > 0 ? side("actions", faultRows) : "",
        ...faults.map((one) => faultMark(one, rowsTop)),
        ...others.map((one) => actionMark(one, rowsTop + faultRows * ROW)),
      ].join("");
    },
  };
}

interface Packed extends NumberedEvent {
  readonly x: number;
  readonly end: number;
  readonly row: number;
  /** Is there room for its number behind it? */
  readonly hasNumber: boolean;
}

/** Each event in the first row in which nothing is in its way; its number too where there is room. */
function pack(frame: Frame, events: readonly NumberedEvent[]): readonly Packed[] {
  const free: number[] = [];
  const placed = events.map((one) => {
    const x = frame.x.at(one.event.fromMs);
    const end = Math.max(x + BAR_PIXELS_MIN, frame.x.at(one.event.toMs));
    const numbered = end + 3 + String(one.number).length * DIGIT_PIXELS;
    const first = free.findIndex((until) => until <= x);
    const row = first >= 0 ? first : Math.min(free.length, ROWS_MAX - 1);
    free[row] = Math.max(free[row] ?? 0, numbered);
    return { ...one, x, end, row, numbered };
  });
  return placed.map(({ numbered, ...one }) => {
    const isCovered = placed.some(
      (other) =>
        other.number !== one.number &&
        other.row === one.row &&
        other.x < numbered &&
        other.numbered > one.end,
    );
    return { ...one, hasNumber: !isCovered && numbered <= frame.width };
  });
}

function faultMark({ event, number, x, end, row, hasNumber }: Packed, top: number): string {
  const y = top + row * ROW;
  const skipped = event.problem === "" ? "" : " skipped";
  const box = { class: `fault${skipped}`, x, width: end - x, y, height: BAR, rx: 1.5 };
  const text = { class: "number", x: end + 3, y: y + 9.5 };
  return (
    titled("rect", box, spoken(event, number)) + (hasNumber ? label(text, String(number)) : "")
  );
}

/** A diamond where it begins, and a line until it was done. */
function actionMark({ event, number, x, end, row, hasNumber }: Packed, top: number): string {
  const y = top + row * ROW + BAR / 2;
  const d = `M${(x - 1).toFixed(1)} ${y}l5 -5l5 5l-5 5z`;
  const mark = el("path", { class: "action", d }, el("title", {}, escaped(spoken(event, number))));
  const line = el("line", {
    class: "actionSpan",
    x1: x + 4,
    x2: Math.max(x + 4, end),
    y1: y,
    y2: y,
  });
  const text = { class: "number", x: Math.max(x + 12, end + 4), y: y + 4 };
  return line + mark + (hasNumber ? label(text, String(number)) : "");
}

/** What a pointer or a screen reader finds at an event. */
function spoken(event: RunEvent, number: number): string {
  const when = `${number}. at ${shortMs(event.fromMs)}`;
  const lasts = event.toMs > event.fromMs ? `, ${shortMs(event.toMs - event.fromMs)} long` : "";
  const struck = event.struck.length === 0 ? "" : ` (${event.struck.join(", ")})`;
  const problem = event.problem === "" ? "" : `; not done: ${event.problem}`;
  return `${when}${lasts}: ${event.what}${struck}${problem}`;
}
