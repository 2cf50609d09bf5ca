/** The report of a drill as people see it. */

import { expect, it } from "vitest";
import { type DrillReport, reportText } from "../../../services/cli/demo/drillReport.ts";

const GIB = 2 ** 30;
const replication = (recoveryPoint: string, leaderKilled: boolean) => ({
  recoveryPoint,
  kind: "incremental" as const,
  logicalBytes: 1023 * GIB,
  zeroBytes: 1023 * GIB,
  unchangedBytes: 1023 * GIB,
  dedupedBytes: 1023 * GIB,
  uniqueBytes: 1023 * GIB,
  compressedBytes: 1023 * GIB,
  wireBytes: 1023 * GIB,
  durationMs: 3_599_000,
  rootSource: { "ledger-1": "a".repeat(64) },
  rootTarget: { "ledger-1": leaderKilled ? "b".repeat(64) : "a".repeat(64) },
  leaderKilled,
  resentBytes: 0,
  holdMs: 1,
});
const report: DrillReport = {
  ok: false,
  input: "9182 real files of this machine as a tar archive",
  lab: { upMs: 4000, rssBytesPeak: 2 * GIB, pssBytesPeak: GIB, processes: 16 },
  replications: [replication("rp-1", false), replication("rp-2", false), replication("rp-3", true)],
  failover: {
    leaderElectedMs: 1800,
    activateMs: 400,
    firstReadMs: 500,
    bytesCompared: GIB,
    sha256Source: "a".repeat(64),
    sha256Target: "b".repeat(64),
    lostWrites: 3349,
    lostBytes: GIB,
    rpoMs: 27_000,
    acknowledgedWrites: 7056,
  },
  checks: [{ what: "rp-3: roots at A and B are equal", held: false, found: "aaaa and bbbb" }],
  timeline: [{ atMs: 42_330, what: "kill -9 of the Cerebro leader" }],
  elapsedMs: 76_000,
};

it("fits 80 columns, and says which replication lost its leader and which roots differ", () => {
  const text = reportText(report);
  const lines = text.split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(lines.find((line) => line.startsWith("leader"))).toMatch(/stayed +stayed +killed/);
  expect(text.match(/DIFFERENT/g)).toHaveLength(1);
  expect(text).toContain("FAIL  rp-3: roots at A and B are equal: aaaa and bbbb");
});

it("names the one sum of memory where a system does not tell what is shared", () => {
  const text = reportText({ ...report, lab: { ...report.lab, pssBytesPeak: 0 } });
  expect(text).toMatch(/memory, peak +2\.0 GiB in 16 processes$/m);
});
