/** A writer's run on two perfect disks, with its journal: tests take from its images what they please. */

import { createPrng } from "../../../services/base/prng.ts";
import { type AuditInput, auditImage } from "../../../services/guest/audit.ts";
import type { AuditReport } from "../../../services/guest/auditReport.ts";
import { BLOCK_BYTES } from "../../../services/guest/block.ts";
import { type PlannedWrite, WriteGenerator } from "../../../services/guest/generator.ts";
import type { Journal, JournalRecord } from "../../../services/guest/journal.ts";

export const SLOTS = 64;
const VDISKS = [
  { id: 0, name: "d0", slots: SLOTS },
  { id: 1, name: "d1", slots: SLOTS },
];
const RUN = 4711;

/** A run on two perfect disks, with its journal; writes go in one after the other unless asked. */
export class Run {
  readonly disks = [new Uint8Array(SLOTS * BLOCK_BYTES), new Uint8Array(SLOTS * BLOCK_BYTES)];
  readonly records: JournalRecord[] = [];
  readonly generator: WriteGenerator;
  readonly runId: number;
  #micros = 1000;
  isComplete = true;

  constructor(seed = 1, runId = RUN) {
    this.runId = runId;
    this.generator = new WriteGenerator(
      { runId, cgId: 5, writerId: 0, vdisks: VDISKS, firstGseq: 1 },
      createPrng(seed),
    );
    this.#append("session", { gseq: 1, vdiskId: 0, lba: 0, parts: 0, bodySeed: 0, repeatShare: 0 });
  }

  /** Issues a write without applying or acknowledging it. */
  issue(vdisk?: number): PlannedWrite {
    const write = this.generator.next((id) => vdisk === undefined || id === vdisk);
    if (write === undefined) throw new Error("a slot is free");
    this.#append("inv", write);
    return write;
  }

  apply(write: PlannedWrite): void {
    this.disks[write.vdiskId]?.set(this.generator.fill(write, 1), write.lba * BLOCK_BYTES);
  }

  ack(write: PlannedWrite): void {
    this.generator.onAcked(write);
    this.#append("ack", write);
  }

  err(write: PlannedWrite): void {
    this.generator.onUnknown(write);
    this.#append("err", write);
  }

  write(vdisk?: number): PlannedWrite {
    const write = this.issue(vdisk);
    this.apply(write);
    this.ack(write);
    return write;
  }

  writes(count: number): void {
    for (let i = 0; i < count; i++) this.write();
  }

  get nowMicros(): number {
    return this.#micros;
  }

  journal(): Journal {
    const header = { runId: this.runId, cgId: 5, seed: 1, vdisks: VDISKS };
    return { header, records: this.records, isComplete: this.isComplete, validBytes: 0 };
  }

  image(): Uint8Array[] {
    return this.disks.map((disk) => disk.slice());
  }

  #append(kind: JournalRecord["kind"], write: Omit<JournalRecord, "kind" | "timeMicros">): void {
    const { gseq, vdiskId, lba, parts, bodySeed, repeatShare } = write;
    this.#micros += 1000;
    const timeMicros = this.#micros;
    this.records.push({ kind, gseq, vdiskId, lba, parts, bodySeed, repeatShare, timeMicros });
  }
}

export function block(image: readonly Uint8Array[], vdisk: number, lba: number): Uint8Array {
  return (image[vdisk] ?? new Uint8Array(0)).subarray(lba * BLOCK_BYTES, (lba + 1) * BLOCK_BYTES);
}

export function readerOf(image: readonly Uint8Array[]): AuditInput["readSlot"] {
  return ({ vdiskId, lba }) => Promise.resolve(block(image, vdiskId, lba));
}

export function auditRun(
  run: Run,
  image: readonly Uint8Array[],
  extra: { requiredBeforeMicros?: number; failedAtMicros?: number } = {},
): Promise<AuditReport> {
  return auditImage([{ journal: run.journal(), readSlot: readerOf(image), ...extra }]);
}
