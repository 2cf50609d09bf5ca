/**
 * What a drill measured: the object of `--json`, and the report for people. Every check is named, so
 * that a drill that fails says which promise did not hold.
 */

import { formatBytes, formatDuration } from "../../base/units.ts";
import { facts, table } from "../output.ts";

export interface ReplicationReport {
  readonly recoveryPoint: string;
  readonly kind: "full" | "incremental";
  readonly logicalBytes: number;
  readonly zeroBytes: number;
  readonly unchangedBytes: number;
  readonly dedupedBytes: number;
  readonly uniqueBytes: number;
  readonly compressedBytes: number;
  readonly wireBytes: number;
  readonly durationMs: number;
  /** By vDisk. */
  readonly rootSource: Readonly<Record<string, string>>;
  readonly rootTarget: Readonly<Record<string, string>>;
  readonly leaderKilled: boolean;
  readonly resentBytes: number;
  /** How long writes were held for the cut. */
  readonly holdMs: number;
}

export interface FailoverReport {
  /** From the kill of the leader to the next one. */
  readonly leaderElectedMs: number;
  /** From the loss of the site to the activation's end. */
  readonly activateMs: number;
  /** From the loss of the site to the first bytes read at the other one. */
  readonly firstReadMs: number;
  readonly bytesCompared: number;
  readonly sha256Source: string;
  readonly sha256Target: string;
  /** Acknowledged by site A after the recovery point, and gone with it. */
  readonly lostWrites: number;
  readonly lostBytes: number;
  readonly rpoMs: number;
  readonly acknowledgedWrites: number;
}

export interface TimelineEntry {
  readonly atMs: number;
  readonly what: string;
}

export interface Check {
  readonly what: string;
  readonly held: boolean;
  /** What was found instead. */
  readonly found: string;
}

export interface DrillReport {
  readonly ok: boolean;
  readonly input: string;
  readonly lab: {
    readonly upMs: number;
    /** Sum over all processes: a page that several share (Node's own code) counts for each. */
    readonly rssBytesPeak: number;
    /** The same with shared pages counted once; 0 where the system does not tell. */
    readonly pssBytesPeak: number;
    readonly processes: number;
  };
  readonly replications: readonly ReplicationReport[];
  readonly failover: FailoverReport;
  readonly checks: readonly Check[];
  readonly timeline: readonly TimelineEntry[];
  readonly elapsedMs: number;
}

/** The report for people. */
export function reportText(report: DrillReport): string {
  return [
    "",
    `Drill: ${report.ok ? "every check held" : "A CHECK DID NOT HOLD"}, ${formatDuration(report.elapsedMs)}`,
    `Disk: ${report.input}`,
    "",
    replicationTable(report.replications),
    "",
    rootTable(report.replications),
    "",
    "Time line",
    ...report.timeline.map(
      (entry) => `  ${`${(entry.atMs / 1000).toFixed(2)} s`.padStart(9)}  ${entry.what}`,
    ),
    "",
    failoverFacts(report),
    "",
    "Checks",
    ...report.checks.map(
      (check) =>
        `  ${check.held ? "ok  " : "FAIL"}  ${check.what}${check.held ? "" : `: ${check.found}`}`,
    ),
  ].join("\n");
}

function replicationTable(replications: readonly ReplicationReport[]): string {
  const rows = replications.map((one) => [
    one.recoveryPoint,
    one.leaderKilled ? `${one.kind}, leader killed` : one.kind,
    formatBytes(one.logicalBytes),
    formatBytes(one.zeroBytes),
    formatBytes(one.unchangedBytes),
    formatBytes(one.dedupedBytes),
    formatBytes(one.uniqueBytes),
    formatBytes(one.compressedBytes),
    formatBytes(one.wireBytes),
    formatBytes(one.resentBytes),
    formatDuration(one.durationMs),
    `${formatBytes(Math.round((one.logicalBytes * 1000) / Math.max(1, one.durationMs)))}/s`,
  ]);
  return table(
    [
      "point",
      "replication",
      "logical",
      "zero",
      "unchanged",
      "dedup",
      "sent",
      "compressed",
      "wire",
      "resent",
      "took",
      "rate",
    ],
    rows,
  );
}

function rootTable(replications: readonly ReplicationReport[]): string {
  const rows = replications.flatMap((one) =>
    Object.keys(one.rootSource).map((vdisk) => {
      const source = one.rootSource[vdisk] ?? "";
      const target = one.rootTarget[vdisk] ?? "";
      return [
        one.recoveryPoint,
        vdisk,
        source.slice(0, 32),
        target.slice(0, 32),
        source === target ? "equal" : "DIFFERENT",
      ];
    }),
  );
  return table(["point", "vdisk", "root at A", "root at B", ""], rows);
}

function failoverFacts(report: DrillReport): string {
  const { failover, lab } = report;
  return facts([
    ["new leader after", formatDuration(failover.leaderElectedMs)],
    ["activated at B after", formatDuration(failover.activateMs)],
    ["first read at B after", formatDuration(failover.firstReadMs)],
    ["compared", `${formatBytes(failover.bytesCompared)}, byte for byte`],
    ["SHA-256 at A", failover.sha256Source],
    ["SHA-256 at B", failover.sha256Target],
    [
      "lost (RPO)",
      `${failover.lostWrites} of ${failover.acknowledgedWrites} acknowledged writes, ${formatBytes(failover.lostBytes)}, ${formatDuration(failover.rpoMs)}`,
    ],
    ["lab up in", formatDuration(lab.upMs)],
    [
      "memory, peak",
      `${formatBytes(lab.pssBytesPeak)} in ${lab.processes} processes (${formatBytes(lab.rssBytesPeak)} when shared pages count for each)`,
    ],
  ]);
}
