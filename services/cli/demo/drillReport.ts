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

/** Digits that people see, so that a line fits 80 columns; --json has all. */
const ROOT_DIGITS = 24;
const SHA256_DIGITS = 48;

/** The report for people: no line of its own is wider than 80 columns. */
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

/** One column a replication: so the table fits 80 columns. */
function replicationTable(replications: readonly ReplicationReport[]): string {
  const row = (title: string, cell: (one: ReplicationReport) => string): readonly string[] => [
    title,
    ...replications.map(cell),
  ];
  const bytes = (title: string, of: (one: ReplicationReport) => number): readonly string[] =>
    row(title, (one) => formatBytes(of(one)));
  return table(
    row("replication", (one) => one.recoveryPoint),
    [
      row("kind", (one) => one.kind),
      row("leader", (one) => (one.leaderKilled ? "killed" : "stayed")),
      bytes("logical", (one) => one.logicalBytes),
      bytes("  zero", (one) => one.zeroBytes),
      bytes("  unchanged", (one) => one.unchangedBytes),
      bytes("  deduplicated", (one) => one.dedupedBytes),
      bytes("  sent", (one) => one.uniqueBytes),
      bytes("sent, compressed", (one) => one.compressedBytes),
      bytes("on the wire", (one) => one.wireBytes),
      bytes("sent in vain", (one) => one.resentBytes),
      row("took", (one) => formatDuration(one.durationMs)),
      bytes("rate a second", (one) =>
        Math.round((one.logicalBytes * 1000) / Math.max(1, one.durationMs)),
      ),
    ],
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
        source.slice(0, ROOT_DIGITS),
        target.slice(0, ROOT_DIGITS),
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
    ["SHA-256 at A", failover.sha256Source.slice(0, SHA256_DIGITS)],
    ["SHA-256 at B", failover.sha256Target.slice(0, SHA256_DIGITS)],
    [
      "lost (RPO)",
      `${failover.lostWrites} of ${failover.acknowledgedWrites} acknowledged writes, ${formatBytes(failover.lostBytes)}, ${formatDuration(failover.rpoMs)}`,
    ],
    ["lab up in", formatDuration(lab.upMs)],
    ["memory, peak", memoryText(lab)],
  ]);
}

function memoryText(lab: DrillReport["lab"]): string {
  const { pssBytesPeak, rssBytesPeak, processes } = lab;
  const sum = formatBytes(rssBytesPeak);
  // Not every system tells what is shared.
  if (pssBytesPeak === 0) return `${sum} in ${processes} processes`;
  return `${formatBytes(pssBytesPeak)} in ${processes} processes (${sum} as a sum of RSS)`;
}
