/** A captured image gives what was captured, whatever happens to the disk afterwards (R3). */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { present } from "../../../services/base/assert.ts";
import { BLOCK_BYTES } from "../../../services/guest/index.ts";
import type { Branch, WriteRecord } from "./contracts.ts";
import { ImageStore } from "./image.ts";
import { blockOf, modelRun } from "./modelRun.ts";

const VDISKS = [{ id: 0, name: "v0", slots: 4 }];
const SEED = 20261120;

function branch(seed: number): Branch {
  return present(modelRun(seed).branches[0], "a model run has a branch");
}

describe("a captured image", () => {
  it("gives the bytes of its moment: whole, zero, damaged, and disguised", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(BLOCK_BYTES - 1), async (seed, at) => {
        const one = branch(seed);
        const write: WriteRecord = present(one.writes[0], "a branch has writes");
        const whole = blockOf(one, write, write.lba);
        const damaged = whole.slice();
        damaged[at] = (damaged[at] ?? 0) ^ 1;
        // Same identity, other bytes: the store must not take the one for the other.
        const disguised = blockOf(one, { ...write, bodySeed: write.bodySeed ^ 1 }, write.lba);
        const disk = [whole, damaged, disguised, new Uint8Array(BLOCK_BYTES)];
        const expected = disk.map((block) => block.slice());
        const store = new ImageStore();
        const read = await store.capture(VDISKS, ({ lba }) =>
          Promise.resolve(disk[lba] ?? new Uint8Array(BLOCK_BYTES)),
        );
        for (const block of disk) block.fill(0xff);
        for (let lba = 0; lba < 4; lba++)
          expect(await read({ vdiskId: 0, lba })).toEqual(expected[lba]);
      }),
      { numRuns: 50, seed: SEED },
    );
  });
});
