/**
 * Waiting for "something changed, or a while has passed": one flag that many events may set and one
 * loop waits on. An event between two waits is not lost.
 */

import type { Clock } from "../../platform/clock.ts";

export class Wakeup {
  #set = false;
  #resolve: (() => void) | undefined;

  /** Ends the present wait, or the next one at once. */
  notify(): void {
    this.#set = true;
    this.#resolve?.();
  }

  /** Resolves on `notify`, after `maxMs`, or when the signal aborts; the caller looks which. */
  async wait(clock: Clock, maxMs: number, signal?: AbortSignal): Promise<void> {
    if (!this.#set && signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const timer = clock.after(maxMs, resolve);
        signal?.addEventListener("abort", done, { once: true });
        function done(): void {
          resolve();
        }
        this.#resolve = () => {
          timer.cancel();
          signal?.removeEventListener("abort", done);
          resolve();
        };
      });
      this.#resolve?.();
      this.#resolve = undefined;
    }
    this.#set = false;
  }
}

/** Delay before try number `failures` (from 1) is repeated: doubled each time up to a maximum. */
export function backoffMs(failures: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(20, Math.max(0, failures - 1)));
}
