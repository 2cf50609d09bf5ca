/** Randomness from the operating system. */

import { randomFillSync } from "node:crypto";
import type { Random } from "../random.ts";

/** Unpredictable bytes, for identities and keys. */
export function createRandom(): Random {
  return { bytes: (length) => randomFillSync(new Uint8Array(length)) };
}
