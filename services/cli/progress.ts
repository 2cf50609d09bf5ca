/**
 * Progress on standard error: on a terminal a bar that is drawn again in place, with rate and time
 * left; when piped a plain line now and then; with --json nothing. One bar at a time.
 */

import { performance } from "node:perf_hooks";
import { formatBytes, formatDuration } from "../base/units.ts";

/** What is counted: bytes get a rate. */
export type Unit = "bytes" | "services" | "items";

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
/** The rate is that of about the last three seconds. */
const RATE_WINDOW_MS = 3000;

/** Progress on this process's standard error. */
export function createProgress(options: { readonly json: boolean }): Progress {
  const { stderr } = process;
  return progressOn({
    isTerminal: stderr.isTTY && !options.json,
    columns: stderr.columns || 80,
    write: (text) => {
      if (!options.json) stderr.write(text);
    },
    now: () => performance.now(),
  });
}

/** Progress on any sink. */
export function progressOn(sink: ProgressSink): Progress {
  return {
    bar: (label, unit) => new LiveBar(sink, label, unit),
    line: (text) => {
      sink.write(`${text}\n`);
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
    else this.#sink.write(`${this.#last}\n`);
  }

  #draw(): void {
    if (this.#sink.isTerminal) this.#sink.write(`\r\u001b[K${this.#last}`);
    else this.#sink.write(`${this.#last}\n`);
  }

  #text(done: number, total: number, note: string): string {
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const cells = Math.round(share * BAR_CELLS);
    const bar = this.#sink.isTerminal
      ? ` ${"█".repeat(cells)}${"░".repeat(BAR_CELLS - cells)}`
      : "";
    const count =
      this.#unit === "bytes"
        ? `${formatBytes(done)} of ${formatBytes(total)}`
        : `${done} of ${total} ${this.#unit}`;
    const parts = [`${this.#label}${bar} ${Math.floor(share * 100)}%`, count];
    const rate = this.#rate();
    if (this.#unit === "bytes" && rate > 0) {
      parts.push(`${formatBytes(Math.round(rate))}/s`);
      if (done < total) parts.push(`${formatDuration(((total - done) / rate) * 1000)} left`);
    }
    if (note !== "") parts.push(note);
    const text = parts.join("  ");
    return this.#sink.isTerminal ? text.slice(0, this.#sink.columns - 1) : text;
  }

  /** Units a second over the window. */
  #rate(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return ((last.done - first.done) * 1000) / (last.atMs - first.atMs);
  }
}
