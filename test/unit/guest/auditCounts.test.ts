/**
 * What an audit counts when losses are planted: kept, lost, torn, out of order, for each vDisk and for
 * the group, with times; and the map that shows where (P1, P2, P7).
 */

import { describe, expect, it } from "vitest";
import { tallyOf } from "../../../services/guest/auditReport.ts";
import { BLOCK_BYTES } from "../../../services/guest/block.ts";
import type { PlannedWrite } from "../../../services/guest/generator.ts";
import { auditRun, block, Run, SLOTS } from "./perfectRun.ts";

const bytesOf = (writes: readonly PlannedWrite[]): number =>
  writes.reduce((sum, write) => sum + write.parts * BLOCK_BYTES, 0);

/** Places of a map with this letter. */
function cellsWith(cells: string, letter: string): readonly number[] {
  return Array.from(cells).flatMap((cell, index) => (cell === letter ? [index] : []));
}

function slotsOf(writes: readonly PlannedWrite[], vdiskId: number): readonly number[] {
  const slots = writes
    .filter((write) => write.vdiskId === vdiskId)
    .flatMap(({ lba, parts }) => Array.from({ length: parts }, (_, part) => lba + part));
  return [...new Set(slots)].sort((a, b) => a - b);
}

describe("an audit's counts", () => {
  it("a lost tail: what each vDisk kept and lost, the prefix point, and where it was", async () => {
    const run = new Run();
    const kept = Array.from({ length: 80 }, (_, index) => run.write(index % 2));
    const point = run.image();
    const lost = [run.write(0), run.write(1), run.write(0)];
    const report = await auditRun(run, point);
    const first = lost[0]?.gseq;
    const ack = run.records.find((record) => record.kind === "ack" && record.gseq === first);
    expect([report.ok, report.isPrefix]).toEqual([true, true]);
    expect(report.completeUntilMicros).toBe(ack?.timeMicros);
    expect(report.vdisks).toMatchObject([
      { vdisk: "d0", acknowledged: 42, kept: 40, lost: 2, outOfOrder: 0, torn: 0, rotten: 0 },
      { vdisk: "d1", acknowledged: 41, kept: 40, lost: 1, outOfOrder: 0, torn: 0, rotten: 0 },
    ]);
    expect(tallyOf(report.vdisks)).toMatchObject({
      acknowledged: 83,
      acknowledgedBytes: bytesOf([...kept, ...lost]),
      lost: 3,
      lostBytes: bytesOf(lost),
    });
    expect(report.maps.map((map) => cellsWith(map.cells, "l"))).toEqual([
      slotsOf(lost, 0),
      slotsOf(lost, 1),
    ]);
  });

  it("a hole: one write in the middle is gone, so it is out of order", async () => {
    const run = new Run();
    const first = run.write(0);
    const before = run.image();
    const hole = run.write(1);
    const withHole = [run.image()[0] ?? new Uint8Array(0), before[1] ?? new Uint8Array(0)];
    const after = run.write(0);
    withHole[0] = run.image()[0] ?? new Uint8Array(0);
    const report = await auditRun(run, withHole);
    expect([report.ok, report.isPrefix]).toEqual([false, false]);
    expect(report.witness).toMatchObject({
      missing: { gseq: hole.gseq },
      present: { gseq: after.gseq },
    });
    expect(tallyOf(report.vdisks)).toMatchObject({ kept: 2, lost: 1, outOfOrder: 1 });
    expect(first.gseq).toBe(1);
    expect(cellsWith(report.maps[1]?.cells ?? "", "s")).toEqual(slotsOf([hole], 1));
  });

  it("reordered: a later write is there without the earlier ones it depends on", async () => {
    const run = new Run();
    run.write(0);
    const image = run.image();
    const missing = [run.write(1), run.write(1), run.write(1)];
    const later = run.write(0);
    const at = later.lba * BLOCK_BYTES;
    const end = at + later.parts * BLOCK_BYTES;
    image[0]?.set(run.image()[0]?.subarray(at, end) ?? [], at);
    const report = await auditRun(run, image);
    expect(report.isPrefix).toBe(false);
    expect(tallyOf(report.vdisks)).toMatchObject({ lost: missing.length, outOfOrder: 3 });
  });

  it("a torn block: it costs the newest write of its slot, not those that this one overwrote", async () => {
    const run = new Run();
    let newest = run.write(0);
    while (
      run.records.filter((r) => r.kind === "ack" && r.lba <= 3 && 3 < r.lba + r.parts).length < 3
    )
      newest = run.write(0);
    const image = run.image();
    block(image, 0, 3).fill(0, 1024);
    const report = await auditRun(run, image);
    expect(newest.vdiskId).toBe(0);
    expect(report.ok).toBe(false);
    expect(tallyOf(report.vdisks)).toMatchObject({ torn: 1, rotten: 0, lost: 1, outOfOrder: 0 });
    expect(report.lostBytes).toBe(BLOCK_BYTES);
    expect(cellsWith(report.maps[0]?.cells ?? "", "t")).toEqual([3]);
  });

  it("a stale image: a prefix, but not what the recovery point was asked for", async () => {
    const run = new Run();
    run.writes(10);
    const stale = run.image();
    run.writes(20);
    const asked = run.nowMicros + 1;
    const report = await auditRun(run, stale, { requiredBeforeMicros: asked });
    expect([report.ok, report.isPrefix, report.missingRequired]).toEqual([false, true, 20]);
    expect(tallyOf(report.vdisks)).toMatchObject({ kept: 10, lost: 20 });
  });

  it("a disk of another run: every block is a ghost, and every write that had to show is lost", async () => {
    const run = new Run(1, 100);
    const other = new Run(1, 200);
    const writes = Array.from({ length: 30 }, () => run.write());
    other.writes(30);
    const report = await auditRun(run, other.image());
    // Equal seeds: both runs wrote the same slots.
    const newest = new Map(
      writes.flatMap((write) =>
        slotsOf([write], write.vdiskId).map((slot) => [`${write.vdiskId} ${slot}`, write.gseq]),
      ),
    );
    expect(tallyOf(report.vdisks)).toMatchObject({
      rotten: newest.size,
      lost: new Set(newest.values()).size,
    });
    expect([report.ok, report.slots.ghost]).toEqual([false, newest.size]);
  });

  it("writes without answer count neither as kept nor as lost, whether they are there or not", async () => {
    const run = new Run();
    run.writes(10);
    const unknown = run.issue(0);
    run.err(unknown);
    const without = await auditRun(run, run.image());
    run.apply(unknown);
    const withIt = await auditRun(run, run.image());
    for (const report of [without, withIt]) {
      expect(report.ok).toBe(true);
      expect(tallyOf(report.vdisks)).toMatchObject({ acknowledged: 10, kept: 10, lost: 0 });
      expect(report.completeUntilMicros).toBeUndefined();
    }
  });

  it("the map says which slots were never written", async () => {
    const run = new Run();
    const written = [run.write(0), run.write(0)];
    const [map] = (await auditRun(run, run.image())).maps;
    expect(map).toMatchObject({ vdisk: "d0", slots: SLOTS, slotsPerCell: 1 });
    expect(cellsWith(map?.cells ?? "", "o")).toEqual(slotsOf(written, 0));
    expect(map?.cells.length).toBe(SLOTS);
  });
});
