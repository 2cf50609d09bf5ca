/** A log that says nothing: commands show progress and reports, not what their clients log. */

import type { Log } from "../platform/log.ts";

const nothing = (): void => undefined;

export const quietLog: Log = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing,
  child: () => quietLog,
};
