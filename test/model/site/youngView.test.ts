/**
 * A CVM that was started a moment ago, or whose view is late, says nothing wrong about vDisks that it
 * has not read of yet: whoever sends it requests waits, and is served (P9).
 */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";
import { ownerOf } from "../../support/siteLooks.ts";

const block = new Uint8Array(4096).fill(1);

async function siteWithDisk(): Promise<SimulatedSite> {
  const site = await simulatedSite({ seed: 1, cvms: 3 });
  for (const cvm of site.cvms) site.start(cvm);
  await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
  await site.createVdisk("disk", 4 * MIB, 2);
  return site;
}

describe("a Stargate whose view is not there yet", () => {
  it("lets forwarded requests wait when it was restarted and has not read etcd (P9)", async () => {
    const site = await siteWithDisk();
    try {
      const owner = (await ownerOf(site)).owner;
      const client = await site.wait(site.openDisk("disk", 1 + (owner % 3)));
      await site.wait(client.write(0, block));
      site.kill(owner);
      site.start(owner);
      site.cutEtcd(owner, true);
      // The owner's liveness key lives on for its lease, so requests still go there.
      const write = client.write(4096, block);
      await site.clock.tick(1500);
      site.cutEtcd(owner, false);
      await site.wait(write);
      expect((await site.wait(client.read(4096, 4096)))[0]).toBe(1);
    } finally {
      site.end();
    }
  });

  it("serves a vDisk that was created a moment ago elsewhere although its watch is blind (P9)", async () => {
    const site = await siteWithDisk();
    try {
      for (const cvm of site.cvms) site.blindWatches(cvm, true);
      await site.createVdisk("young", 4 * MIB, 3);
      for (const cvm of site.cvms) {
        const client = await site.wait(site.openDisk("young", cvm));
        await site.wait(client.write(4096 * cvm, block));
        expect((await site.wait(client.read(4096 * cvm, 4096)))[0]).toBe(1);
      }
    } finally {
      site.end();
    }
  });
});
