/**
 * Port: time. Decisions use the monotonic clock only; the wall clock labels what people read.
 * The real adapter is adapters/clock.ts; simulated worlds bring their own.
 */

import type { MonotonicMs, WallMs } from "../base/ids.ts";

/** A timer that has not fired yet, or has. */
export interface Timer {
  /** After this the callback does not run any more. Harmless when it already ran. */
  cancel(): void;
}

export interface Clock {
  /** Never goes back, not even when the wall clock is set; fractions of a millisecond. */
  now(): MonotonicMs;
  /** For labels only. */
  wall(): WallMs;
  /** Runs the callback once, not before `delayMs` have passed. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /**
   * Resolves after the delay, or rejects with AntipodeError `CANCELLED` when the signal aborts.
   */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Resolves after pending input and output had a chance to run: for long loops. */
  yield(): Promise<void>;
}
