/**
 * The real clock: `performance.now()` and Node's timers.
 *
 * Node's timers count whole milliseconds from the start of an event-loop turn, so they can fire a
 * fraction too early by our clock; `after` then waits the rest, because the port promises "not
 * before". `after` never keeps the process alive; `sleep` does, since somebody awaits it.
 */

import { performance } from "node:perf_hooks";
import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { monotonicMs, wallMs } from "../../base/ids.ts";
import type { Clock, Timer } from "../clock.ts";

/** Node fires at once when asked for more than this (24.8 days). */
const DELAY_MS_MAX = 0x7fff_ffff;

/** A clock over the machine's monotonic time. */
export function createClock(): Clock {
  return {
    now: () => monotonicMs(performance.now()),
    wall: () => wallMs(Date.now()),
    after: (delayMs, callback) => startTimer(delayMs, callback, "background"),
    sleep: (delayMs, signal) => sleep(delayMs, signal),
    yield: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

function startTimer(
  delayMs: number,
  callback: () => void,
  kind: "background" | "foreground",
): Timer {
  assert(delayMs >= 0 && delayMs <= DELAY_MS_MAX, "a delay is between 0 and 24 days");
  const dueMs = performance.now() + delayMs;
  let handle: NodeJS.Timeout;
  const arm = (restMs: number): void => {
    handle = setTimeout(() => {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) arm(leftMs);
      else callback();
    }, Math.ceil(restMs));
    if (kind === "background") handle.unref();
  };
  arm(delayMs);
  return {
    cancel: () => {
      clearTimeout(handle);
    },
  };
}

function sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(new AntipodeError("CANCELLED", "a wait was cancelled", {}, signal?.reason));
    };
    const timer = startTimer(
      delayMs,
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      "foreground",
    );
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
