/**
 * P6: every CVM that has a copy of a deleted vDisk's oplog forgets it in time, also one that was away; and
 * no CVM forgets anything of a vDisk that lives.
 */

import { describe, expect, it } from "vitest";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";

const BLOCK = 4096;

async function deleteVdisk(site: SimulatedSite, name: string, cvm: number): Promise<void> {
  const client = site.network
    .host("10.0.0.200")
    .rpc.connect({ host: site.hostOf(cvm), port: 2009 });
  await site.wait(client.unary(VdiskService.deleteVdisk, { name }, { deadlineMs: 10_000 }));
}

/** Copies that each CVM finds in its files when it is started again. */
async function copiesAfterRestart(site: SimulatedSite): Promise<readonly number[]> {
  const before = site.log.of("oplog.recovered").length;
  for (const cvm of site.cvms) site.kill(cvm);
  for (const cvm of site.cvms) site.start(cvm);
  await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
  return site.log
    .of("oplog.recovered")
    .slice(before)
    .map(({ fields }) => Number(fields["replicas"]));
}

describe("the oplog of a vDisk that lives", () => {
  it("is not forgotten, whatever is noted (P1)", async () => {
    const site = await simulatedSite({ seed: 12, cvms: 3 });
    try {
      for (const cvm of site.cvms) site.start(cvm);
      await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
      await site.createVdisk("disk", 4 * MIB, 3);
      const client = await site.wait(site.openDisk("disk", 1));
      await site.wait(client.write(0, new Uint8Array(BLOCK).fill(7)));
      const etcd = site.etcd.connect();
      const { entries } = await site.wait(etcd.list(siteKeys.vdisks));
      const id = entries[0]?.key.slice(siteKeys.vdisks.length) ?? "";
      const then = site.cvms.map((cvm) => ({
        kind: "put" as const,
        key: siteKeys.deletedVdisk(cvm, id),
        value: new Uint8Array(1),
      }));
      await site.wait(etcd.transact({ when: [], then }));
      await site.clock.tick(60_000);
      expect(site.log.of("oplog.forgotten").length).toBe(0);
      expect(site.log.of("oplog.noteWrong").length).toBeGreaterThan(0);
      expect(await copiesAfterRestart(site)).toEqual([1, 1, 1]);
    } finally {
      site.end();
    }
  });
});

describe("the oplog of a deleted vDisk", () => {
  it("is forgotten at every CVM, at one that was away when it is back, and no other one (P6)", async () => {
    const site = await simulatedSite({ seed: 11, cvms: 3 });
    try {
      for (const cvm of site.cvms) site.start(cvm);
      await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
      for (const name of ["stays", "goes"]) {
        await site.createVdisk(name, 4 * MIB, 3);
        const client = await site.wait(site.openDisk(name, 1));
        await site.wait(client.write(0, new Uint8Array(BLOCK).fill(7)));
        await site.wait(client.close());
      }
      // One is down and one is blind when it is deleted.
      site.kill(2);
      site.cutEtcd(3, true);
      await deleteVdisk(site, "goes", 1);
      await site.clock.tick(60_000);
      site.start(2);
      site.cutEtcd(3, false);
      await site.clock.tick(60_000);

      const forgotten = site.log.of("oplog.forgotten").map(({ fields }) => fields["cvm"]);
      expect(forgotten.toSorted()).toEqual([1, 2, 3]);
      expect(await copiesAfterRestart(site)).toEqual([1, 1, 1]);
      const { entries } = await site.wait(site.etcd.connect().list("antipode/deleted-vdisk/"));
      expect(entries.map((entry) => entry.key)).toEqual([]);
      const client = await site.wait(site.openDisk("stays", 2));
      expect((await site.wait(client.read(0, BLOCK)))[0]).toBe(7);
    } finally {
      site.end();
    }
  });
});
