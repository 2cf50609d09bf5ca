/**
 * What Cerebro needs of an election: whether this process is the leader now, and who is.
 */

import type { Term } from "../../platform/coordination/election.ts";

export interface LeaderInfo {
  readonly cvm: number;
  readonly epoch: number;
}

export interface Leadership {
  /** The present term while this process is the leader. */
  term(): Term | undefined;
  /** Who has the seat, by etcd; `undefined` while nobody has. */
  leader(): Promise<LeaderInfo | undefined>;
  /** Calls the listener when a term begins or ends here; returns how to stop that. */
  onChange(listener: () => void): () => void;
}
