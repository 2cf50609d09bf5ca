/** Waiting for real processes: what a test of them may do and no other test. */

import { createClock } from "../../services/platform/adapters/clock.ts";

const STEP_MS = 10;
const clock = createClock();

/** Lets real time pass, for instance between two kills. */
export function passMs(durationMs: number): Promise<void> {
  return clock.sleep(durationMs);
}

/** Resolves when the condition holds; fails when it does not within the limit. */
export async function eventually(condition: () => boolean, limitMs: number): Promise<void> {
  const endMs = clock.now() + limitMs;
  while (!condition()) {
    if (clock.now() > endMs)
      throw new Error(`the awaited condition does not hold within ${limitMs} ms`);
    await clock.sleep(STEP_MS);
  }
}
