/**
 * P1, P7, P9: a copy of the oplog that rotted or vanished never becomes the truth, whoever had it, and
 * the site makes it anew by itself.
 */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";
import { ownerOf } from "../../support/siteLooks.ts";

const SLOT_BYTES = 4096;
const WRITES = 24;
const OPLOG = "oplog/";
const expected = Array.from({ length: WRITES }, (_, i) => i + 1);

/** Flips a byte inside the data of one record that is not drained. */
function rot(site: SimulatedSite, cvm: number, fill: number): void {
  const disk = site.diskOf(cvm);
  for (const path of disk.paths().filter((one) => one.startsWith(OPLOG))) {
    const bytes = disk.content(path) ?? new Uint8Array(0);
    for (let at = 0; at + SLOT_BYTES <= bytes.length; at += 8)
      if (bytes.subarray(at, at + SLOT_BYTES).every((byte) => byte === fill)) {
        disk.corrupt(path, at + 100);
        return;
      }
  }
  throw new Error("the record is not in the journal");
}

async function wipe(site: SimulatedSite, cvm: number): Promise<void> {
  const disk = site.diskOf(cvm);
  for (const path of disk.paths().filter((one) => one.startsWith(OPLOG))) await disk.remove(path);
}

async function loseCopy(
  seed: number,
  replicationFactor: number,
  who: "owner" | "peer",
  how: "rots" | "is wiped",
): Promise<{ readonly read: readonly number[]; readonly peers: number }> {
  const site = await simulatedSite({ seed, cvms: 3 });
  try {
    for (const cvm of site.cvms) site.start(cvm);
    await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
    await site.createVdisk("disk", 4 * MIB, replicationFactor);
    const client = await site.wait(site.openDisk("disk", 1));
    for (let i = 0; i < WRITES; i++)
      await site.wait(client.write(i * SLOT_BYTES, new Uint8Array(SLOT_BYTES).fill(i + 1)));
    const { owner, peers } = await ownerOf(site);
    const victim = who === "owner" ? owner : (peers.find((cvm) => cvm !== owner) ?? 0);
    site.kill(victim);
    if (how === "rots") rot(site, victim, WRITES / 2);
    else await wipe(site, victim);
    site.start(victim);
    await site.clock.tickUntil(() => site.isRunning(victim), 30_000);
    await site.clock.tick(15_000);
    const reader = await site.wait(site.openDisk("disk", victim));
    const read: number[] = [];
    for (let i = 0; i < WRITES; i++)
      read.push((await site.wait(reader.read(i * SLOT_BYTES, SLOT_BYTES)))[17] ?? -1);
    await site.wait(reader.write(0, new Uint8Array(SLOT_BYTES).fill(99)));
    await site.clock.tick(5000);
    return { read, peers: (await ownerOf(site)).peers.length };
  } finally {
    site.end();
  }
}

/** A peer loses its copy while nobody reads or writes; later the owner is lost too. */
async function loseIdleCopy(
  how: "rots" | "is wiped",
): Promise<{ readonly read: readonly number[]; readonly removed: readonly unknown[] }> {
  const site = await simulatedSite({ seed: 7, cvms: 3 });
  try {
    for (const cvm of site.cvms) site.start(cvm);
    await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
    await site.createVdisk("disk", 4 * MIB, 2);
    const client = await site.wait(site.openDisk("disk", 1));
    for (let i = 0; i < WRITES; i++)
      await site.wait(client.write(i * SLOT_BYTES, new Uint8Array(SLOT_BYTES).fill(i + 1)));
    const { owner, peers } = await ownerOf(site);
    const victim = peers.find((cvm) => cvm !== owner) ?? 0;
    site.kill(victim);
    if (how === "rots") rot(site, victim, WRITES / 2);
    else await wipe(site, victim);
    site.start(victim);
    await site.clock.tick(10_000);
    const removed = site.log.of("oplog.peerRemoved").map(({ fields }) => fields["peer"] === victim);
    site.kill(owner);
    await site.clock.tick(10_000);
    const reader = await site.wait(site.openDisk("disk", victim));
    const read: number[] = [];
    for (let i = 0; i < WRITES; i++)
      read.push((await site.wait(reader.read(i * SLOT_BYTES, SLOT_BYTES)))[17] ?? -1);
    return { read, removed };
  } finally {
    site.end();
  }
}

describe("a copy of the oplog", () => {
  for (const how of ["rots", "is wiped"] as const)
    it(`that ${how} at the peer of an idle owner is made anew before it is needed (P1, P9)`, async () => {
      const { read, removed } = await loseIdleCopy(how);
      expect(removed).toEqual([true]);
      expect(read).toEqual(expected);
    });

  for (const replicationFactor of [2, 3])
    for (const who of ["owner", "peer"] as const)
      for (const how of ["rots", "is wiped"] as const)
        it(`that ${how} at the ${who} costs no write, with RF ${replicationFactor} (P1, P7, P9)`, async () => {
          const { read, peers } = await loseCopy(replicationFactor, replicationFactor, who, how);
          expect(read).toEqual(expected);
          expect(peers).toBe(replicationFactor);
        });
});
