/** Who led and who owned what, with which epoch; and which replications were under way. */

import { formatBytes } from "../../base/units.ts";
import type { Lane, RunResult } from "../result.ts";
import { type Frame, fits, fitted, type Panel, panelHead } from "./frame.ts";
import { label, titled } from "./markup.ts";
import { shortMs } from "./quantities.ts";

const ROW = 24;
const BAR = 18;
const COLOURS = 6;
/** Two spans at one time by less are one hand-over seen at two looks. */
const OVERLAP_MS = 1000;

type Span = Lane["spans"][number];

/** Spans during which another one of the same lane ran too: two that led at once. */
export function rivals(spans: readonly Span[]): ReadonlySet<Span> {
  const found = new Set<Span>();
  for (const a of spans)
    for (const b of spans) {
      const together = Math.min(a.toMs, b.toMs) - Math.max(a.fromMs, b.fromMs);
      if (a !== b && a.epoch === b.epoch && a.cvm !== b.cvm) found.add(a);
      if (a !== b && a.cvm !== b.cvm && together > OVERLAP_MS) found.add(a);
    }
  return found;
}

export function lanesPanel(frame: Frame, result: RunResult): Panel {
  const lanes = result.lanes.filter((one) => one.spans.length > 0);
  return {
    height: lanes.length === 0 ? 0 : 24 + lanes.length * ROW + 10,
    draw(top) {
      if (lanes.length === 0) return "";
      const title = frame.isNarrow
        ? "CVM and epoch (e) that leads or owns"
        : "Leaders and owners: CVM and epoch (e)";
      return [
        panelHead(frame, top, title, []),
        ...lanes.map((lane, index) => laneRow(frame, lane, top + 24 + index * ROW)),
      ].join("");
    },
  };
}

function laneName({ site, role, subject }: Lane): string {
  return role === "cerebro.leader" ? `${site} leader` : `${site} ${subject}`;
}

function laneRow(frame: Frame, lane: Lane, top: number): string {
  const name = laneName(lane);
  const room = frame.left - 10;
  const bad = rivals(lane.spans);
  const bars = lane.spans.map((span) => {
    const x = frame.x.at(span.fromMs);
    const width = Math.max(2, frame.x.at(span.toMs) - x);
    const rival = bad.has(span);
    const colour = `cvm${((span.cvm - 1) % COLOURS) + 1}`;
    const box = {
      class: `span ${colour}${rival ? " rival" : ""}`,
      x,
      width,
      y: top,
      height: BAR,
      rx: 2,
    };
    const lasts = `${shortMs(span.fromMs)} to ${shortMs(span.toMs)}`;
    const warning = rival ? "; TWO AT ONE TIME" : "";
    const spoken = `${name}: CVM ${span.cvm}, epoch ${span.epoch}, ${lasts}${warning}`;
    const long = `CVM ${span.cvm} e${span.epoch}`;
    const short = `${span.cvm}`;
    const text = [long, short].find((one) => fits(one, width - 3)) ?? "";
    const middle = { class: "spanText mid", x: x + width / 2, y: top + 13 };
    return titled("rect", box, spoken) + (text === "" ? "" : label(middle, text));
  });
  return (
    label({ class: "tick end", x: frame.left - 8, y: top + 13 }, fitted(name, room)) + bars.join("")
  );
}

/** Replications as bars from start to end. */
export function jobsPanel(frame: Frame, result: RunResult): Panel {
  const rows = packJobs(result.jobs);
  const height = rows.length === 0 ? 0 : 24 + rows.length * ROW + 10;
  return {
    height,
    draw(top) {
      if (rows.length === 0) return "";
      return [
        panelHead(frame, top, "Replications", []),
        ...rows.flatMap((row, index) =>
          row.map((job) => jobBar(frame, job, top + 24 + index * ROW)),
        ),
      ].join("");
    },
  };
}

type Job = RunResult["jobs"][number];

/** Jobs of one time go to different rows. */
function packJobs(jobs: readonly Job[]): readonly (readonly Job[])[] {
  const rows: Job[][] = [];
  for (const job of [...jobs].sort((a, b) => a.fromMs - b.fromMs)) {
    const row = rows.find((one) => (one.at(-1)?.toMs ?? 0) <= job.fromMs);
    if (row === undefined) rows.push([job]);
    else row.push(job);
  }
  return rows;
}

function jobBar(frame: Frame, job: Job, top: number): string {
  const x = frame.x.at(job.fromMs);
  const width = Math.max(3, frame.x.at(job.toMs) - x);
  const done = job.state === "DONE" ? "" : " rival";
  const box = { class: `job${done}`, x, width, y: top, height: BAR, rx: 2 };
  const resent = job.resentBytes === 0 ? "" : `, ${formatBytes(job.resentBytes)} of it again`;
  const spoken = `${job.pd} ${job.point} ${job.from}→${job.to}: ${job.state}, ${formatBytes(job.wireBytes)} on the wire${resent}, ${shortMs(job.toMs - job.fromMs)}`;
  const wanted = [`${job.point}, ${formatBytes(job.wireBytes)}`, job.point];
  const text = wanted.find((one) => fits(one, width - 8)) ?? "";
  return (
    titled("rect", box, spoken) +
    (text !== "" ? label({ class: "spanText", x: x + 4, y: top + 13 }, text) : "")
  );
}
