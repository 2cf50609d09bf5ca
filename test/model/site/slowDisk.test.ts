/**
 * P1, P4: an oplog whose disk falls behind slows its writers down; it costs neither the owner its vDisk
 * nor a peer its place.
 */

import { describe, expect, it } from "vitest";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { KIB, MIB } from "../../../services/base/units.ts";
import type { NbdClient } from "../../../services/guest/index.ts";
import { decodeOwner } from "../../../services/stargate/vdisk/records.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";

const BLOCK = 16 * KIB;
const WRITES = 24;
const DISKS = ["one", "two", "three"];
/** So little that a handful of writes fills it. */
const PENDING_BYTES_MAX = 40 * KIB;
const SYNC_MS = 150;

async function owners(site: SimulatedSite): Promise<readonly string[]> {
  const { entries } = await site.wait(site.etcd.connect().list(siteKeys.owners));
  return entries.map((entry) => JSON.stringify(decodeOwner(entry.value)));
}

/** Every sync of this CVM's oplog takes its time from now on. */
function slowDown(site: SimulatedSite, cvm: number): void {
  site.diskOf(cvm).onOperation(async (operation, path) => {
    if (operation === "sync" && path.startsWith("oplog/")) await site.clock.sleep(SYNC_MS);
  });
}

describe("an oplog whose disk falls behind", () => {
  for (const slow of [1, 2, 3])
    it(`at CVM ${slow} changes neither owners nor peers, and every write ends (P1, P4)`, async () => {
      const site = await simulatedSite({
        seed: slow,
        cvms: 3,
        oplog: { pendingBytesMax: PENDING_BYTES_MAX },
      });
      try {
        for (const cvm of site.cvms) site.start(cvm);
        await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
        const clients: NbdClient[] = [];
        for (const name of DISKS) {
          await site.createVdisk(name, 4 * MIB, 3);
          const client = await site.wait(site.openDisk(name, 1));
          await site.wait(client.write(0, new Uint8Array(BLOCK)));
          clients.push(client);
        }
        const before = await owners(site);
        slowDown(site, slow);

        const writes: Promise<void>[] = [];
        for (let i = 0; i < WRITES; i++) {
          for (const client of clients) {
            const write = client.write(i * BLOCK, new Uint8Array(BLOCK).fill(i + 1));
            write.catch(() => undefined); // awaited below, where it fails the test
            writes.push(write);
          }
          await site.clock.tick(1);
        }
        await site.wait(Promise.all(writes));

        expect(await owners(site)).toEqual(before);
        for (const client of clients)
          for (let i = 0; i < WRITES; i++)
            expect((await site.wait(client.read(i * BLOCK, BLOCK)))[17]).toBe(i + 1);
      } finally {
        site.end();
      }
    });
});
