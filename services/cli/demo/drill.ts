/**
 * The drill: two sites, one real disk, a leader killed in the middle of a replication, a site lost,
 * and an exact account of what survived. Every step goes through the services' own APIs and a real NBD
 * client; nothing is known here that a user could not know.
 */

import { join } from "node:path";
import { AntipodeError } from "../../base/errors.ts";
import { formatBytes, formatDuration, MIB } from "../../base/units.ts";
import {
  type AuditReport,
  auditImage,
  createImageReader,
  loadJournal,
  openSteadyDisk,
  SvwWriter,
  type WriterStatus,
  writeDisk,
} from "../../guest/index.ts";
import type { UpReport } from "../../lab/index.ts";
import type { Job, RecoveryPoint } from "../../platform/wire/cerebro.ts";
import type { Context } from "../command.ts";
import type { Progress } from "../progress.ts";
import { quietLog } from "../quietLog.ts";
import { compareWithCopy, type DiskComparison, type DiskDigest, keepCopy } from "./diskCopy.ts";
import type {
  Check,
  DrillReport,
  FailoverReport,
  ReplicationReport,
  TimelineEntry,
} from "./drillReport.ts";
import type { ImageSource } from "./imageSource.ts";
import type { LabKeeper } from "./labKeeper.ts";
import { SiteActions } from "./siteActions.ts";

const PD = "drill";
const DISK = "disk";
/** Two vDisks, so that the cut has to hold across owners. */
const LEDGERS = ["ledger-1", "ledger-2"] as const;
const LEDGER_BYTES = 64 * MIB;
const LEDGER_SPAN_BYTES = 32 * MIB;
const WRITER_RATE = 150;
/** New content written before the last recovery point: enough to be killed in the middle of. */
const EDIT_BYTES_MAX = 192 * MIB;
/** The writer goes on between recovery points for this long. */
const WRITER_RUNS_MS = 1500;
/** The leader is killed when tasks have been running for this long: ledgers are told once a second only. */
const KILL_AFTER_MS = 350;
const POLL_MS = 100;
const JOB_LIMIT_MS = 10 * 60_000;

export interface DrillWorld {
  readonly context: Context;
  readonly up: UpReport;
  readonly keeper: LabKeeper;
  readonly progress: Progress;
  readonly image: ImageSource;
  /** Absolute path of a folder outside the lab: history of the writer, copy of the disk. */
  readonly workFolder: string;
}

/** Runs the drill; `ok` of the report is false when a check did not hold. */
export async function runDrill(world: DrillWorld): Promise<DrillReport> {
  return new Drill(world).run();
}

class Drill {
  readonly #world: DrillWorld;
  readonly #actions: SiteActions;
  readonly #startedMs: number;
  readonly #timeline: TimelineEntry[] = [];
  readonly #checks: Check[] = [];
  readonly #replications: ReplicationReport[] = [];
  #leaderElectedMs = 0;

  constructor(world: DrillWorld) {
    this.#world = world;
    this.#actions = new SiteActions(world.context, world.up.open);
    this.#startedMs = world.context.world.clock.now() - world.up.upMs;
  }

  async run(): Promise<DrillReport> {
    const { up, image, keeper } = this.#world;
    this.#note(`lab is up: ${up.processes.services.length + 1} processes at sites A and B`);
    await this.#writeImage();
    await this.#actions.createPd("A", PD, [DISK, ...LEDGERS]);
    const writer = await this.#startWriter();
    let failover: FailoverReport;
    try {
      await this.#protectAndReplicate("full");
      await this.#now(WRITER_RUNS_MS);
      await this.#protectAndReplicate("incremental");
      await this.#edit();
      // Whatever is acknowledged now was acknowledged before the recovery point is asked for.
      const asked = this.#clock.now();
      const last = await this.#protectAndReplicate("incremental, leader killed");
      failover = await this.#failOver(last, writer, asked);
    } finally {
      writer.abort.abort();
      await writer.done.catch(() => undefined);
    }
    const checks = this.#checks;
    return {
      ok: checks.every((check) => check.held),
      input: image.description,
      lab: {
        upMs: Math.round(up.upMs),
        rssBytesPeak: keeper.rssBytesPeak,
        pssBytesPeak: keeper.pssBytesPeak,
        processes: keeper.processes,
      },
      replications: this.#replications,
      failover,
      checks,
      timeline: this.#timeline,
      elapsedMs: Math.round(this.#clock.now() - this.#startedMs),
    };
  }

  get #clock() {
    return this.#world.context.world.clock;
  }

  #note(what: string): void {
    const atMs = Math.round(this.#clock.now() - this.#startedMs);
    this.#timeline.push({ atMs, what });
    this.#world.progress.line(`[${(atMs / 1000).toFixed(1).padStart(5)} s] ${what}`);
  }

  #check(what: string, held: boolean, found: string): void {
    this.#checks.push({ what, held, found });
    if (!held) this.#world.progress.line(`        FAIL ${what}: ${found}`);
  }

  async #now(delayMs: number): Promise<void> {
    await this.#clock.sleep(delayMs, this.#world.context.signal);
  }

  // ---- the disk ----

  async #writeImage(): Promise<void> {
    const { image } = this.#world;
    await this.#actions.createVdisk("A", DISK, image.diskBytes);
    for (const ledger of LEDGERS) await this.#actions.createVdisk("A", ledger, LEDGER_BYTES);
    const startedMs = this.#clock.now();
    await this.#stream(`writing ${DISK}`, image.open(), image.lengthBytes);
    const seconds = (this.#clock.now() - startedMs) / 1000;
    this.#note(
      `${formatBytes(image.lengthBytes)} written through NBD at ${formatBytes(Math.round(image.lengthBytes / seconds))}/s`,
    );
  }

  /** Overwrites the beginning of the disk with its own content, every byte plus one: new, and as compressible as before. */
  async #edit(): Promise<void> {
    const { image } = this.#world;
    const length = Math.min(EDIT_BYTES_MAX, Math.floor(image.lengthBytes / 2));
    await this.#stream(`editing ${DISK}`, shifted(image.open(), length), length);
    this.#note(`${formatBytes(length)} of the disk overwritten with new content`);
  }

  async #stream(
    label: string,
    source: AsyncIterable<Uint8Array>,
    totalBytes: number,
  ): Promise<void> {
    const { context, progress } = this.#world;
    const client = await openSteadyDisk(context.world, await this.#actions.targets("A", DISK));
    const bar = progress.bar(label, "bytes");
    try {
      await writeDisk(client, source, {
        pieceBytes: MIB,
        depth: 8,
        onProgress: (done) => {
          bar.update(done, totalBytes);
        },
      });
    } finally {
      bar.end();
      await client.close();
    }
  }

  // ---- the writer ----

  async #startWriter(): Promise<RunningWriter> {
    const { context, workFolder } = this.#world;
    const vdisks = await Promise.all(
      LEDGERS.map(async (name) => ({
        name,
        targets: await this.#actions.targets("A", name),
        spanBytes: LEDGER_SPAN_BYTES,
      })),
    );
    const disk = context.world.diskAt(workFolder);
    const writer = new SvwWriter(
      { net: context.world.net, clock: this.#clock, disk, log: quietLog },
      {
        vdisks,
        runId: 1,
        seed: 1,
        queueDepth: 8,
        ratePerSecond: WRITER_RATE,
        historyPath: "history",
      },
    );
    const abort = new AbortController();
    const done = writer.run(abort.signal);
    done.catch(() => undefined); // looked at when the writer is stopped
    this.#note(`self-verifying writer runs on ${LEDGERS.join(", ")}: ${WRITER_RATE} writes/s`);
    return { writer, abort, done };
  }

  // ---- recovery points and replication ----

  async #protectAndReplicate(
    kind: "full" | "incremental" | "incremental, leader killed",
  ): Promise<RecoveryPoint> {
    const point = await this.#actions.snapshot("A", PD);
    this.#note(
      `recovery point ${point.name} taken; writes were held for ${point.holdMs.toFixed(1)} ms`,
    );
    const started = await this.#actions.startReplication("A", PD, point.id, "B");
    const kill = kind === "incremental, leader killed";
    const job = await this.#follow(started, point.name, kill);
    if (job.state !== "DONE")
      throw new AntipodeError(
        "CHECK_FAILED",
        `the replication of ${point.name} ended as ${job.state}: ${job.errorMessage}`,
      );
    await this.#report(point, job, kill);
    return point;
  }

  async #follow(started: Job, name: string, kill: boolean): Promise<Job> {
    const bar = this.#world.progress.bar(`replicating ${name}`, "bytes");
    const untilMs = this.#clock.now() + JOB_LIMIT_MS;
    let runningSinceMs: number | undefined;
    let election: Promise<void> | undefined;
    try {
      for (;;) {
        const job = await this.#actions.job("A", started.id);
        bar.update(
          job.ledger?.logicalBytes ?? 0,
          job.totalBytes,
          `sent ${formatBytes(job.ledger?.wireBytes ?? 0)}`,
        );
        if (job.state === "DONE" || job.state === "FAILED" || job.state === "CANCELLED") {
          if (kill)
            this.#check(
              `the leader was killed in the middle of the replication of ${name}`,
              election !== undefined,
              "the replication was over before",
            );
          await election;
          return job;
        }
        if (job.state === "RUNNING" && job.tasksRunning > 0) runningSinceMs ??= this.#clock.now();
        const runsMs = this.#clock.now() - (runningSinceMs ?? this.#clock.now());
        if (kill && election === undefined && runsMs >= KILL_AFTER_MS)
          election = (await this.#killLeader(job)).elected;
        if (this.#clock.now() > untilMs)
          throw new AntipodeError("DEADLINE_EXCEEDED", `the replication of ${name} does not end`, {
            job: job.id,
          });
        await this.#now(POLL_MS);
      }
    } finally {
      bar.end();
    }
  }

  /** kill -9; `elected` resolves when another leader is known. */
  async #killLeader(job: Job): Promise<{ readonly elected: Promise<void> }> {
    const before = await this.#actions.leader("A");
    await this.#actions.kill([`cerebro@A/${before.cvm}`], false);
    const killedMs = this.#clock.now();
    this.#note(
      `kill -9 of the Cerebro leader (CVM ${before.cvm}): ${job.tasksDone} of ${job.tasksTotal} tasks done, ${job.tasksRunning} running`,
    );
    const elected = async (): Promise<void> => {
      for (;;) {
        const now = await this.#actions.leader("A").catch(() => before);
        if (now.cvm !== 0 && now.epoch > before.epoch) {
          this.#leaderElectedMs = Math.round(this.#clock.now() - killedMs);
          this.#note(
            `CVM ${now.cvm} is leader with epoch ${now.epoch}, ${formatDuration(this.#leaderElectedMs)} after the kill`,
          );
          return;
        }
        await this.#now(POLL_MS);
      }
    };
    return { elected: elected() };
  }

  async #report(point: RecoveryPoint, job: Job, leaderKilled: boolean): Promise<void> {
    const arrived = await this.#actions.recoveryPoint("B", PD, point.id);
    const roots = (of: RecoveryPoint): Record<string, string> =>
      Object.fromEntries(of.disks.map((disk) => [disk.vdiskName, disk.root]));
    const ledger = job.ledger;
    const report: ReplicationReport = {
      recoveryPoint: point.name,
      kind: job.baseRecoveryPointId === "" ? "full" : "incremental",
      logicalBytes: job.totalBytes,
      zeroBytes: ledger?.zeroBytes ?? 0,
      unchangedBytes: ledger?.unchangedBytes ?? 0,
      dedupedBytes: ledger?.dedupedBytes ?? 0,
      uniqueBytes: ledger?.uniqueBytes ?? 0,
      compressedBytes: ledger?.compressedBytes ?? 0,
      wireBytes: ledger?.wireBytes ?? 0,
      durationMs: job.durationMs,
      rootSource: roots(point),
      rootTarget: roots(arrived),
      leaderKilled,
      resentBytes: ledger?.resentBytes ?? 0,
      holdMs: point.holdMs,
    };
    this.#replications.push(report);
    this.#note(
      `${point.name} is at B: ${formatBytes(report.uniqueBytes)} new, ${formatBytes(report.wireBytes)} on the wire, ${formatDuration(job.durationMs)}`,
    );
    this.#check(
      `${point.name}: roots at A and B are equal`,
      JSON.stringify(report.rootSource) === JSON.stringify(report.rootTarget),
      `A ${JSON.stringify(report.rootSource)}, B ${JSON.stringify(report.rootTarget)}`,
    );
  }

  // ---- the loss of site A ----

  async #failOver(
    point: RecoveryPoint,
    writer: RunningWriter,
    askedMs: number,
  ): Promise<FailoverReport> {
    const source = await this.#keepSource(point);
    await this.#now(WRITER_RUNS_MS);
    const lostMs = this.#clock.now();
    const killed = await this.#actions.kill(await this.#actions.servicesOf("A"), true);
    this.#note(`kill -9 of all ${killed} processes of site A`);
    writer.abort.abort();
    const status = await writer.done;

    await this.#actions.activate("B", PD, point.id);
    const activateMs = Math.round(this.#clock.now() - lostMs);
    this.#note(
      `${PD} activated at B from ${point.name}, ${formatDuration(activateMs)} after the loss`,
    );
    const { firstReadMs, target } = await this.#compare(point, source, lostMs);
    const audit = await this.#audit(askedMs, lostMs);
    this.#checkAudit(audit);
    this.#note(
      `lost: ${audit.lost.length} of ${status.acknowledged} acknowledged writes, ${formatBytes(audit.lostBytes)}, RPO ${formatDuration(audit.rpoMs)}`,
    );
    return {
      leaderElectedMs: this.#leaderElectedMs,
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

  /** What the recovery point holds at A, while A lives. */
  async #keepSource(point: RecoveryPoint): Promise<DiskDigest> {
    const { context, progress, workFolder } = this.#world;
    const targets = await this.#actions.targets("A", DISK, `${DISK}@${point.id}`);
    const client = await openSteadyDisk(context.world, targets);
    const bar = progress.bar(`reading ${DISK}@${point.name} at A`, "bytes");
    try {
      return await keepCopy(client, join(workFolder, "source"), (done) => {
        bar.update(done, client.sizeBytes);
      });
    } finally {
      bar.end();
      await client.close();
    }
  }

  async #compare(
    point: RecoveryPoint,
    source: DiskDigest,
    lostMs: number,
  ): Promise<{ firstReadMs: number; target: DiskComparison }> {
    const { context, progress, workFolder } = this.#world;
    const client = await openSteadyDisk(context.world, await this.#actions.targets("B", DISK));
    await client.read(0, 4096);
    const firstReadMs = Math.round(this.#clock.now() - lostMs);
    const bar = progress.bar(`reading ${DISK} at B`, "bytes");
    try {
      const target = await compareWithCopy(client, join(workFolder, "source"), (done) => {
        bar.update(done, client.sizeBytes);
      });
      this.#check(
        `the disk at B equals ${point.name} at A, byte for byte`,
        target.firstDifference === undefined &&
          target.bytes === source.bytes &&
          target.sha256 === source.sha256,
        `first difference at byte ${target.firstDifference}, ${target.bytes} of ${source.bytes} bytes`,
      );
      this.#note(`${formatBytes(target.bytes)} read back at B and compared`);
      return { firstReadMs, target };
    } finally {
      bar.end();
      await client.close();
    }
  }

  async #audit(askedMs: number, lostMs: number): Promise<AuditReport> {
    const { context, workFolder } = this.#world;
    const journal = await loadJournal(context.world.diskAt(workFolder), "history");
    const clients = new Map(
      await Promise.all(
        journal.header.vdisks.map(async (vdisk) => {
          const targets = await this.#actions.targets("B", vdisk.name);
          return [vdisk.id, await openSteadyDisk(context.world, targets)] as const;
        }),
      ),
    );
    try {
      return await auditImage([
        {
          journal,
          readSlot: createImageReader(clients),
          failedAtMicros: this.#journalMicros(lostMs),
          requiredBeforeMicros: this.#journalMicros(askedMs),
        },
      ]);
    } finally {
      for (const client of clients.values()) await client.close();
    }
  }

  /** The writer's journal counts on the wall clock. */
  #journalMicros(monotonicMs: number): number {
    return Math.round((this.#clock.wall() - this.#clock.now() + monotonicMs) * 1000);
  }

  #checkAudit(audit: AuditReport): void {
    this.#check(
      "every slot at B holds a whole block that the writer wrote there",
      audit.problems.length === 0,
      audit.problems[0]?.found ?? "",
    );
    this.#check(
      "B holds a prefix of the acknowledged order, over both ledgers",
      audit.isPrefix,
      `write ${audit.witness?.present.gseq} is there, write ${audit.witness?.missing.gseq}, acknowledged before it was issued, is not`,
    );
    this.#check(
      "B has every write acknowledged before the last snapshot was asked for",
      audit.missingRequired === 0,
      `${audit.missingRequired} are missing`,
    );
  }
}

interface RunningWriter {
  readonly writer: SvwWriter;
  readonly abort: AbortController;
  readonly done: Promise<WriterStatus>;
}

async function* shifted(
  source: AsyncIterable<Uint8Array>,
  length: number,
): AsyncGenerator<Uint8Array> {
  let left = length;
  for await (const piece of source) {
    const out = new Uint8Array(Math.min(piece.length, left));
    for (let i = 0; i < out.length; i++) out[i] = ((piece[i] ?? 0) + 1) & 255;
    yield out;
    left -= out.length;
    if (left <= 0) return;
  }
}
