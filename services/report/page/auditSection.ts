/**
 * What the audits found: counts for each vDisk, and for a violation the pair of writes that proves it,
 * as a sentence, as two bars in time, and marked in the block map.
 */

import { formatBytes } from "../../base/units.ts";
import type { Audit, RunResult } from "../result.ts";
import { blockMap, mapLegend } from "./blockMap.ts";
import { fitted } from "./frame.ts";
import { el, escaped, label, titled } from "./markup.ts";
import { grouped, shortMs, timeOfDay } from "./quantities.ts";
import { timeScale } from "./scale.ts";
import { folded, section, table } from "./sections.ts";

type Audited = RunResult["audits"][number];
type Witness = NonNullable<Audit["witness"]>;
type NamedWrite = Witness["missing"];

const DRAWING = { width: 680, height: 104, left: 150, right: 640 } as const;

/** All audits; those that found something wrong come first and are open. */
export function audits(result: RunResult): string {
  if (result.audits.length === 0) return "";
  const sorted = [...result.audits].sort((a, b) => Number(a.audit.ok) - Number(b.audit.ok));
  return section("Audit of every acknowledged write", "audits", ...sorted.map(auditPart));
}

function auditPart(one: Audited): string {
  const { pd, site, audit } = one;
  const what = one.of === "source" ? "where it was written" : "the copy";
  const { witness } = audit;
  return el(
    "article",
    { class: audit.ok ? "audit" : "audit wrong" },
    el("h3", {}, escaped(`${audit.ok ? "✓" : "✗"} ${pd} at site ${site}, ${what}`)),
    el("p", {}, escaped(summaryOf(audit))),
    witness === undefined ? "" : witnessPart(witness),
    countTable(audit),
    audit.problems.length === 0
      ? ""
      : folded("Bad blocks", el("ul", { class: "plain" }, ...audit.problems.map(problem)), "open"),
    mapsPart(audit),
  );
}

const problem = (text: string): string => el("li", {}, escaped(text));

/** The outcome in sentences. */
export function summaryOf(audit: Audit): string {
  const of = `${grouped(audit.acknowledged)} acknowledged writes (${formatBytes(audit.bytes)})`;
  const order = audit.isPrefix ? "an exact prefix of their order" : "NO prefix of their order";
  if (audit.lost === 0) return `All of ${of} are there: ${order}.`;
  const first = audit.firstLost?.acknowledgedAtMs;
  const last = audit.lastLost?.acknowledgedAtMs;
  const span =
    first === undefined || last === undefined
      ? ""
      : ` The first lost answer was at ${timeOfDay(first)} UTC, the last at ${timeOfDay(last)}.`;
  return `${grouped(audit.lost)} of ${of} are lost, ${formatBytes(audit.lostBytes)}; what is there is ${order}. RPO ${shortMs(audit.rpoMs)}.${span}`;
}

function countTable(audit: Audit): string {
  const rowOf = (name: string, one: Audit["vdisks"][number] | Audit): readonly string[] => [
    name,
    grouped(one.acknowledged),
    grouped(one.kept),
    grouped(one.lost),
    formatBytes(one.lostBytes),
    grouped(one.outOfOrder),
    grouped(one.torn),
    grouped(one.rotten),
  ];
  const rows = audit.vdisks.map((one) => rowOf(one.vdisk, one));
  const all = audit.vdisks.length > 1 ? [rowOf("whole group", audit)] : [];
  const heads = [
    "vDisk",
    "acknowledged",
    "kept",
    "lost",
    "lost bytes",
    "out of order",
    "torn blocks",
    "rotten blocks",
  ];
  return table(heads, [...rows, ...all], ["", ...heads.slice(1).map(() => "right")]);
}

function witnessPart({ missing, present }: Witness): string {
  const answered = missing.acknowledgedAtMs ?? missing.issuedAtMs;
  const sentence = `Write ${missing.gseq} on ${missing.vdisk}, acknowledged at ${timeOfDay(answered)} UTC, is missing, although write ${present.gseq} on ${present.vdisk}, issued ${shortMs(present.issuedAtMs - answered)} later, is there.`;
  return el(
    "figure",
    { class: "witness" },
    el("figcaption", {}, el("strong", {}, "Witness pair. "), escaped(sentence)),
    el("div", { class: "scroll" }, witnessDrawing({ missing, present })),
  );
}

/** Both writes from issue to answer. */
function witnessDrawing({ missing, present }: Witness): string {
  const { width, height, left, right } = DRAWING;
  const end = (write: NamedWrite): number => write.acknowledgedAtMs ?? write.issuedAtMs;
  const from = Math.min(missing.issuedAtMs, present.issuedAtMs);
  const to = Math.max(end(missing), end(present));
  const pad = Math.max(1, (to - from) * 0.06);
  const x = timeScale({ from: -pad, to: to - from + pad }, { from: left, to: right }, 6);
  const row = (write: NamedWrite, kind: "missing" | "present", y: number): string => {
    const start = x.at(write.issuedAtMs - from);
    const bar = {
      class: `write ${kind}`,
      x: start,
      y,
      height: 20,
      width: Math.max(3, x.at(end(write) - from) - start),
      rx: 2,
    };
    const name = `${write.vdisk} ${write.gseq}`;
    const spoken = `${kind}: write ${write.gseq}, ${write.vdisk} block ${write.lba}, issued ${timeOfDay(write.issuedAtMs)}, acknowledged ${timeOfDay(end(write))}`;
    return (
      label({ class: "tick end", x: left - 8, y: y + 14 }, fitted(name, left - 10)) +
      titled("rect", bar, spoken) +
      label({ class: "spanText", x: start + 5, y: y + 14 }, kind)
    );
  };
  const ticks = x.ticks.map((tick) => {
    const at = x.at(tick);
    const line = el("line", { class: "grid", x1: at, x2: at, y1: 6, y2: 78 });
    return line + label({ class: "tick mid", x: at, y: 94 }, shortMs(tick));
  });
  const box = {
    class: "drawing",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "The two writes in time",
  };
  return el("svg", box, ...ticks, row(missing, "missing", 12), row(present, "present", 48));
}

function mapsPart(audit: Audit): string {
  if (audit.maps.length === 0) return "";
  const marks = [
    ...(audit.witness === undefined
      ? []
      : [{ ...audit.witness.missing, mark: "missing" as const }]),
    ...(audit.witness === undefined
      ? []
      : [{ ...audit.witness.present, mark: "present" as const }]),
  ];
  const maps = audit.maps.map((map) =>
    blockMap(
      map,
      marks.filter((one) => one.vdisk === map.vdisk),
    ),
  );
  return folded(
    "Block map of each vDisk",
    mapLegend(audit.maps) + maps.join(""),
    audit.ok ? "quiet" : "open",
  );
}
