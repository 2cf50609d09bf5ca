/**
 * P1: rot in the last batch of an oplog that was not closed looks like a torn end, so that copy is shorter
 * than what was acknowledged and does not know it. The other copies do, whoever it was.
 */

import { describe, expect, it } from "vitest";
import type { OwnerRecord } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import { simulatedSite } from "../../support/simulatedSite.ts";
import { ownerOf, rotRecord } from "../../support/siteLooks.ts";

const SLOT_BYTES = 4096;
const WRITES = 24;
const expected = Array.from({ length: WRITES }, (_, i) => i + 1);

/** What is read after these CVMs were killed, the last batch of each has rotted, and all are back. */
async function rotEnds(
  replicationFactor: number,
  choose: (record: OwnerRecord) => readonly number[],
): Promise<{ readonly read: readonly number[]; readonly peers: number; readonly lost: number }> {
  const site = await simulatedSite({ seed: replicationFactor, cvms: 3 });
  try {
    for (const cvm of site.cvms) site.start(cvm);
    await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
    await site.createVdisk("disk", 4 * MIB, replicationFactor);
    const client = await site.wait(site.openDisk("disk", 1));
    for (let i = 0; i < WRITES; i++)
      await site.wait(client.write(i * SLOT_BYTES, new Uint8Array(SLOT_BYTES).fill(i + 1)));
    const victims = choose(await ownerOf(site));
    for (const victim of victims) {
      site.kill(victim);
      rotRecord(site, victim, { fill: WRITES, bytes: SLOT_BYTES });
      site.start(victim);
    }
    await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
    await site.clock.tick(15_000);
    const reader = await site.wait(site.openDisk("disk", 1));
    const read: number[] = [];
    for (let i = 0; i < WRITES; i++)
      read.push((await site.wait(reader.read(i * SLOT_BYTES, SLOT_BYTES)))[17] ?? -1);
    const { peers } = await ownerOf(site);
    return { read, peers: peers.length, lost: site.log.of("oplog.damaged").length };
  } finally {
    site.end();
  }
}

describe("rot in the last batch of an oplog that was not closed", () => {
  const ownerOnly = ({ owner }: OwnerRecord): readonly number[] => [owner];
  const onePeer = ({ owner, peers }: OwnerRecord): readonly number[] =>
    peers.filter((cvm) => cvm !== owner).slice(0, 1);
  const allButOne = ({ peers }: OwnerRecord): readonly number[] => peers.slice(0, -1);
  for (const replicationFactor of [2, 3])
    for (const [who, choose] of [
      ["its owner", ownerOnly],
      ["a peer", onePeer],
      ["all copies but one", allButOne],
    ] as const)
      it(`at ${who} costs no write, with RF ${replicationFactor} (P1)`, async () => {
        const { read, peers, lost } = await rotEnds(replicationFactor, choose);
        // The rot is where recovery cannot tell it from a torn end: else this tests something else.
        expect(lost).toBe(0);
        expect(read).toEqual(expected);
        expect(peers).toBe(replicationFactor);
      });
});
