/**
 * What a set of runs must have seen at least once: a promise that held while nothing tested it has
 * shown nothing. Each line says which counter, and what a set without it would leave in the dark.
 *
 * Counters are those of a run (run.ts): `log EVENT` with the state where there is one, `error CODE` that a
 * client or operator was given, `fault KIND`, what the workload counts, and what coverage/observe.ts
 * sees: `cell MACHINE STATE EVENT`, `code CODE` of an error that was made anywhere.
 */

/** Sets smaller than this may have missed what is rare. */
export const SEEDS_MIN = 100;

export interface Sometimes {
  /** Any one of these counters will do. */
  readonly counters: readonly string[];
  readonly why: string;
}

const once = (counter: string, why: string): Sometimes => ({ counters: [counter], why });

export const sometimes: readonly Sometimes[] = [
  once("code STALE_EPOCH", "a replaced owner or leader was refused by its epoch (P4)"),
  once("log vdisk.deposed", "an owner that was replaced noticed and stopped (P4)"),
  once("log election.lost", "a leader lost its office while it ran (P4)"),
  once("log leader.elected", "there was a leader at all"),
  once("log oplog.tailTaken", "a new owner brought its peers to its log (P1)"),
  once("log oplog.recovered", "a journal was read after a crash (P1)"),
  once("log oplog.peerRemoved", "a peer that failed was left out before the next answer (P1)"),
  once("log oplog.peerAdded", "a lost copy was replaced (P1, P9)"),
  once("write of unknown outcome", "a client was left without an answer (P1)"),
  once("log cut.void", "a cut that was not one instant was thrown away (P2)"),
  once("recovery point taken", "there were recovery points (P2)"),
  once("recovery point read", "recovery points were compared with history (P2, P3)"),
  once("log point.received", "a recovery point arrived at another site (P3)"),
  once("log job.adopted PLANNING", "a leader was elected while a job was planned (P5)"),
  once("log job.adopted RUNNING", "a leader was elected while a job shipped (P5)"),
  once("log job.adopted RECORDING", "a leader was elected while a target recorded (P5)"),
  once("log replication.laneBroken", "a transfer was broken and taken up again (P5)"),
  once("log extents.chunk-corrupt", "a chunk failed its check (P7)"),
  once("log extents.chunk-repaired", "a bad copy was rewritten from a good one (P7)"),
  once("code DISK_FULL", "a full disk was refused (P1, P9)"),
  once("activation", "a domain was activated elsewhere (P2, P4)"),
];

/** Promises that some checker must have examined in a set of runs. */
export const promises: readonly string[] = ["P1", "P2", "P3", "P4", "P5", "P7", "P8", "P9"];

/** Those of the list that a set with these counters has never seen. */
export function neverSeen(
  counters: Readonly<Record<string, number>>,
  list: readonly Sometimes[] = sometimes,
): readonly Sometimes[] {
  return list.filter((one) => one.counters.every((name) => (counters[name] ?? 0) === 0));
}
