/**
 * P4: an owner that is cut off from its site, but not from its clients, shows them nothing that its
 * successor has gone on from, and takes no write.
 */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";
import { ownerOf } from "../../support/siteLooks.ts";

const BLOCK = 4096;
const old = new Uint8Array(BLOCK).fill(1);
const fresh = new Uint8Array(BLOCK).fill(2);

function setCut(site: SimulatedSite, victim: number, isCut: boolean): void {
  for (const cvm of site.cvms) {
    if (cvm === victim) continue;
    if (isCut) site.network.cut(site.hostOf(victim), site.hostOf(cvm));
    else site.network.heal(site.hostOf(victim), site.hostOf(cvm));
  }
  site.cutEtcd(victim, isCut);
}

/** Longest time until a write goes on at another CVM: the lease ends, the heir takes over, the stream is given up. */
const GO_ON_MS_MAX = 8000;

describe("an owner that is cut off from its site", () => {
  it("does not keep a write that was forwarded to it longer than the site needs for another owner (P9)", async () => {
    const site = await simulatedSite({ seed: 5, cvms: 3 });
    try {
      for (const cvm of site.cvms) site.start(cvm);
      await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
      await site.createVdisk("disk", 4 * MIB, 3);
      const first = await site.wait(site.openDisk("disk", 1));
      await site.wait(first.write(0, old));
      const victim = (await ownerOf(site)).owner;
      const elsewhere = await site.wait(site.openDisk("disk", 1 + (victim % 3)));
      await site.wait(elsewhere.read(0, BLOCK));

      setCut(site, victim, true);
      const cutAtMs = site.clock.now();
      await site.wait(elsewhere.write(0, fresh));
      expect(site.clock.now() - cutAtMs).toBeLessThan(GO_ON_MS_MAX);

      setCut(site, victim, false);
      await site.clock.tick(20_000);
      const there = await site.wait(site.openDisk("disk", victim));
      expect((await site.wait(there.read(0, BLOCK)))[0]).toBe(2);
    } finally {
      site.end();
    }
  });

  for (const replicationFactor of [2, 3])
    it(`serves no stale read and acknowledges no write, with RF ${replicationFactor} (P4)`, async () => {
      const site = await simulatedSite({ seed: replicationFactor, cvms: 3 });
      try {
        for (const cvm of site.cvms) site.start(cvm);
        await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
        await site.createVdisk("disk", 4 * MIB, replicationFactor);
        const first = await site.wait(site.openDisk("disk", 1));
        await site.wait(first.write(0, old));
        const victim = (await ownerOf(site)).owner;
        const there = await site.wait(site.openDisk("disk", victim));
        await site.wait(there.read(0, BLOCK));

        setCut(site, victim, true);
        await site.clock.tick(4000);
        const heir = await site.wait(site.openDisk("disk", 1 + (victim % 3)));
        // Reads at the cut-off owner all the while: each may show the old bytes only before the write ends.
        const stale: number[] = [];
        let written = false;
        const watch = async (): Promise<void> => {
          const wroteBefore = written;
          const bytes = await there.read(0, BLOCK);
          if (wroteBefore && bytes[0] !== 2) stale.push(site.clock.now());
        };
        const writing = heir.write(0, fresh).then(() => {
          written = true;
        });
        const reads: Promise<void>[] = [];
        for (let i = 0; i < 80; i++) {
          const read = watch();
          read.catch(() => undefined); // awaited at the end, where it fails the test
          reads.push(read);
          await site.clock.tick(50);
        }
        expect([written, (await ownerOf(site)).owner === victim, stale]).toEqual([true, false, []]);

        let acknowledged = false;
        const write = there.write(BLOCK, old).then(() => {
          acknowledged = true;
        });
        await site.clock.tick(2000);
        expect(acknowledged).toBe(false);
        setCut(site, victim, false);
        await site.wait(Promise.all([writing, write, ...reads]));
        expect((await site.wait(there.read(0, BLOCK)))[0]).toBe(2);
        expect(stale).toEqual([]);
      } finally {
        site.end();
      }
    });
});
