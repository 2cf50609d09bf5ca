/** The writer's journal on a fake disk: what survives, what a torn tail costs. */

import { describe, expect, it } from "vitest";
import { buildHistory } from "../../../services/guest/history.ts";
import {
  GSEQ_GAP,
  JOURNAL_RECORD_BYTES,
  type Journal,
  type JournalHeader,
  type JournalRecord,
  type JournalWriter,
  loadJournal,
  openJournal,
} from "../../../services/guest/journal.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { failureOf } from "../../support/outcome.ts";

const HEADER: JournalHeader = {
  runId: 77,
  cgId: 1,
  seed: 5,
  vdisks: [{ id: 0, name: "d0", slots: 100 }],
};

function record(kind: JournalRecord["kind"], gseq: number): Omit<JournalRecord, "timeMicros"> {
  return { kind, gseq, repeatShare: 3, parts: 2, vdiskId: 0, lba: 9, bodySeed: 0xffff_fffe };
}

function open(disk: FakeDisk, before?: Journal, firstGseq = 1): Promise<JournalWriter> {
  const clock = createFakeClock(1234);
  return openJournal({ disk, clock, path: "h", header: HEADER, before, firstGseq });
}

describe("journal", () => {
  it("gives back header and records in order, and knows that it is complete", async () => {
    const disk = createFakeDisk();
    const writer = await open(disk);
    writer.append(record("inv", 1));
    writer.append(record("ack", 1), 99);
    writer.append(record("end", 0));
    await writer.close();
    const journal = await loadJournal(disk, "h");
    expect(journal.header).toEqual(HEADER);
    expect(journal.records.map((r) => r.kind)).toEqual(["session", "inv", "ack", "end"]);
    expect(journal.records[2]).toEqual({ ...record("ack", 1), timeMicros: 99 });
    expect(journal.isComplete).toBe(true);
  });

  it("has everything that was flushed after the writer was killed, and is not complete", async () => {
    const disk = createFakeDisk();
    const writer = await open(disk);
    writer.append(record("inv", 1));
    await writer.flush();
    writer.append(record("ack", 1));
    disk.killProcess();
    const journal = await loadJournal(disk, "h");
    expect(journal.records.map((r) => r.kind)).toEqual(["session", "inv"]);
    expect(journal.isComplete).toBe(false);
  });

  it("leaves out a tail torn at any byte, and one with a flipped bit", async () => {
    const disk = createFakeDisk();
    const writer = await open(disk);
    for (let gseq = 1; gseq <= 3; gseq++) writer.append(record("inv", gseq));
    await writer.close();
    const whole = await loadJournal(disk, "h");
    for (let cut = 1; cut <= JOURNAL_RECORD_BYTES; cut++) {
      const file = await disk.open("h", "write");
      await file.truncate(whole.validBytes - cut);
      await file.close();
      const torn = await loadJournal(disk, "h");
      expect([torn.records.length, torn.isComplete]).toEqual([3, false]);
    }
    disk.corrupt("h", whole.validBytes - 3 * JOURNAL_RECORD_BYTES + 10);
    expect((await loadJournal(disk, "h")).records.length).toBe(1);
  });

  it("goes on behind the last whole record, in a new session", async () => {
    const disk = createFakeDisk();
    const first = await open(disk);
    first.append(record("inv", 1));
    await first.close();
    const file = await disk.open("h", "write");
    await file.write((await loadJournal(disk, "h")).validBytes, [new Uint8Array(17).fill(9)]);
    await file.close();
    const before = await loadJournal(disk, "h");
    const second = await open(disk, before, 1 + GSEQ_GAP);
    second.append(record("inv", 1 + GSEQ_GAP));
    second.append(record("end", 0));
    await second.close();
    const journal = await loadJournal(disk, "h");
    expect(journal.records.map((r) => r.kind)).toEqual(["session", "inv", "session", "inv", "end"]);
    expect(journal.isComplete).toBe(true);
  });

  it("tells which unknown numbers a lost buffer may have swallowed", async () => {
    const disk = createFakeDisk();
    const first = await open(disk);
    first.append(record("inv", 1));
    await first.close();
    const lost = buildHistory(await loadJournal(disk, "h"));
    expect([lost.unjournaledSince(1), lost.unjournaledSince(0)]).toEqual([undefined, undefined]);
    expect(lost.unjournaledSince(2)).toBe(1.5);
    const second = await open(disk, await loadJournal(disk, "h"), 1000);
    second.append(record("inv", 1000));
    second.append(record("end", 0));
    await second.close();
    const both = buildHistory(await loadJournal(disk, "h"));
    expect([both.unjournaledSince(2), both.unjournaledSince(1001)]).toEqual([1.5, undefined]);
  });

  it.each([
    ["nothing", new Uint8Array(0)],
    ["another format", new Uint8Array(5000).fill(7)],
  ])("refuses a file that holds %s (P10)", async (_what, bytes) => {
    const disk = createFakeDisk();
    const file = await disk.open("h", "create");
    await file.write(0, [bytes]);
    await file.close();
    expect((await failureOf(loadJournal(disk, "h"))).code).toBe("FORMAT_UNSUPPORTED");
  });

  it("refuses a damaged header (P10)", async () => {
    const disk = createFakeDisk();
    await (await open(disk)).close();
    disk.corrupt("h", 30);
    expect((await failureOf(loadJournal(disk, "h"))).code).toBe("FORMAT_UNSUPPORTED");
  });

  it("fails every flush after one that the disk failed", async () => {
    const disk = createFakeDisk();
    const writer = await open(disk);
    writer.append(record("inv", 1));
    disk.fail({ operation: "write", errno: "ENOSPC" });
    expect((await failureOf(writer.flush())).code).toBe("DISK_FULL");
    writer.append(record("inv", 2));
    expect((await failureOf(writer.flush())).code).toBe("DISK_FULL");
  });
});
