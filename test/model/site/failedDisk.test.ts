/** A disk that fails to sync ends its CVM's process, so that others take over (P1, P9). */

import { expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { simulatedSite } from "../../support/simulatedSite.ts";

const BLOCK = 4096;
const block = (text: string): Uint8Array => new Uint8Array(BLOCK).fill(text.charCodeAt(0));

for (const replicationFactor of [2, 3])
  it(`serves on after the owner's oplog failed a sync, and has every acknowledged write, with RF ${replicationFactor}`, async () => {
    const site = await simulatedSite({ seed: 1, cvms: 3 });
    try {
      for (const cvm of site.cvms) site.start(cvm);
      await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
      await site.createVdisk("disk", 4 * MIB, replicationFactor);
      const first = await site.wait(site.openDisk("disk", 1));
      for (const [index, text] of ["a", "b", "c"].entries())
        await site.wait(first.write(index * BLOCK, block(text)));

      const owner = Number(site.log.of("vdisk.owned").at(-1)?.fields["cvm"]);
      const disk = await site.wait(site.openDisk("disk", 1 + (owner % 3)));
      site.diskOf(owner).fail({ operation: "sync", errno: "EIO", times: 1 });
      await site.wait(disk.write(3 * BLOCK, block("d")), 30_000);

      expect(site.log.of("vdisk.owned").length).toBeGreaterThan(1);
      const found = await site.wait(disk.read(0, 4 * BLOCK));
      for (const [index, text] of ["a", "b", "c", "d"].entries())
        expect(found.slice(index * BLOCK, (index + 1) * BLOCK)).toEqual(block(text));
    } finally {
      site.end();
    }
  });
