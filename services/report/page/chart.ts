/** The time line of a run as one SVG: panels below each other on one axis of time. */

import type { RunResult } from "../result.ts";
import { eventsPanel, faultBands, phasesPanel } from "./eventsPanel.ts";
import { type Frame, frameOf, type Panel } from "./frame.ts";
import { lagPanels } from "./lagPanel.ts";
import { jobsPanel, lanesPanel } from "./lanesPanel.ts";
import { el, escaped, label } from "./markup.ts";
import { tickMs } from "./quantities.ts";
import { latencyPanel, throughputPanel } from "./workloadPanels.ts";

const AXIS = 34;

/** @param width of its drawing in px; it is scaled to what the page has */
export function chart(result: RunResult, width: number): string {
  const frame = frameOf(result, width);
  const panels: readonly Panel[] = [
    phasesPanel(frame, result),
    eventsPanel(frame, result),
    ...result.workloads.flatMap((one) => [throughputPanel(frame, one), latencyPanel(frame, one)]),
    ...lagPanels(frame, result),
    lanesPanel(frame, result),
    jobsPanel(frame, result),
  ];
  let top = 0;
  const drawn = panels.map((panel) => {
    const markup = panel.draw(top);
    top += panel.height;
    return markup;
  });
  const bottom = top;
  const summary = `Time line of ${result.scenario.name}: faults, throughput, latency, lag, leaders and replications on one axis`;
  return el(
    "svg",
    {
      class: "chart",
      viewBox: `0 0 ${width} ${bottom + AXIS}`,
      role: "img",
      "aria-label": summary,
      tabindex: 0,
      "data-left": frame.left,
      "data-right": frame.right,
      "data-from": frame.fromMs,
      "data-to": frame.toMs,
    },
    el("title", {}, escaped(summary)),
    timeGrid(frame, bottom),
    faultBands(frame, result, { top: panels[0]?.height ?? 0, bottom }),
    ...drawn,
    timeAxis(frame, bottom),
    el("line", { class: "cursor", x1: -9, x2: -9, y1: 22, y2: bottom }),
  );
}

function timeGrid(frame: Frame, bottom: number): string {
  return frame.x.ticks
    .map((tick) => {
      const x = frame.x.at(tick);
      return el("line", { class: "grid", x1: x, x2: x, y1: 22, y2: bottom });
    })
    .join("");
}

function timeAxis(frame: Frame, bottom: number): string {
  const line = { class: "axis", x1: frame.left, x2: frame.right, y1: bottom, y2: bottom };
  const ticks = frame.x.ticks.map((tick) => {
    const x = frame.x.at(tick);
    const mark = el("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 5 });
    return mark + label({ class: "tick mid", x, y: bottom + 18 }, tickMs(tick));
  });
  const name = { class: "tick", x: 2, y: bottom + 18 };
  return (
    el("line", line) +
    label(name, frame.isNarrow ? "time" : "since the first step") +
    ticks.join("")
  );
}
