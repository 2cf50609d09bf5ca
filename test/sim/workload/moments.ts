/** The one order of a run (R1 of check/contracts.ts), for everybody who records something. */

import type { ErrorRecord, Instant } from "../check/contracts.ts";

export interface Moments {
  /** A moment later than every one that was given before. */
  instant(): Instant;
  /**
   * An error that somebody outside was given.
   * @throws the error itself when it is not an AntipodeError: that is a bug, and no outcome
   */
  error(actor: string, operation: string, error: unknown): Pick<ErrorRecord, "code">;
}
