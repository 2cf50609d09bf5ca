/** What a set of runs has shown, all together: verdicts, what was never seen, what was reached, how fast. */

import { type Coverage, judgeCoverage } from "../coverage/judge.ts";
import { neverSeen, promises, type Sometimes } from "../coverage/sometimes.ts";
import type { Trial } from "./trial.ts";

const MS_PER_SECOND = 1000;
const SECONDS_PER_HOUR = 3600;
const NAME_WIDTH = 56;

/** How often a checker held, was violated, and had nothing to examine. */
export interface Tally {
  readonly promise: string;
  readonly name: string;
  readonly green: number;
  readonly red: number;
  readonly vacuous: number;
}

export class Summary {
  readonly failed: number[] = [];
  readonly #tallies = new Map<string, { -readonly [K in keyof Tally]: Tally[K] }>();
  readonly #counters: Record<string, number> = {};
  #seeds = 0;
  #events = 0;
  #virtualMs = 0;
  #wallMs = 0;

  add(trial: Trial): void {
    this.#seeds += 1;
    this.#events += trial.events;
    this.#virtualMs += trial.virtualMs;
    this.#wallMs += trial.wallMs;
    if (trial.violations.length > 0) this.failed.push(trial.seed);
    for (const [name, count] of Object.entries(trial.counters))
      this.#counters[name] = (this.#counters[name] ?? 0) + count;
    for (const { promise, name, verdict } of trial.verdicts) {
      const key = `${promise} ${name}`;
      const tally = this.#tallies.get(key) ?? { promise, name, green: 0, red: 0, vacuous: 0 };
      tally[verdict === "held" ? "green" : verdict === "violated" ? "red" : "vacuous"] += 1;
      this.#tallies.set(key, tally);
    }
  }

  get seeds(): number {
    return this.#seeds;
  }

  /** By promise, then as the checkers come. */
  get tallies(): readonly Tally[] {
    return [...this.#tallies.values()].sort((a, b) => compare(a.promise, b.promise));
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#counters;
  }

  get coverage(): Coverage {
    return judgeCoverage(this.#counters);
  }

  /** What none of the runs has seen, though they are enough. */
  get never(): readonly Sometimes[] {
    return neverSeen(this.#counters, this.#seeds);
  }

  /** Promises that no checker could examine in any run, though they are enough. */
  get vacuousPromises(): readonly string[] {
    const examined = new Set(
      this.tallies.filter(({ green, red }) => green + red > 0).map(({ promise }) => promise),
    );
    return promises
      .filter(({ promise, fromSeeds }) => this.#seeds >= fromSeeds && !examined.has(promise))
      .map(({ promise }) => promise);
  }

  /** Nothing failed, and a set that is large enough has seen what it is there to see. */
  get isGood(): boolean {
    return this.failed.length + this.never.length + this.vacuousPromises.length === 0;
  }

  /** For a terminal of 100 columns. */
  lines(): readonly string[] {
    return [
      "",
      `${"".padEnd(9)}${"promise".padEnd(9)}${"checker".padEnd(NAME_WIDTH)}${cells("green", "red", "vacuous")}`,
      ...this.tallies.map(tallyLine),
      ...this.#vacuityLines(),
      "",
      this.#coverageLine(),
      this.#speedLine(),
      this.#resultLine(),
    ];
  }

  /** The same for machines. */
  json(): Readonly<Record<string, unknown>> {
    const { missed, excused, wrongs } = this.coverage;
    return {
      kind: "summary",
      ...{ seeds: this.#seeds, failed: this.failed, isGood: this.isGood, tallies: this.tallies },
      ...{ never: this.never, vacuousPromises: this.vacuousPromises, counters: this.#counters },
      coverage: { missed, excused: excused.flatMap(({ what }) => what), wrongs },
      ...{ events: this.#events, virtualMs: this.#virtualMs, wallMs: this.#wallMs },
    };
  }

  #vacuityLines(): readonly string[] {
    const { never, vacuousPromises } = this;
    if (never.length + vacuousPromises.length === 0) return [];
    return [
      "",
      "VACUOUS, never seen:",
      ...vacuousPromises.map((promise) => `  ${promise}: no checker had anything to examine`),
      ...never.map(({ counters, why }) => `  ${counters.join(" or ").padEnd(36)} ${why}`),
    ];
  }

  #coverageLine(): string {
    const { all, reached, missed, excused, wrongs } = this.coverage;
    const listed = excused.flatMap(({ what }) => what).length;
    const wrong = wrongs.length === 0 ? "" : `; ${wrongs.length} wrong in the list`;
    return (
      `reached: ${reached.length} of ${all.length} cells and error codes, ${listed} listed as ` +
      `unreachable, ${missed.length} missed${wrong}`
    );
  }

  #speedLine(): string {
    const seconds = this.#wallMs / MS_PER_SECOND;
    const virtualSeconds = this.#virtualMs / MS_PER_SECOND;
    return (
      `speed:   ${this.#events} events in ${seconds.toFixed(1)} s of runs, ` +
      `${(this.#events / seconds).toFixed(0)} events/s; ` +
      `${(virtualSeconds / SECONDS_PER_HOUR).toFixed(2)} virtual h, ${(virtualSeconds / seconds).toFixed(0)} an hour`
    );
  }

  #resultLine(): string {
    const failed = this.failed.length === 0 ? "" : `: ${this.failed.join(" ")}`;
    const vacuous = this.failed.length === 0 && !this.isGood ? ", but the set is vacuous" : "";
    return `result:  ${this.#seeds} seeds, ${this.failed.length} failed${failed}${vacuous}`;
  }
}

/** Every cell and code that was not reached: why it is right, or that it is missed. */
export function coverageLines({ missed, excused, wrongs }: Coverage): readonly string[] {
  return [
    "",
    ...wrongs.map((text) => `WRONG    ${text}`),
    ...missed.map((what) => `missed   ${what}`),
    ...excused.flatMap(({ what, why }) => [
      `excused  ${what.length === 1 ? (what[0] ?? "") : `${what.length} of them`}: ${why}`,
      ...(what.length === 1 ? [] : what.map((one) => `           ${one}`)),
    ]),
  ];
}

function tallyLine({ promise, name, green, red, vacuous }: Tally): string {
  const status = red > 0 ? "RED" : green > 0 ? "green" : "vacuous";
  const shown = name.length < NAME_WIDTH ? name : `${name.slice(0, NAME_WIDTH - 2)}…`;
  return `${status.padEnd(9)}${promise.padEnd(9)}${shown.padEnd(NAME_WIDTH)}${cells(green, red, vacuous)}`;
}

function cells(...values: readonly (string | number)[]): string {
  return values.map((value) => String(value).padStart(8)).join("");
}

/** P9 before P10. */
function compare(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
