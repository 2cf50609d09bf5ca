/**
 * A sequence chart for a terminal: columns are processes, rows are times, `o---->|` is a message, `X`
 * something that happens to a process, `*` a transaction at etcd, a line of `~` a fault.
 */

import { type Chart, type ChartRow, processesOf } from "./chart.ts";

const TIME_WIDTH = 10;
const COLUMN_WIDTH = 6;
const LABEL_WIDTH = 26;

/**
 * @param width characters a line may have; processes with the fewest rows are left out when there is
 * no room for all
 */
export function chartText(chart: Chart, width: number): readonly string[] {
  const room = Math.floor((width - TIME_WIDTH - LABEL_WIDTH - 2) / COLUMN_WIDTH);
  const columns = busiest(chart, Math.max(2, room));
  const shown = chart.rows.filter((row) => processesOf(row).every((one) => columns.includes(one)));
  const head = columns.map((name) => short(name).padEnd(COLUMN_WIDTH)).join("");
  const left = chart.rows.length - shown.length;
  const { focusMs } = chart;
  const lines = [`${"ms".padStart(TIME_WIDTH)}  ${head}`.trimEnd()];
  let isMarked = focusMs === undefined;
  for (const row of shown) {
    if (!isMarked && focusMs !== undefined && row.ms > focusMs) {
      isMarked = true;
      lines.push(violationLine(focusMs, columns.length));
    }
    lines.push(line(row, columns, width));
  }
  if (!isMarked && focusMs !== undefined) lines.push(violationLine(focusMs, columns.length));
  if (left > 0)
    lines.push(
      `${" ".repeat(TIME_WIDTH)}  (${left} rows of other processes are left out; --chart shows them)`,
    );
  return lines;
}

/** Column heads: `stargate-A-1` is `sgA1`. */
function short(name: string): string {
  const [service = "", site = "", cvm = ""] = name.split("-");
  const letters =
    service === "stargate" ? "sg" : service === "cerebro" ? "ce" : service.slice(0, 2);
  return `${letters}${site}${cvm}`.slice(0, COLUMN_WIDTH - 1);
}

function busiest(chart: Chart, columnsMax: number): readonly string[] {
  const counts = new Map<string, number>();
  for (const one of chart.rows.flatMap(processesOf)) counts.set(one, (counts.get(one) ?? 0) + 1);
  const kept = [...chart.columns]
    .sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0))
    .slice(0, columnsMax);
  return chart.columns.filter((name) => kept.includes(name));
}

function line(row: ChartRow, columns: readonly string[], width: number): string {
  const time = row.ms.toFixed(3).padStart(TIME_WIDTH);
  const body =
    row.kind === "fault" ? "~".repeat(columns.length * COLUMN_WIDTH - 1) : track(row, columns);
  return `${time}  ${body.padEnd(columns.length * COLUMN_WIDTH)}${row.label}`
    .slice(0, width)
    .trimEnd();
}

function violationLine(focusMs: number, columns: number): string {
  const time = focusMs.toFixed(3).padStart(TIME_WIDTH);
  return `${time}  ${"=".repeat(columns * COLUMN_WIDTH - 1)} violated`;
}

/** Life lines with the row's arrow or mark on them. */
function track(row: Exclude<ChartRow, { kind: "fault" }>, columns: readonly string[]): string {
  const cells: string[] = Array.from({ length: columns.length * COLUMN_WIDTH }, (_, at) =>
    at % COLUMN_WIDTH === 0 ? "|" : " ",
  );
  const place = (name: string): number => columns.indexOf(name) * COLUMN_WIDTH;
  if (row.kind === "mark") {
    cells[place(row.at)] = row.label.startsWith("etcd ") ? "*" : "X";
    return cells.join("");
  }
  const from = place(row.from);
  const to = place(row.to);
  cells.fill("-", Math.min(from, to) + 1, Math.max(from, to));
  cells[from] = from === to ? "@" : "o";
  if (from !== to) cells[to > from ? to - 1 : to + 1] = to > from ? ">" : "<";
  return cells.join("");
}
