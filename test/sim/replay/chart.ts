/**
 * What went on near a violation, as rows of a sequence chart: messages between processes, what happened
 * to a process, and faults. Drawn as text by chartText.ts, as a picture by chartSvg.ts.
 */

import type { TraceEvent } from "../trace.ts";
import type { Violation } from "./trial.ts";

/** One thing at one time. */
export type ChartRow =
  | {
      readonly kind: "message";
      readonly ms: number;
      readonly from: string;
      readonly to: string;
      readonly label: string;
    }
  /** Something that happened to a process, or that it did to etcd. */
  | { readonly kind: "mark"; readonly ms: number; readonly at: string; readonly label: string }
  | { readonly kind: "fault"; readonly ms: number; readonly label: string };

export interface Chart {
  /** Processes, in the order of their names. */
  readonly columns: readonly string[];
  /** In order of time; equal messages that follow each other are one row, counted in its label. */
  readonly rows: readonly ChartRow[];
  /** When the violation was seen, if anybody knows. */
  readonly focusMs: number | undefined;
}

/** Part of all rows that are shown after the violation, or after the last fault. */
const AFTER_SHARE = { violation: 0.2, fault: 0.7 };
const LIFE_EVENTS: ReadonlySet<string> = new Set(["start", "ready", "kill", "pause", "resume"]);
/** A look at the queue of an election: every candidate takes one every second. */
const LOOK = /^antipode\/seat\/[^,]*,/;
const HOST_AND_PATH = /^([^/]+)\/(?:.*\/)?([^/]+)$/;

/** When a violation was seen: the later of the two things that cannot both be. */
export function focusOf({ witness }: Violation): number | undefined {
  const times = [witness?.found.at?.ms, witness?.against.at?.ms].filter((ms) => ms !== undefined);
  return times.length === 0 ? undefined : Math.max(...times);
}

/** A row, and how often it came in a row. */
interface Counted {
  readonly row: ChartRow;
  count: number;
}

/** Collects the rows of a run; give it to the run as `onEvent`. */
export class ChartRows {
  readonly #focusMs: number | undefined;
  readonly #rowsMax: number;
  readonly #afterMax: number;
  #before: Counted[] = [];
  #after: Counted[] = [];

  /** @param focusMs when the violation was seen; `undefined` shows what followed the last fault */
  constructor(focusMs: number | undefined, rowsMax: number) {
    this.#focusMs = focusMs;
    this.#rowsMax = rowsMax;
    const share = AFTER_SHARE[focusMs === undefined ? "fault" : "violation"];
    this.#afterMax = Math.floor(rowsMax * share);
  }

  add(event: TraceEvent): void {
    const row = rowOf(event);
    if (row === undefined) return;
    if (this.#focusMs === undefined && row.kind === "fault") {
      for (const one of this.#after) this.#keep(one);
      this.#after = [];
      this.#keep({ row, count: 1 });
      return;
    }
    const isBefore = this.#focusMs !== undefined && row.ms <= this.#focusMs;
    const last = (isBefore ? this.#before : this.#after).at(-1);
    if (last !== undefined && isRepeated(last.row, row)) last.count += 1;
    else if (isBefore) this.#keep({ row, count: 1 });
    else if (this.#after.length < this.#afterMax) this.#after.push({ row, count: 1 });
  }

  chart(): Chart {
    const after = this.#after;
    const before = this.#before.slice(-Math.max(1, this.#rowsMax - after.length));
    const rows = [...before, ...after].map(({ row, count }) =>
      count === 1 ? row : { ...row, label: `${row.label} x${count}` },
    );
    const columns = [...new Set(rows.flatMap(processesOf))].sort();
    return { columns, rows, focusMs: this.#focusMs };
  }

  /** The oldest are dropped in bulk, so that a long run does not move the list at every event. */
  #keep(one: Counted): void {
    this.#before.push(one);
    if (this.#before.length > this.#rowsMax * 2) this.#before = this.#before.slice(-this.#rowsMax);
  }
}

/** Processes that a row has something to do with. */
export function processesOf(row: ChartRow): readonly string[] {
  if (row.kind === "message") return [row.from, row.to];
  return row.kind === "mark" ? [row.at] : [];
}

function rowOf({ ms, at, what, detail }: TraceEvent): ChartRow | undefined {
  if (at === "world") return { kind: "fault", ms, label: `${what} ${detail}`.trimEnd() };
  if (LIFE_EVENTS.has(what)) return { kind: "mark", ms, at, label: what };
  if (what === "etcd.transact" && !LOOK.test(detail))
    return { kind: "mark", ms, at, label: `etcd ${detail.split("/").slice(-2).join("/")}` };
  if (what !== "rpc.call" && what !== "rpc.send") return undefined;
  const [, to, label] = HOST_AND_PATH.exec(detail) ?? [];
  return to === undefined || label === undefined
    ? undefined
    : { kind: "message", ms, from: at, to, label };
}

function isRepeated(last: ChartRow, row: ChartRow): boolean {
  return (
    last.kind === "message" &&
    row.kind === "message" &&
    last.from === row.from &&
    last.to === row.to &&
    last.label === row.label
  );
}
