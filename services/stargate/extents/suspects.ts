/**
 * CVMs that did not answer a moment ago. The coordinator's view of who lives lags by a lease; this is
 * the faster, private view: it changes who is asked first, never how many copies are needed.
 */

import type { MonotonicMs } from "../../base/ids.ts";
import type { Clock } from "../../platform/clock.ts";

/** Long enough not to ask a dead CVM for every chunk, short enough to find it back soon. */
export const SUSPECT_MS = 1000;

/** See the file's header. */
export class Suspects {
  readonly #clock: Clock;
  readonly #until = new Map<number, MonotonicMs>();
  /** Times a CVM became suspected. */
  count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** It failed just now. */
  add(cvm: number): void {
    if (!this.has(cvm)) this.count += 1;
    this.#until.set(cvm, (this.#clock.now() + SUSPECT_MS) as MonotonicMs);
  }

  /** It answered. */
  clear(cvm: number): void {
    this.#until.delete(cvm);
  }

  has(cvm: number): boolean {
    const until = this.#until.get(cvm);
    return until !== undefined && this.#clock.now() < until;
  }

  /** The same CVMs, those that are not suspected first, else in the order given. */
  sort(cvms: readonly number[]): readonly number[] {
    return [...cvms.filter((cvm) => !this.has(cvm)), ...cvms.filter((cvm) => this.has(cvm))];
  }
}
