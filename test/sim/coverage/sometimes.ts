/**
 * What a set of runs must have seen at least once: a promise that held while nothing tested it has
 * shown nothing. Each line says which counter, and what a set without it would leave in the dark.
 *
 * Counters are those of a run (run.ts): `log EVENT` with the state where there is one, `error CODE` that a
 * client or operator was given, `fault KIND`, what the workload counts, and what coverage/observe.ts
 * sees: `cell MACHINE STATE EVENT`, `code CODE` of an error that was made anywhere.
 */

import { faultClasses } from "../config.ts";

/** Sets smaller than this may have missed what is rare, and are not called vacuous. */
export const SEEDS_MIN = 100;
/** What hangs on one moment of a run, and may be missed by hundreds. */
const SEEDS_MANY = 2000;
/** What is common is seen in a set as small as this one. */
export const SEEDS_FEW = 24;

export interface Sometimes {
  /** Any one of these counters will do. */
  readonly counters: readonly string[];
  readonly why: string;
  /** A set of so many seeds must have seen it. */
  readonly fromSeeds: number;
}

const common = (counter: string, why: string): Sometimes => ({
  ...{ counters: [counter], why, fromSeeds: SEEDS_FEW },
});
const rare = (counter: string, why: string): Sometimes => ({
  ...{ counters: [counter], why, fromSeeds: SEEDS_MIN },
});
const momentary = (counter: string, why: string): Sometimes => ({
  ...{ counters: [counter], why, fromSeeds: SEEDS_MANY },
});

export const sometimes: readonly Sometimes[] = [
  rare("code STALE_EPOCH", "a replaced owner or leader was refused by its epoch (P4)"),
  rare("log vdisk.deposed", "an owner that was replaced noticed and stopped (P4)"),
  common("log election.lost", "a leader lost its office while it ran (P4)"),
  common("log leader.elected", "there was a leader at all"),
  rare("log oplog.tailTaken", "a new owner brought its peers to its log (P1)"),
  common("log oplog.recovered", "a journal was read after a crash (P1)"),
  rare("log oplog.peerRemoved", "a peer that failed was left out before the next answer (P1)"),
  rare("log oplog.peerAdded", "a lost copy was replaced (P1, P9)"),
  common("write of unknown outcome", "a client was left without an answer (P1)"),
  common("log cut.void", "a cut that was not one instant was thrown away (P2)"),
  common("recovery point taken", "there were recovery points (P2)"),
  common("recovery point read", "recovery points were compared with history (P2, P3)"),
  common("log point.received", "a recovery point arrived at another site (P3)"),
  rare("log job.adopted PLANNING", "a leader was elected while a job was planned (P5)"),
  rare("log job.adopted RUNNING", "a leader was elected while a job shipped (P5)"),
  // Some 10 ms of a job. test/model/cerebro/leaderKilled.test.ts kills the leader at each point of it.
  momentary("log job.adopted RECORDING", "a leader was elected while a target recorded (P5)"),
  rare("log replication.laneBroken", "a transfer was broken and taken up again (P5)"),
  rare("log extents.chunk-corrupt", "a chunk failed its check (P7)"),
  rare("log extents.chunk-repaired", "a bad copy was rewritten from a good one (P7)"),
  rare("copy rotted at rest", "copies that nobody looked at went bad, for good (P7)"),
  rare("bad copy found after a rest", "such a copy was read, refused, and repaired (P7, P9)"),
  rare("power lost at rest", "images were read from disks alone (P1)"),
  rare("disks set aside read", "a site got its domain back and kept what it had before (P1)"),
  rare("code DISK_FULL", "a full disk was refused (P1, P9)"),
  common("activation", "a domain was activated elsewhere (P2, P4)"),
  ...Object.entries(faultClasses).map(([kind, inCatalogue]) =>
    rare(`fault ${kind}`, `a fault of class ${inCatalogue} struck`),
  ),
];

/** Promises that some checker must have examined, and in a set of how many seeds. */
export const promises: readonly { readonly promise: string; readonly fromSeeds: number }[] = [
  ...["P1", "P2", "P3", "P4", "P9"].map((promise) => ({ promise, fromSeeds: SEEDS_FEW })),
  ...["P5", "P7", "P8"].map((promise) => ({ promise, fromSeeds: SEEDS_MIN })),
];

/** Those that a set of so many seeds with these counters should have seen and has not. */
export function neverSeen(
  counters: Readonly<Record<string, number>>,
  seeds: number,
): readonly Sometimes[] {
  return sometimes.filter(
    (one) => seeds >= one.fromSeeds && one.counters.every((name) => (counters[name] ?? 0) === 0),
  );
}
