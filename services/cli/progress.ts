/**
 * Progress on standard error: on a terminal a bar that is drawn again in place, with rate and time
 * left; when piped a plain line now and then; with --json nothing. One bar at a time. A bar never
 * wraps: where the terminal is narrow it is shorter and says less, and a line that is to stay takes
 * its place, with the bar below.
 */

import { performance } from "node:perf_hooks";
import { formatBytes, formatDuration } from "../base/units.ts";

/** What is counted: bytes get a rate. */
export type Unit = "bytes" | "services" | "items" | "seconds";

export interface Bar {
  /** Where it stands. `note` is shown behind the bar. */
  update(done: number, total: number, note?: string): void;
  /** Ends the bar; on a terminal its last state stays. */
  end(): void;
}

export interface Progress {
  bar(label: string, unit: Unit): Bar;
  /** A line that stays. */
  line(text: string): void;
}

export interface ProgressSink {
  readonly isTerminal: boolean;
  readonly columns: number;
  write(text: string): void;
  /** Monotonic ms. */
  now(): number;
}

const REDRAW_INTERVAL_MS = 80;
const LINE_INTERVAL_MS = 2000;
const BAR_CELLS = 24;
/** Below so many columns a bar has fewer cells and leaves the total out. */
const WIDE_COLUMNS = 100;
const BAR_CELLS_NARROW = 12;
/** A part of which less is seen says nothing. */
const PART_COLUMNS_MIN = 8;
/** The rate is that of about the last three seconds. */
const RATE_WINDOW_MS = 3000;

/** Progress on this process's standard error. */
export function createProgress(options: { readonly json: boolean }): Progress {
  const { stderr } = process;
  return progressOn({
    isTerminal: stderr.isTTY && !options.json,
    get columns() {
      return stderr.columns || 80;
    },
    write: (text) => {
      if (!options.json) stderr.write(text);
    },
    now: () => performance.now(),
  });
}

/** Progress on any sink. */
export function progressOn(sink: ProgressSink): Progress {
  let live: LiveBar | undefined;
  return {
    bar: (label, unit) => {
      live = new LiveBar(sink, label, unit);
      return live;
    },
    line: (text) => {
      live?.clear();
      sink.write(`${text}\n`);
      live?.redraw();
    },
  };
}

interface Sample {
  readonly atMs: number;
  readonly done: number;
}

class LiveBar implements Bar {
  readonly #sink: ProgressSink;
  readonly #label: string;
  readonly #unit: Unit;
  #samples: Sample[] = [];
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #last = "";
  #drawn = "";
  #ended = false;

  constructor(sink: ProgressSink, label: string, unit: Unit) {
    this.#sink = sink;
    this.#label = label;
    this.#unit = unit;
  }

  update(done: number, total: number, note = ""): void {
    if (this.#ended) return;
    const atMs = this.#sink.now();
    this.#samples.push({ atMs, done });
    while (atMs - (this.#samples[1]?.atMs ?? atMs) > RATE_WINDOW_MS) this.#samples.shift();
    this.#last = this.#text(done, total, note);
    const intervalMs = this.#sink.isTerminal ? REDRAW_INTERVAL_MS : LINE_INTERVAL_MS;
    if (atMs - this.#drawnAtMs < intervalMs) return;
    this.#drawnAtMs = atMs;
    this.#draw();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#last === "") return;
    if (this.#sink.isTerminal) this.#sink.write(`\r\u001b[K${this.#last}\n`);
    else if (this.#drawn !== this.#last) this.#draw();
  }

  /** Makes room for a line that stays. */
  clear(): void {
    if (this.#isShown()) this.#sink.write("\r\u001b[K");
  }

  /** Shows the bar again below that line. */
  redraw(): void {
    if (this.#isShown()) this.#draw();
  }

  #isShown(): boolean {
    return this.#sink.isTerminal && !this.#ended && this.#drawn !== "";
  }

  #draw(): void {
    this.#drawn = this.#last;
    if (this.#sink.isTerminal) this.#sink.write(`\r\u001b[K${this.#last}`);
    else this.#sink.write(`${this.#last}\n`);
  }

  #text(done: number, total: number, note: string): string {
    const { isTerminal, columns } = this.#sink;
    const narrow = isTerminal && columns < WIDE_COLUMNS;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const width = narrow ? BAR_CELLS_NARROW : BAR_CELLS;
    const cells = Math.round(share * width);
    const bar = isTerminal ? ` ${"█".repeat(cells)}${"░".repeat(width - cells)}` : "";
    const parts = [
      `${this.#label}${bar} ${Math.floor(share * 100)}%`,
      this.#count(done, total, narrow),
    ];
    const rate = this.#rate();
    if (this.#unit === "bytes" && rate > 0) {
      parts.push(`${formatBytes(Math.round(rate))}/s`);
      if (done < total) parts.push(`${formatDuration(((total - done) / rate) * 1000)} left`);
    }
    if (note !== "") parts.push(note);
    return isTerminal ? joinWithin(parts, columns - 1) : parts.join("  ");
  }

  #count(done: number, total: number, narrow: boolean): string {
    if (this.#unit !== "bytes") return `${done} of ${total} ${this.#unit}`;
    return narrow ? formatBytes(done) : `${formatBytes(done)} of ${formatBytes(total)}`;
  }

  /** Units a second over the window. */
  #rate(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return ((last.done - first.done) * 1000) / (last.atMs - first.atMs);
  }
}

/** The parts from the first on that fit whole; the first and the last are cut where they end too far. */
function joinWithin(parts: readonly string[], columns: number): string {
  let text = (parts[0] ?? "").slice(0, Math.max(0, columns));
  for (const [index, part] of parts.entries()) {
    if (index === 0) continue;
    const room = columns - text.length - 2;
    if (part.length <= room) text += `  ${part}`;
    else if (index === parts.length - 1 && room >= PART_COLUMNS_MIN)
      return `${text}  ${part.slice(0, room - 1)}…`;
    else break;
  }
  return text;
}
