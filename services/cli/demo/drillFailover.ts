/** The loss of site A in a drill, the failover to B, and the account of what survived. */

import { formatBytes, formatDuration } from "../../base/units.ts";
import { type AuditReport, auditRecord, openSteadyDisk } from "../../guest/index.ts";
import type { RecoveryPoint } from "../../platform/wire/cerebro.ts";
import {
  type CopyFile,
  compareWithCopy,
  type DiskComparison,
  type DiskDigest,
  keepCopy,
} from "./diskCopy.ts";
import type { FailoverReport } from "./drillReport.ts";
import { DISK, type DrillRun, PD } from "./drillWorld.ts";
import { type RunningWriter, WRITER_RUNS_MS } from "./drillWriter.ts";

/**
 * Kills site A whole while the writer runs, activates at B, compares the disk and audits the ledgers.
 * @param askedMs when the last recovery point was asked for
 */
export async function failOver(
  run: DrillRun,
  point: RecoveryPoint,
  writer: RunningWriter,
  askedMs: number,
): Promise<Omit<FailoverReport, "leaderElectedMs">> {
  const source = await keepSource(run, point);
  await run.pass(WRITER_RUNS_MS);
  const lostMs = run.clock.now();
  const killed = await run.actions.kill(await run.actions.servicesOf("A"), true);
  run.note(`kill -9 of all ${killed} processes of site A`);
  writer.abort.abort();
  const status = await writer.done;

  await run.actions.activate("B", PD, point.id);
  const activateMs = Math.round(run.clock.now() - lostMs);
  run.note(`${PD} activated at B from ${point.name}, ${formatDuration(activateMs)} after the loss`);
  const { firstReadMs, target } = await compare(run, point, source, lostMs);
  const audit = await auditLedgers(run, askedMs, lostMs);
  checkAudit(run, audit);
  run.note(
    `lost: ${audit.lost.length} of ${status.acknowledged} acknowledged writes, ${formatBytes(audit.lostBytes)}, RPO ${formatDuration(audit.rpoMs)}`,
  );
  return {
    activateMs,
    firstReadMs,
    bytesCompared: target.bytes,
    sha256Source: source.sha256,
    sha256Target: target.sha256,
    lostWrites: audit.lost.length,
    lostBytes: audit.lostBytes,
    rpoMs: Math.round(audit.rpoMs),
    acknowledgedWrites: status.acknowledged,
  };
}

function copyOf({ world: { context, workFolder } }: DrillRun): CopyFile {
  return { disk: context.world.diskAt(workFolder), path: "source" };
}

/** What the recovery point holds at A, while A lives. */
async function keepSource(run: DrillRun, point: RecoveryPoint): Promise<DiskDigest> {
  const { context, progress } = run.world;
  const targets = await run.actions.targets("A", DISK, `${DISK}@${point.id}`);
  const client = await openSteadyDisk(context.world, targets);
  const bar = progress.bar(`reading ${DISK}@${point.name} at A`, "bytes");
  try {
    return await keepCopy(client, copyOf(run), (done) => {
      bar.update(done, client.sizeBytes);
    });
  } finally {
    bar.end();
    await client.close();
  }
}

async function compare(
  run: DrillRun,
  point: RecoveryPoint,
  source: DiskDigest,
  lostMs: number,
): Promise<{ firstReadMs: number; target: DiskComparison }> {
  const { context, progress } = run.world;
  const client = await openSteadyDisk(context.world, await run.actions.targets("B", DISK));
  await client.read(0, 4096);
  const firstReadMs = Math.round(run.clock.now() - lostMs);
  const bar = progress.bar(`reading ${DISK} at B`, "bytes");
  try {
    const target = await compareWithCopy(client, copyOf(run), (done) => {
      bar.update(done, client.sizeBytes);
    });
    run.check(
      `the disk at B equals ${point.name} at A, byte for byte`,
      target.firstDifference === undefined &&
        target.bytes === source.bytes &&
        target.sha256 === source.sha256,
      `first difference at byte ${target.firstDifference}, ${target.bytes} of ${source.bytes} bytes`,
    );
    run.note(`${formatBytes(target.bytes)} read back at B and compared`);
    return { firstReadMs, target };
  } finally {
    bar.end();
    await client.close();
  }
}

function auditLedgers(run: DrillRun, askedMs: number, lostMs: number): Promise<AuditReport> {
  const { context, workFolder } = run.world;
  return auditRecord(context.world, {
    disk: context.world.diskAt(workFolder),
    path: "history",
    targets: (vdisk) => run.actions.targets("B", vdisk),
    failedAtMicros: journalMicros(run, lostMs),
    requiredBeforeMicros: journalMicros(run, askedMs),
  });
}

/** The writer's journal counts on the wall clock. */
function journalMicros(run: DrillRun, monotonicMs: number): number {
  return Math.round((run.clock.wall() - run.clock.now() + monotonicMs) * 1000);
}

function checkAudit(run: DrillRun, audit: AuditReport): void {
  run.check(
    "every slot at B holds a whole block that the writer wrote there",
    audit.problems.length === 0,
    audit.problems[0]?.found ?? "",
  );
  run.check(
    "B holds a prefix of the acknowledged order, over both ledgers",
    audit.isPrefix,
    `write ${audit.witness?.present.gseq} is there, write ${audit.witness?.missing.gseq}, acknowledged before it was issued, is not`,
  );
  run.check(
    "B has every write acknowledged before the last snapshot was asked for",
    audit.missingRequired === 0,
    `${audit.missingRequired} are missing`,
  );
}
