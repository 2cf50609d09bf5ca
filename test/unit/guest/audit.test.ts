/** The audit: every kind of damage is called by its name, and what is lost is counted exactly. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { auditImage } from "../../../services/guest/audit.ts";
import { BLOCK_BYTES, fillBlock, readBlockHeader } from "../../../services/guest/block.ts";
import type { PlannedWrite } from "../../../services/guest/generator.ts";
import { failureOf } from "../../support/outcome.ts";
import { auditRun as audit, block, Run, readerOf, SLOTS } from "./perfectRun.ts";

describe("audit", () => {
  it("finds nothing wrong with a perfect image, and nothing lost (P1)", async () => {
    const run = new Run();
    run.writes(500);
    const report = await audit(run, run.image());
    expect(report).toMatchObject({ ok: true, isPrefix: true, lost: [], lostBytes: 0, rpoMs: 0 });
    expect([report.writesIssued, report.writesIncluded]).toEqual([500, 500]);
    expect(report.slots.ok + report.slots.zero).toBe(2 * SLOTS);
  });

  it("counts exactly what came after a recovery point: writes, bytes and ms (P2)", async () => {
    const run = new Run();
    run.writes(200);
    const point = run.image();
    const lost = [run.write(), run.write(), run.write()];
    const report = await audit(run, point, { failedAtMicros: run.nowMicros + 500_000 });
    expect([report.ok, report.isPrefix]).toEqual([true, true]);
    expect(report.lost.map((write) => write.gseq)).toEqual(lost.map((write) => write.gseq));
    expect(report.lostBytes).toBe(lost.reduce((sum, w) => sum + w.parts * BLOCK_BYTES, 0));
    // Records are 1 ms apart: the oldest lost acknowledgement is 4 records before the last.
    expect(report.rpoMs).toBe(504);
    expect(report.ageMs).toBe(507);
    expect(report.writesIncluded).toBe(200);
  });

  it("counts only the missing blocks of a write that is there in part", async () => {
    const run = new Run();
    run.writes(30);
    const image = run.image();
    let write = run.write();
    while (write.parts < 2) {
      block(image, write.vdiskId, write.lba).set(block(run.disks, write.vdiskId, write.lba));
      write = run.write();
    }
    const { vdiskId, lba, parts } = write;
    block(image, vdiskId, lba).set(block(run.disks, vdiskId, lba));
    const report = await audit(run, image);
    expect(report.lost.map((lost) => [lost.gseq, lost.bytes])).toEqual([
      [write.gseq, (parts - 1) * BLOCK_BYTES],
    ]);
    expect(report.lostBytes).toBe((parts - 1) * BLOCK_BYTES);
  });

  it("fails when something is missing that was acknowledged before the point was asked for", async () => {
    const run = new Run();
    run.writes(50);
    const point = run.image();
    const missing = run.write(0);
    const report = await audit(run, point, { requiredBeforeMicros: run.nowMicros + 1 });
    expect([report.ok, report.isPrefix, report.missingRequired]).toEqual([false, true, 1]);
    expect(report.problems[0]).toMatchObject({ vdisk: "d0", lba: missing.lba });
  });

  it("names the pair when one vDisk is behind the other, and the stale slots (P2)", async () => {
    const run = new Run();
    run.writes(100);
    const early = run.image();
    const missing = run.write(0);
    const present = run.write(1);
    const skewed = [early[0] ?? new Uint8Array(0), run.image()[1] ?? new Uint8Array(0)];
    const report = await audit(run, skewed);
    expect([report.ok, report.isPrefix]).toEqual([false, false]);
    expect(report.witness).toMatchObject({
      missing: { gseq: missing.gseq, vdisk: "d0" },
      present: { gseq: present.gseq, vdisk: "d1" },
    });
    expect(report.slots.stale + report.problems.filter((p) => p.verdict === "zero").length).toBe(
      missing.parts,
    );
  });

  it("takes a write without answer as there or not, both", async () => {
    const run = new Run();
    run.writes(20);
    const unknown = run.issue(0);
    run.err(unknown);
    const without = run.image();
    run.write(1);
    expect((await audit(run, run.image())).ok).toBe(true);
    run.apply(unknown);
    expect((await audit(run, run.image())).ok).toBe(true);
    expect((await audit(run, without)).lost.length).toBe(1);
  });

  it("takes a write beyond the end of a journal whose buffer was lost, and else calls it a ghost", async () => {
    const run = new Run();
    run.writes(20);
    const swallowed = run.write(0);
    const seen = run.records.splice(-2);
    expect(seen.map((record) => record.kind)).toEqual(["inv", "ack"]);
    const complete = await audit(run, run.image());
    expect([complete.ok, complete.slots.ghost]).toEqual([false, swallowed.parts]);
    run.isComplete = false;
    const report = await audit(run, run.image());
    expect([report.ok, report.isPrefix, report.lost.length]).toEqual([true, true, 0]);
    // Such a write was issued after everything that is in the journal, so all of that must be there.
    const skewed = run.image();
    const other = run.records.findLast((r) => r.kind === "inv" && r.vdiskId === 1);
    block(skewed, 1, other?.lba ?? 0).fill(0);
    expect((await audit(run, skewed)).isPrefix).toBe(false);
  });

  describe("calls damage by its name (P7)", () => {
    /** A run in which slot 3 of d0 was written twice, by one block each. */
    function twice(): { run: Run; older: Uint8Array; newer: Uint8Array; seqs: readonly number[] } {
      const run = new Run();
      run.writes(400);
      const versions = run.records.filter(
        (r) => r.kind === "inv" && r.vdiskId === 0 && r.lba <= 3 && 3 < r.lba + r.parts,
      );
      const [a, b] = versions.slice(-2);
      if (a === undefined || b === undefined) throw new Error("the slot was written twice");
      const newer = block(run.image(), 0, 3).slice();
      const header = readBlockHeader(newer);
      if (header === undefined) throw new Error("the slot holds a block");
      const older = new Uint8Array(BLOCK_BYTES);
      const bodySeed = (a.bodySeed + Math.imul(3 - a.lba, 0x9e3779b1)) >>> 0;
      fillBlock(older, { ...header, gseq: a.gseq, bodySeed, version: header.version - 1 });
      return { run, older, newer, seqs: [a.gseq, b.gseq] };
    }

    async function verdictOf(run: Run, change: (bytes: Uint8Array, image: Uint8Array[]) => void) {
      const image = run.image();
      change(block(image, 0, 3), image);
      const report = await audit(run, image);
      expect(report.ok).toBe(false);
      return report.problems.find((problem) => problem.vdisk === "d0" && problem.lba === 3);
    }

    it("torn: a new head over an old tail, with the map of its sectors", async () => {
      const { run, older, seqs } = twice();
      const problem = await verdictOf(run, (bytes) => {
        bytes.set(older.subarray(1024), 1024);
      });
      const [a, b] = seqs;
      expect(problem?.verdict).toBe("torn");
      expect(problem?.found).toContain([b, b, a, a, a, a, a, a].join(" "));
    });

    it("torn: an old head over a new tail, and a tail that was never written", async () => {
      const { run, older } = twice();
      const mixed = await verdictOf(run, (bytes) => {
        bytes.set(older.subarray(0, 512));
      });
      const cut = await verdictOf(run, (bytes) => bytes.fill(0, 2048));
      expect([mixed?.verdict, cut?.verdict]).toEqual(["torn", "torn"]);
    });

    it("rot: a flipped bit, with the number of bits, in the body or in cgId", async () => {
      const { run } = twice();
      for (const at of [93, 700, 4095]) {
        const problem = await verdictOf(run, (bytes) => {
          bytes[at] = (bytes[at] ?? 0) ^ 4;
        });
        expect(problem).toMatchObject({ verdict: "rot", found: "1 wrong bits" });
      }
    });

    it("rot: a broken header, and bytes of nobody", async () => {
      const { run } = twice();
      const header = await verdictOf(run, (bytes) => {
        bytes[33] = (bytes[33] ?? 0) ^ 1;
      });
      const noise = await verdictOf(run, (bytes) => void createPrng(3).fill(bytes));
      expect([header?.verdict, noise?.verdict]).toEqual(["rot", "rot"]);
    });

    it("misdirected: the block of another slot, and of another vDisk", async () => {
      const { run } = twice();
      const slot = await verdictOf(run, (bytes, image) => {
        bytes.set(block(image, 0, 2));
      });
      const disk = await verdictOf(run, (bytes, image) => {
        bytes.set(block(image, 1, 3));
      });
      expect([slot?.verdict, disk?.verdict]).toEqual(["misdirected", "misdirected"]);
    });

    it("ghost: a block of another run, and of a write that was never issued", async () => {
      const { run, newer } = twice();
      const header = readBlockHeader(newer);
      if (header === undefined) throw new Error("the slot holds a block");
      for (const change of [{ runId: 1 }, { gseq: 999_999 }, { bodySeed: 1 }]) {
        const problem = await verdictOf(run, (bytes) => {
          fillBlock(bytes, { ...header, ...change });
        });
        expect(problem?.verdict).toBe("ghost");
      }
    });

    it("stale: the version before the last, under a newer write elsewhere", async () => {
      const { run, older, seqs } = twice();
      run.writes(3);
      const problem = await verdictOf(run, (bytes) => {
        bytes.set(older);
      });
      expect(problem?.verdict).toBe("stale");
      expect(problem?.found).toContain(`write ${seqs[0]}`);
    });

    it("zero: an acknowledged write that is not there at all", async () => {
      const { run } = twice();
      run.writes(3);
      expect((await verdictOf(run, (bytes) => bytes.fill(0)))?.verdict).toBe("zero");
    });
  });

  it("audits independent writers together, and calls their mixed-up blocks misdirected", async () => {
    const [a, b] = [new Run(1, 100), new Run(2, 200)];
    a.writes(50);
    b.writes(50);
    const inputs = [a, b].map((run) => ({
      journal: run.journal(),
      readSlot: readerOf(run.disks),
    }));
    const good = await auditImage(inputs);
    expect([good.ok, good.writesIssued]).toEqual([true, 100]);
    block(a.disks, 0, 0).set(block(b.disks, 0, 0));
    expect((await auditImage(inputs)).slots.misdirected).toBe(1);
    const doubled = auditImage([...inputs, ...inputs.slice(0, 1)]);
    expect((await failureOf(doubled)).code).toBe("INVALID_ARGUMENT");
  });

  it("accepts the image of every moment of a concurrent run (P2)", async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const prng = createPrng(seed);
      const run = new Run(seed);
      const open: PlannedWrite[] = [];
      const images: Uint8Array[][] = [];
      for (let step = 0; step < 150; step++) {
        if (open.length < 6 && prng.below(2) === 0) {
          const write = run.issue();
          open.push(write);
        } else if (open.length > 0) {
          const [write] = open.splice(prng.below(open.length), 1);
          if (write === undefined) continue;
          run.apply(write);
          if (prng.below(3) === 0) images.push(run.image());
          run.ack(write);
        }
      }
      for (const image of images)
        expect((await audit(run, image)).isPrefix, `seed ${seed}`).toBe(true);
    }
  });
});
