/**
 * Virtual time. Nothing happens between two ticks except what is already runnable, so a test of
 * hours takes milliseconds and gives the same order each time.
 *
 * Timers fire in order of their due time, then of their creation. Between two timers everything that
 * is runnable runs (one turn of the real event loop, which empties the microtask queue); fakes
 * therefore resolve in microtasks only, and so does `yield`.
 */

import { assert } from "../../services/base/assert.ts";
import { AntipodeError } from "../../services/base/errors.ts";
import { monotonicMs, wallMs } from "../../services/base/ids.ts";
import type { Clock, Timer } from "../../services/platform/clock.ts";
import { type HeapTimer, TimerHeap } from "./timerHeap.ts";

/** More timers than this in one tick are a loop that re-arms itself without end. */
const TIMERS_PER_TICK_MAX = 1_000_000;
/** Turns ordered at once; those left over at the end do nothing, so fewer than a tick of the event loop is worth. */
const TURNS_MAX = 64;
/** What `wall` says at virtual time 0: 2026-01-01T00:00:00Z. */
const WALL_START_MS = Date.UTC(2026, 0, 1);

export interface FakeClock extends Clock {
  /** Lets `durationMs` of virtual time pass, firing what falls due, and everything that follows. */
  tick(durationMs: number): Promise<void>;
  /** Lets everything run that is runnable now, without any time passing. */
  settle(): Promise<void>;
  /**
   * Goes from timer to timer until the condition holds.
   * @throws InvariantViolation when it does not within `limitMs`
   */
  tickUntil(condition: () => boolean, limitMs: number): Promise<void>;
  /** Timers that have not fired. */
  timerCount(): number;
}

/**
 * A clock at virtual time 0, or at `startMs`.
 * @param onTurn called before each timer that a tick fires; what it throws ends the tick
 */
export function createFakeClock(startMs = 0, onTurn: () => void = () => undefined): FakeClock {
  let nowMs = startMs;
  let order = 0;
  const timers = new TimerHeap();

  const after = (delayMs: number, callback: () => void): Timer => {
    assert(delayMs >= 0, "a delay is not negative");
    const timer: HeapTimer = { dueMs: nowMs + delayMs, order: order++, callback, pending: true };
    timers.push(timer);
    return {
      cancel: () => {
        timers.cancel(timer);
      },
    };
  };
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  /** Fires timers up to `untilMs`; true when `stop` asked to stop. */
  const run = (untilMs: number, stop: () => boolean): Promise<boolean> => {
    let fired = 0;
    return inTurns(() => {
      if (stop()) return true;
      onTurn();
      const next = timers.peek();
      if (next === undefined || next.dueMs > untilMs) return false;
      assert(fired < TIMERS_PER_TICK_MAX, "a tick fires a bounded number of timers");
      fired += 1;
      timers.take();
      nowMs = Math.max(nowMs, next.dueMs);
      next.callback();
      return undefined;
    });
  };
  return {
    now: () => monotonicMs(nowMs),
    wall: () => wallMs(WALL_START_MS + nowMs),
    after,
    sleep: (delayMs, signal) => sleepWith(after, delayMs, signal),
    yield: () => Promise.resolve(),
    settle,
    async tick(durationMs) {
      const untilMs = nowMs + durationMs;
      await run(untilMs, () => false);
      nowMs = untilMs;
      await settle();
    },
    async tickUntil(condition, limitMs) {
      const held = await run(nowMs + limitMs, condition);
      assert(held, `the awaited condition holds within ${limitMs} virtual ms`);
    },
    timerCount: () => timers.count,
  };
}

/**
 * Calls `act` in one turn of the event loop after another until it returns something. Between two turns
 * everything that is runnable runs: Node empties the microtask queue, and tells of rejections that nobody
 * handles, after each callback. Turns are ordered in batches because a way round the loop through the
 * operating system costs more than most of them.
 */
function inTurns<T>(act: () => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    let batch = 1;
    let left = 0;
    let isOver = false;
    const turn = (): void => {
      left -= 1;
      if (isOver) return;
      try {
        const result = act();
        if (result === undefined) {
          if (left === 0) order();
          return;
        }
        resolve(result);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
      isOver = true;
    };
    const order = (): void => {
      left = batch;
      for (let i = 0; i < left; i++) setImmediate(turn);
      batch = Math.min(TURNS_MAX, 2 * batch);
    };
    order();
  });
}

/** A wait made of a timer, as the contract of `sleep` wants it. */
export function sleepWith(
  after: Clock["after"],
  delayMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(new AntipodeError("CANCELLED", "a wait was cancelled", {}, signal?.reason));
    };
    const timer = after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
