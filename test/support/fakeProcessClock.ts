/**
 * The world's clock as one process has it: an offset and a speed of its own, a wall clock that is set,
 * and pauses, as SIGSTOP makes them: time goes on and no timer fires; at the end every timer that fell
 * due fires at once, in an order that the seed gives.
 *
 * T1 `now` never goes back, whatever is changed. T2 A timer fires when so much of the process's own time
 * has passed, also when the speed changes meanwhile. T3 No timer fires during a pause or after death, and
 * none that was cancelled.
 * A pause holds timers only; what comes by network, disk or coordinator is held by whoever owns those ports.
 */

import { assert } from "../../services/base/assert.ts";
import { monotonicMs, wallMs } from "../../services/base/ids.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { Clock, Timer } from "../../services/platform/clock.ts";
import { sleepWith } from "./fakeClock.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";

/** Clocks of machines differ by much less; this is what the read leases allow for. */
const DRIFT_MAX = 0.05;

export interface ProcessClock extends Clock {
  /** Faster (0.05: 5 % more) or slower (-0.05) than the world from now on; drifts add up. */
  drift(ratio: number): Undo;
  /** The wall clock is set so much forward, or back; undoing sets it back by as much. */
  jumpWall(byMs: number): Undo;
  /** Nothing fires until undone. Pauses overlap: the last one to end lets the process go on. */
  pause(): Undo;
  readonly isPaused: boolean;
  /** Nothing fires any more, and whoever waits waits for ever. */
  die(): void;
  /** Ends pauses, drifts and jumps. */
  undoAll(): void;
}

interface HeldTimer {
  /** By the process's own clock. */
  readonly dueMs: number;
  readonly callback: () => void;
  worldTimer: Timer | undefined;
}

export interface ProcessClockOptions {
  readonly world: Clock;
  /** For the order after a pause. */
  readonly prng: Prng;
  /** Its monotonic clock at this moment: processes start at different times. */
  readonly startMs?: number;
  /** How far its wall clock is off. */
  readonly wallOffsetMs?: number;
}

/** A process's clock, as fast as the world's. */
export function createProcessClock(options: ProcessClockOptions): ProcessClock {
  const { world } = options;
  const time = ownTime(world, options.startMs ?? world.now());
  const drifts = new FaultSet<number>();
  const jumps = new FaultSet<number>();
  const pauses = new FaultSet<"pause">();
  const timers = new Set<HeldTimer>();
  let due: HeldTimer[] = [];
  let isDead = false;

  const fire = (timer: HeldTimer): void => {
    timer.worldTimer = undefined;
    if (isDead || !timers.has(timer)) return;
    if (!pauses.isEmpty) {
      due.push(timer);
      return;
    }
    timers.delete(timer);
    time.atLeast(timer.dueMs);
    timer.callback();
  };
  const arm = (timer: HeldTimer): void => {
    const waitMs = Math.max(0, (timer.dueMs - time.now()) / time.rate());
    timer.worldTimer = world.after(waitMs, () => {
      fire(timer);
    });
  };
  const setRate = (): void => {
    time.setRate(drifts.all().reduce((rate, ratio) => rate + ratio, 1));
    for (const timer of timers) {
      if (timer.worldTimer === undefined) continue;
      timer.worldTimer.cancel();
      arm(timer);
    }
  };
  const goOn = (): void => {
    if (!pauses.isEmpty) return;
    const all = shuffled(due, options.prng);
    due = [];
    // One pause can follow on another from within a callback; `fire` holds the rest again.
    for (const timer of all) fire(timer);
  };
  const after = (delayMs: number, callback: () => void): Timer => {
    assert(delayMs >= 0, "a delay is not negative");
    const timer: HeldTimer = { dueMs: time.now() + delayMs, callback, worldTimer: undefined };
    timers.add(timer);
    arm(timer);
    return {
      cancel() {
        timers.delete(timer);
        timer.worldTimer?.cancel();
      },
    };
  };
  return {
    now: () => monotonicMs(time.now()),
    // Whole milliseconds, as a real one.
    wall: () =>
      wallMs(
        Math.floor(
          world.wall() + (options.wallOffsetMs ?? 0) + jumps.all().reduce((a, b) => a + b, 0),
        ),
      ),
    after,
    sleep: (delayMs, signal) => sleepWith(after, delayMs, signal),
    async yield() {
      await world.yield();
      if (isDead || !pauses.isEmpty)
        await new Promise<void>((resolve) => {
          after(0, resolve);
        });
    },
    drift(ratio) {
      assert(Math.abs(ratio) <= DRIFT_MAX, "a drift is at most 5 %");
      const undo = drifts.add(ratio, setRate);
      setRate();
      return undo;
    },
    jumpWall: (byMs) => jumps.add(byMs),
    pause: () => pauses.add("pause", goOn),
    get isPaused() {
      return !pauses.isEmpty;
    },
    die() {
      isDead = true;
      for (const timer of timers) timer.worldTimer?.cancel();
      timers.clear();
    },
    undoAll() {
      drifts.undoAll();
      jumps.undoAll();
      pauses.undoAll();
    },
  };
}

/** Time that has its own speed, and goes on from where it is when that changes. */
function ownTime(world: Clock, startMs: number) {
  let anchorMs: number = world.now();
  let ownMs = startMs;
  let rate = 1;
  const now = (): number => ownMs + (world.now() - anchorMs) * rate;
  return {
    now,
    rate: () => rate,
    /** Rounding never makes a timer fire before its time. */
    atLeast(dueMs: number) {
      if (now() >= dueMs) return;
      ownMs = dueMs;
      anchorMs = world.now();
    },
    setRate(next: number) {
      ownMs = now();
      anchorMs = world.now();
      rate = next;
    },
  };
}

function shuffled<T>(items: readonly T[], prng: Prng): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = prng.below(i + 1);
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}
