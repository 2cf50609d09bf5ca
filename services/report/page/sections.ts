/** The parts of the page in words and tables: verdicts, figures, events, replications. */

import { formatBytes, formatDuration } from "../../base/units.ts";
import { faultsText } from "../faultCounts.ts";
import type { RunResult } from "../result.ts";
import { numberedEvents } from "./eventsPanel.ts";
import { el, escaped } from "./markup.ts";
import { day, grouped, shortMs, timeOfDay } from "./quantities.ts";

type Verdict = RunResult["verdicts"][number];

/** A verdict is told by a sign, a word and a colour. */
const VERDICTS = {
  held: { sign: "✓", word: "held", style: "good" },
  violated: { sign: "✗", word: "violated", style: "bad" },
  vacuous: { sign: "○", word: "vacuous", style: "unsure" },
} as const;

/** Name, outcome and the figures that one asks for first. */
export function header(result: RunResult): string {
  const { scenario, startedAtMs } = result;
  const outcome = result.ok
    ? el("p", { class: "outcome good" }, "✓ good: every asserted promise held")
    : el("p", { class: "outcome bad" }, escaped(`✗ ${failureOf(result)}`));
  return el(
    "header",
    {},
    el("p", { class: "kind" }, `antipode ${escaped(result.antipode)} · chaos run`),
    el("h1", {}, escaped(scenario.name)),
    el("p", { class: "description" }, escaped(scenario.description)),
    outcome,
    el("dl", { class: "figures" }, ...figuresOf(result).map(figure)),
    el(
      "p",
      { class: "when" },
      `${day(startedAtMs)} ${timeOfDay(startedAtMs).slice(0, 8)} UTC · ${result.sites.map(({ name, cvms }) => `site ${escaped(name)}: ${cvms} CVM${cvms === 1 ? "" : "s"}`).join(" · ")}`,
    ),
  );
}

function failureOf({ verdicts }: RunResult): string {
  const violated = verdicts.filter((one) => one.verdict === "violated");
  if (violated.length > 0) return `${violated.map((one) => one.invariant).join(", ")} violated`;
  const untested = verdicts.filter((one) => one.verdict === "vacuous" && one.asserted);
  return `${untested.map((one) => one.invariant).join(", ")} asserted but never tested`;
}

function figuresOf(result: RunResult): readonly (readonly [string, string])[] {
  const sum = (of: (one: RunResult["workloads"][number]) => number): number =>
    result.workloads.reduce((total, one) => total + of(one), 0);
  const faults = result.events.filter((one) => one.kind === "fault" && one.problem === "");
  // Results of earlier versions do not say the kinds.
  const named = faults.every((one) => one.fault !== undefined);
  const lost = result.audits.reduce((total, one) => total + one.audit.lost, 0);
  const worst = result.workloads
    .flatMap((one) => one.intervals)
    .reduce((max, one) => Math.max(max, one.maxMs), 0);
  const resent = result.jobs.reduce((total, one) => total + one.resentBytes, 0);
  const length = result.phases.reduce((total, { fromMs, toMs }) => total + toMs - fromMs, 0);
  return [
    ["faults", named ? faultsText(result) : String(faults.length)],
    ["took", formatDuration(length)],
    ["acknowledged writes", grouped(sum((one) => one.acknowledged))],
    ["lost writes", result.audits.length === 0 ? "not audited" : grouped(lost)],
    ["slowest write", worst === 0 ? "–" : shortMs(worst)],
    ["sent again", formatBytes(resent)],
    ["seed", String(result.seed)],
  ];
}

function figure([name, value]: readonly [string, string]): string {
  return el("div", {}, el("dt", {}, escaped(name)), el("dd", {}, escaped(value)));
}

/** One row for each promise. */
export function verdicts(result: RunResult): string {
  return section(
    "Verdicts",
    "verdicts",
    el("ul", { class: "verdicts" }, ...result.verdicts.map(verdictItem)),
  );
}

function verdictItem(one: Verdict): string {
  const { sign, word, style } = VERDICTS[one.verdict];
  return el(
    "li",
    { class: style },
    el("span", { class: "sign", "aria-hidden": "true" }, sign),
    el("strong", { class: "invariant" }, escaped(one.invariant)),
    el("span", { class: "word" }, word, one.asserted ? "" : el("small", {}, "not asserted")),
    el(
      "div",
      { class: "told" },
      el("p", { class: "promise" }, escaped(one.promise)),
      el(
        "p",
        { class: "found" },
        one.verdict === "vacuous" ? "Not tested: " : "",
        escaped(one.found),
      ),
    ),
  );
}

/** The numbered list that belongs to the chart. */
export function eventList(result: RunResult): string {
  const rows = numberedEvents(result).map(({ number, event }) => [
    String(number),
    shortMs(event.fromMs),
    event.toMs > event.fromMs ? shortMs(event.toMs - event.fromMs) : "–",
    event.what,
    event.problem === "" ? event.struck.join(", ") : `not done: ${event.problem}`,
  ]);
  const heads = ["#", "at", "lasted", "what", "struck"];
  const body = table(heads, rows, ["right", "right", "right", "", ""]);
  const title = `Faults and actions (${rows.length})`;
  return rows.length === 0 ? "" : folded(title, body, rows.length <= 20 ? "open" : "closed");
}

export function jobTable(result: RunResult): string {
  if (result.jobs.length === 0) return "";
  const rows = result.jobs.map((job) => [
    `${job.pd} ${job.point}`,
    `${job.from}→${job.to}`,
    job.state,
    formatDuration(job.toMs - job.fromMs),
    formatBytes(job.logicalBytes),
    formatBytes(job.wireBytes),
    `${formatBytes(job.resentBytes)} (${share(job.resentBytes, job.wireBytes)})`,
    String(job.strikes),
    String(job.leaderChanges),
  ]);
  const heads = [
    "recovery point",
    "way",
    "state",
    "took",
    "logical",
    "on the wire",
    "sent again",
    "faults while it ran",
    "other leaders",
  ];
  const aligned = ["", "", "", "right", "right", "right", "right", "right", "right"];
  return section("Replications", "jobs", table(heads, rows, aligned));
}

function share(part: number, whole: number): string {
  return whole === 0 ? "0 %" : `${Number(((100 * part) / whole).toFixed(1))} %`;
}

/** How to have the same run again. */
export function reproduce(result: RunResult): string {
  return section(
    "Run it again",
    "again",
    el("pre", { tabindex: 0 }, el("code", {}, escaped(result.reproduce))),
  );
}

export function section(title: string, id: string, ...body: readonly string[]): string {
  return el("section", { id }, el("h2", {}, escaped(title)), ...body);
}

/** A part that can be closed. One that is closed and quiet is left out on paper, others are opened there. */
export function folded(title: string, body: string, state: "open" | "closed" | "quiet"): string {
  const attributes = { open: { open: "" }, closed: {}, quiet: { class: "quiet" } }[state];
  return el("details", attributes, el("summary", {}, escaped(title)), body);
}

/** A table that scrolls by itself where it is too wide. @param aligned class of each column */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  aligned: readonly string[],
): string {
  const classOf = (index: number): { class?: string } =>
    (aligned[index] ?? "") === "" ? {} : { class: aligned[index] ?? "" };
  const head = heads.map((one, index) =>
    el("th", { scope: "col", ...classOf(index) }, escaped(one)),
  );
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((cell, index) => el("td", classOf(index), escaped(cell)))),
  );
  return el(
    "div",
    { class: "scroll", tabindex: 0 },
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)),
  );
}
