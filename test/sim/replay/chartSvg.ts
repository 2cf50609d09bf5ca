/**
 * A sequence chart as a picture that opens offline: an SVG by itself, or in a page that also says
 * what was violated, by which faults, and how to see it again.
 */

import type { Chart, ChartRow } from "./chart.ts";

const COLUMN_PX = 120;
const ROW_PX = 18;
const TIME_PX = 90;
const HEAD_PX = 34;
const LABEL_PX = 220;
const STYLE = `
  text { font: 11px ui-monospace, monospace; fill: #1f2933 }
  .name { font-weight: bold; text-anchor: middle }
  .time { text-anchor: end; fill: #52606d }
  .life { stroke: #cbd2d9 }
  .arrow { stroke: #2563a8; fill: none }
  .tip, .from { fill: #2563a8 }
  .mark { fill: #8a5a00 }
  .fault { fill: #fde8e8 }
  .faultText { fill: #a61b1b; font-weight: bold }
  .focus { stroke: #a61b1b; stroke-dasharray: 6 3 }
`;

/** A whole SVG document. */
export function chartSvg(chart: Chart): string {
  const width = TIME_PX + chart.columns.length * COLUMN_PX + LABEL_PX;
  const height = HEAD_PX + (chart.rows.length + 1) * ROW_PX;
  const x = (name: string): number => TIME_PX + (chart.columns.indexOf(name) + 0.5) * COLUMN_PX;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<style>${STYLE}</style>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...chart.columns.flatMap((name) => [
      `<text class="name" x="${x(name)}" y="20">${escaped(name)}</text>`,
      `<line class="life" x1="${x(name)}" x2="${x(name)}" y1="${HEAD_PX - 6}" y2="${height}"/>`,
    ]),
    ...chart.rows.map((row, i) => rowSvg(row, HEAD_PX + (i + 0.5) * ROW_PX, x, width)),
    ...focusLine(chart, width),
    "</svg>",
  ];
  return parts.join("\n");
}

/** What a page says above its chart. */
export interface PageHead {
  readonly title: string;
  /** Name and text, a line each. */
  readonly facts: readonly (readonly [name: string, text: string])[];
}

/** A page without anything from elsewhere. */
export function chartPage(chart: Chart, { title, facts }: PageHead): string {
  const rows = facts.map(
    ([name, text]) => `<tr><th>${escaped(name)}</th><td><code>${escaped(text)}</code></td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escaped(title)}</title>
<style>
  body { font: 14px system-ui, sans-serif; margin: 1.5em; color: #1f2933 }
  th { text-align: left; vertical-align: top; padding-right: 1em; white-space: nowrap }
  td code { white-space: pre-wrap; overflow-wrap: anywhere }
</style>
<h1>${escaped(title)}</h1>
<table>
${rows.join("\n")}
</table>
${chartSvg(chart)}
</html>
`;
}

function rowSvg(row: ChartRow, y: number, x: (name: string) => number, width: number): string {
  const time = `<text class="time" x="${TIME_PX - 12}" y="${y + 4}">${row.ms.toFixed(3)}</text>`;
  const labelX = width - LABEL_PX + 8;
  if (row.kind === "fault") {
    const band = `<rect class="fault" x="0" y="${y - ROW_PX / 2}" width="${width}" height="${ROW_PX}"/>`;
    const text = `<text class="faultText" x="${TIME_PX}" y="${y + 4}">${escaped(row.label)}</text>`;
    return `${band}${time}${text}`;
  }
  if (row.kind === "mark") {
    const text = `<text class="mark" x="${x(row.at) + 8}" y="${y + 4}">${escaped(row.label)}</text>`;
    return `${time}<circle class="mark" cx="${x(row.at)}" cy="${y}" r="4"/>${text}`;
  }
  const label = `<text x="${labelX}" y="${y + 4}">${escaped(row.label)}</text>`;
  return `${time}${arrow(x(row.from), x(row.to), y)}${label}`;
}

function arrow(from: number, to: number, y: number): string {
  const start = `<circle class="from" cx="${from}" cy="${y}" r="2.5"/>`;
  if (from === to) return `${start}<path class="arrow" d="M${from} ${y} h22 v7 h-20"/>`;
  const back = to > from ? -7 : 7;
  const tip = `<path class="tip" d="M${to} ${y} l${back} -4 v8 z"/>`;
  return `${start}<line class="arrow" x1="${from}" x2="${to + back}" y1="${y}" y2="${y}"/>${tip}`;
}

function focusLine({ rows, focusMs }: Chart, width: number): readonly string[] {
  if (focusMs === undefined) return [];
  const after = rows.findIndex(({ ms }) => ms > focusMs);
  const y = HEAD_PX + (after < 0 ? rows.length : after) * ROW_PX;
  return [
    `<line class="focus" x1="0" x2="${width}" y1="${y}" y2="${y}"/>`,
    `<text class="faultText" x="${width - LABEL_PX + 8}" y="${y - 3}">violated</text>`,
  ];
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
