/**
 * A client that has left its front-end may have repeated its write elsewhere and written over it since: what
 * waited there and had not begun must never take effect (P1).
 */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { connectNbd } from "../../../services/guest/index.ts";
import { simulatedSite } from "../../support/simulatedSite.ts";
import { ownerOf } from "../../support/siteLooks.ts";

const CLIENT = "10.9.9.9";
const NBD_PORT = 10_809;
const BLOCK_BYTES = 4096;

describe("a write whose client has left", () => {
  it("is not begun when the takeover that it waited for ends (P1)", async () => {
    const site = await simulatedSite({ seed: 1, cvms: 3 });
    try {
      for (const cvm of site.cvms) site.start(cvm);
      await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
      await site.createVdisk("disk", 4 * MIB, 2);
      const { owner, peers } = await ownerOf(site);
      const heir = peers.find((cvm) => cvm !== owner) ?? 0;
      const { net } = site.network.host(CLIENT);
      const client = await site.wait(
        connectNbd(
          { net, clock: site.clock },
          { address: { host: site.hostOf(heir), port: NBD_PORT }, exportName: "disk" },
        ),
      );
      site.kill(owner);
      while ((await ownerOf(site)).owner === owner) await site.clock.tick(50);
      // The seat is won; the dead peer is given a moment before it is struck off.
      const write = client.write(0, new Uint8Array(BLOCK_BYTES).fill(1));
      const outcome = write.then(
        () => "done",
        () => "lost",
      );
      await site.clock.tick(100);
      site.network.kill(CLIENT);
      expect(await outcome).toBe("lost");

      await site.clock.tick(5000);
      const another = await site.wait(site.openDisk("disk", heir));
      expect((await site.wait(another.read(0, BLOCK_BYTES)))[0]).toBe(0);
      await site.wait(another.write(0, new Uint8Array(BLOCK_BYTES).fill(2)));
      expect((await site.wait(another.read(0, BLOCK_BYTES)))[0]).toBe(2);
    } finally {
      site.end();
    }
  });
});
