/** What the states of a replication job mean to whoever waits for one; their table is Cerebro's. */

const ENDED: ReadonlySet<string> = new Set(["DONE", "FAILED", "CANCELLED"]);

/** Has the job come to its end? @param state as records and messages carry it */
export function isEnded(state: string): boolean {
  return ENDED.has(state);
}
