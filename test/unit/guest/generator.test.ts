/** The generator's rules G1 to G3, over random orders of answers. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { BLOCK_BYTES, isBodyIntact, readBlockHeader } from "../../../services/guest/block.ts";
import {
  type PlannedWrite,
  WriteGenerator,
  type WriteMix,
} from "../../../services/guest/generator.ts";

function make(seed: number, mix: Partial<WriteMix> = {}, slots = 200): WriteGenerator {
  const vdisks = [0, 1, 2].map((id) => ({ id, slots }));
  return new WriteGenerator(
    { runId: 9, cgId: 0, writerId: 0, vdisks, firstGseq: 1, mix },
    createPrng(seed),
  );
}

const always = (): boolean => true;
const slotsOf = (write: PlannedWrite): string[] =>
  Array.from({ length: write.parts }, (_, i) => `${write.vdiskId}/${write.lba + i}`);

describe("write generator", () => {
  it.each([1, 2, 3, 4, 5])("keeps G1 to G3 under seed %i", (seed) => {
    const prng = createPrng(seed);
    const generator = make(seed);
    const busy = new Set<string>();
    const quarantined = new Set<string>();
    const outstanding: PlannedWrite[] = [];
    let lastGseq = 0;
    let acked = 0;
    for (let step = 0; step < 5000; step++) {
      if (outstanding.length < 16 && prng.below(2) === 0) {
        const write = generator.next(always);
        if (write === undefined) continue;
        expect(write.gseq).toBe(++lastGseq);
        expect(write.dep).toBe(acked);
        for (const slot of slotsOf(write)) {
          expect(busy.has(slot) || quarantined.has(slot)).toBe(false);
          busy.add(slot);
        }
        outstanding.push(write);
      } else if (outstanding.length > 0) {
        const [write] = outstanding.splice(prng.below(outstanding.length), 1);
        if (write === undefined) continue;
        for (const slot of slotsOf(write)) busy.delete(slot);
        if (prng.below(10) > 0) {
          generator.onAcked(write);
          acked = Math.max(acked, write.gseq);
          continue;
        }
        generator.onUnknown(write);
        for (const slot of slotsOf(write)) quarantined.add(slot);
        if (prng.below(2) === 0) continue;
        for (let i = 0; i < write.parts; i++)
          generator.onReadBack({ vdiskId: write.vdiskId, lba: write.lba + i });
        for (const slot of slotsOf(write)) quarantined.delete(slot);
      }
      expect(generator.quarantined).toBe(quarantined.size);
    }
    expect(lastGseq).toBeGreaterThan(500);
  });

  it("gives the same writes for the same seed and answers, others for another", () => {
    const sequence = (seed: number): unknown[] => {
      const generator = make(seed);
      return Array.from({ length: 50 }, () => {
        const write = generator.next(always);
        if (write !== undefined) generator.onAcked(write);
        return write;
      });
    };
    expect(sequence(4)).toEqual(sequence(4));
    expect(sequence(4)).not.toEqual(sequence(5));
  });

  it("follows an acknowledgement with a write to another vDisk, as often as asked", () => {
    const moved = (pairShare: number): number => {
      const generator = make(8, { pairShare });
      let count = 0;
      let before: number | undefined;
      for (let i = 0; i < 1000; i++) {
        const write = generator.next(always);
        if (write === undefined) continue;
        if (write.vdiskId !== before) count += 1;
        before = write.vdiskId;
        generator.onAcked(write);
      }
      return count / 1000;
    };
    expect(moved(1)).toBe(1);
    expect(moved(0)).toBeLessThan(0.75);
  });

  it("overwrites its hot set, and writes every size it was given", () => {
    const generator = make(8, { hotSlotsShare: 0.1, hotWritesShare: 0.9, sizesBlocks: [1, 2, 4] });
    const sizes = new Set<number>();
    let hot = 0;
    for (let i = 0; i < 1000; i++) {
      const write = generator.next(always);
      if (write === undefined) continue;
      sizes.add(write.parts);
      if (write.lba < 20) hot += 1;
      generator.onAcked(write);
    }
    expect([...sizes].sort()).toEqual([1, 2, 4]);
    expect(hot).toBeGreaterThan(800);
  });

  it("plans nothing for vDisks without connection, nor when every slot is taken", () => {
    const generator = make(8, {}, 4);
    expect(generator.next(() => false)).toBeUndefined();
    const taken: PlannedWrite[] = [];
    for (let i = 0; i < 500; i++) {
      const write = generator.next((id) => id === 1);
      if (write !== undefined) taken.push(write);
    }
    expect(taken.every((write) => write.vdiskId === 1)).toBe(true);
    expect(taken.reduce((sum, write) => sum + write.parts, 0)).toBe(4);
  });

  it("fills blocks that verify, with versions that go up by one", () => {
    const generator = make(8, { sizesBlocks: [2], hotSlotsShare: 1 }, 2);
    for (let version = 1; version <= 3; version++) {
      const write = generator.next((id) => id === 0);
      if (write === undefined) throw new Error("a slot is free");
      const bytes = generator.fill(write, 5);
      for (let part = 0; part < 2; part++) {
        const block = bytes.subarray(part * BLOCK_BYTES, (part + 1) * BLOCK_BYTES);
        const header = readBlockHeader(block);
        expect(header).toMatchObject({
          lba: part,
          part,
          parts: 2,
          version,
          previousVersion: version - 1,
        });
        expect(header !== undefined && isBodyIntact(block, header)).toBe(true);
      }
      generator.onAcked(write);
    }
  });
});
