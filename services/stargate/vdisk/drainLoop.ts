/**
 * When to drain: a background loop of one owned vDisk. It drains soon after a marker or when much has
 * gathered, and lets front-end work go first while the log has room (the pacing is a pure function).
 */

import { AntipodeError } from "../../base/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import { type DrainWorld, drainBatch, isDrainRetryable, type MapState } from "./drainer.ts";
import { DRAIN_IDLE_MS, DRAIN_RETRY_MS, DRAIN_START_BYTES, UNDRAINED_BYTES_MAX } from "./limits.ts";

/** What pacing looks at. */
export interface DrainPressure {
  readonly undrainedBytes: number;
  /** A marker is in the log: a recovery point waits for its root. */
  readonly markerWaits: boolean;
  /** Time since the last batch ended, or since the log stopped being empty. */
  readonly idleMs: number;
  /** How many requests of front-ends came lately, batches of the drain included. */
  readonly requestsPerSecond: number;
}

/** From here on the front-end counts as busy. */
const BUSY_REQUESTS_PER_SECOND = 500;
/** Share of the cap from which drains no longer wait for the front-end. */
const HURRY_SHARE = 0.875;

/** "now" or "wait". */
export function paceDrain(pressure: DrainPressure): "now" | "wait" {
  if (pressure.markerWaits) return "now";
  if (pressure.undrainedBytes >= UNDRAINED_BYTES_MAX * HURRY_SHARE) return "now";
  const busy = pressure.requestsPerSecond >= BUSY_REQUESTS_PER_SECOND;
  if (pressure.undrainedBytes >= DRAIN_START_BYTES && !busy) return "now";
  return pressure.idleMs >= DRAIN_IDLE_MS && !busy ? "now" : "wait";
}

/** How often the pacing is looked at while nothing wakes the loop. */
const LOOK_EVERY_MS = 100;
/** Shorter spans tell nothing of a rate. */
const RATE_SPAN_MS_MIN = 50;

export interface DrainLoop {
  /** Something was applied to the log. */
  wake(): void;
  /** Resolves when everything applied up to now is drained, or the loop has ended. */
  drainAll(): Promise<void>;
  /** Resolves after the next batch, or at the end. */
  nextBatch(): Promise<void>;
  /** Ends the loop; a batch under way finishes or fails on its own. */
  stop(): void;
}

interface DrainLoopOptions {
  readonly world: DrainWorld;
  readonly clock: Clock;
  readonly logger: Log;
  readonly state: () => MapState;
  /** Called in the turn in which the batch is known to be committed. */
  readonly onDrained: (state: MapState) => void;
  readonly pressure: () => Omit<DrainPressure, "idleMs" | "requestsPerSecond"> & {
    /** Requests of front-ends ever. */
    readonly requests: number;
  };
  readonly onDeposed: () => void;
  /** Is the own copy of the log of no use any more? Then nothing is tried again. */
  readonly isCopyLost: () => boolean;
  /** A failure that trying again does not mend. */
  readonly onFailure: (error: AntipodeError) => void;
  /** A bug: ends the process. */
  readonly onBug: (error: unknown) => void;
}

export function startDrainLoop(options: DrainLoopOptions): DrainLoop {
  const { world, clock } = options;
  let stopped = false;
  let running = false;
  let urgent = 0;
  let lastBatchAtMs = clock.now() as number;
  /** After a failure, however many wait. */
  let restsUntilMs = 0;
  let timer: Timer | undefined;
  let waiters: (() => void)[] = [];

  const notify = (): void => {
    const woken = waiters;
    waiters = [];
    for (const resolve of woken) resolve();
  };
  const behind = (): boolean => world.log.appliedLsn > options.state().drainedLsn;

  const schedule = (delayMs: number): void => {
    if (timer !== undefined || stopped) return;
    timer = clock.after(delayMs, () => {
      timer = undefined;
      look();
    });
  };
  const rate = createRate(clock.now());
  const look = (): void => {
    if (stopped || running || !behind()) return;
    const now = clock.now();
    if (now < restsUntilMs) {
      schedule(restsUntilMs - now);
      return;
    }
    const { requests, undrainedBytes, markerWaits } = options.pressure();
    const requestsPerSecond = rate(requests, now);
    const idleMs = now - lastBatchAtMs;
    const pressure = { undrainedBytes, markerWaits, idleMs, requestsPerSecond };
    if (urgent > 0 || paceDrain(pressure) === "now") void run();
    else schedule(LOOK_EVERY_MS);
  };
  const run = async (): Promise<void> => {
    running = true;
    const pauseMs = await drainOnce(options, () => stopped);
    // State that is known to be wrong is not gone on with: nothing is begun, nobody is told anything.
    if (pauseMs === undefined) return;
    running = false;
    lastBatchAtMs = clock.now();
    restsUntilMs = lastBatchAtMs + pauseMs;
    notify();
    look();
  };
  const nextBatch = (): Promise<void> =>
    stopped
      ? Promise.resolve()
      : new Promise((resolve) => {
          waiters.push(resolve);
        });

  return {
    wake() {
      if (!running && timer === undefined) look();
    },
    nextBatch,
    async drainAll() {
      const target = world.log.appliedLsn;
      urgent += 1;
      try {
        while (!stopped && options.state().drainedLsn < target) {
          const batch = nextBatch();
          look();
          await batch;
        }
      } finally {
        urgent -= 1;
      }
    },
    stop() {
      stopped = true;
      timer?.cancel();
      notify();
    },
  };
}

/** One batch. @returns the pause before the next one, `undefined` when the process ends */
async function drainOnce(
  options: DrainLoopOptions,
  isStopped: () => boolean,
): Promise<number | undefined> {
  const { world, logger } = options;
  try {
    const next = await drainBatch(world, options.state());
    if (next !== undefined && !isStopped()) options.onDrained(next);
    return 0;
  } catch (error) {
    if (!(error instanceof AntipodeError)) {
      options.onBug(error);
      return undefined;
    }
    if (isStopped()) return 0;
    if (isDrainRetryable(error) && !options.isCopyLost()) {
      logger.warn(
        { event: "drain.failed", vdisk: world.vdiskId, err: error },
        "drain failed and is tried again",
      );
      return DRAIN_RETRY_MS;
    }
    if (error.code === "STALE_EPOCH") options.onDeposed();
    else options.onFailure(error);
    return 0;
  }
}

/** The rate of something counted, over the span between two looks that are far enough apart. */
function createRate(startMs: number): (count: number, nowMs: number) => number {
  let fromCount = 0;
  let fromMs = startMs;
  let perSecond = 0;
  return (count, nowMs) => {
    const spanMs = nowMs - fromMs;
    if (spanMs < RATE_SPAN_MS_MIN) return perSecond;
    perSecond = ((count - fromCount) * 1000) / spanMs;
    fromCount = count;
    fromMs = nowMs;
    return perSecond;
  };
}
