/** Collects what checkers are given of a run (check/contracts.ts), with one order over everything (R1). */

import { AntipodeError } from "../../services/base/errors.ts";
import type {
  Activation,
  ErrorRecord,
  FaultRecord,
  FinalImage,
  Instant,
  PointCatalogue,
  PointReading,
} from "./check/contracts.ts";

/** A fault whose end is not known yet. */
export type OpenFault = { -readonly [K in keyof FaultRecord]: FaultRecord[K] };

export class Recorder {
  readonly readings: PointReading[] = [];
  readonly catalogues: PointCatalogue[] = [];
  readonly finals: FinalImage[] = [];
  readonly activations: Activation[] = [];
  readonly faults: OpenFault[] = [];
  readonly errors: ErrorRecord[] = [];
  readonly #counters = new Map<string, number>();
  readonly #nowMs: () => number;
  #order = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  instant(): Instant {
    this.#order += 1;
    return { ms: this.#nowMs(), order: this.#order };
  }

  /** Something happened that a set of runs must have seen at least sometimes. */
  count(what: string, by = 1): void {
    this.#counters.set(what, (this.#counters.get(what) ?? 0) + by);
  }

  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counters].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** An error that somebody outside was given; anything but an AntipodeError is a bug, and is thrown on. */
  error(actor: string, operation: string, error: unknown): AntipodeError {
    if (!(error instanceof AntipodeError)) throw error;
    this.count(`error ${error.code}`);
    this.errors.push({
      at: this.instant(),
      actor,
      operation,
      code: error.code,
      message: error.message,
    });
    return error;
  }
}
