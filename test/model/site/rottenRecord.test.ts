/**
 * P1, P7, P9: a record of the oplog that rots, or cannot be read, under an owner that serves. With another copy the vDisk is
 * handed over and goes on; without one nobody is told wrong bytes, and nothing is tried for ever.
 */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import type { NbdClient } from "../../../services/guest/index.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";
import { ownerOf, rotRecord } from "../../support/siteLooks.ts";

const SLOT_BYTES = 4096;
const WRITES = 24;
const ROTTEN = 12;
const expected = Array.from({ length: WRITES }, (_, i) => i + 1);

interface Loaded {
  readonly site: SimulatedSite;
  readonly owner: number;
  readonly client: NbdClient;
}

/** A vDisk with records in its log only, nothing of them in memory. */
async function loaded(replicationFactor: number): Promise<Loaded> {
  const site = await simulatedSite({
    seed: replicationFactor,
    cvms: 3,
    oplog: { recentBytesMax: 0 },
  });
  for (const cvm of site.cvms) site.start(cvm);
  await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
  await site.createVdisk("disk", 4 * MIB, replicationFactor);
  const client = await site.wait(site.openDisk("disk", 1));
  for (let i = 0; i < WRITES; i++)
    await site.wait(client.write(i * SLOT_BYTES, new Uint8Array(SLOT_BYTES).fill(i + 1)));
  return { site, owner: (await ownerOf(site)).owner, client };
}

/** The same with one record rotten at the owner. */
async function rotten(replicationFactor: number): Promise<Loaded> {
  const made = await loaded(replicationFactor);
  rotRecord(made.site, made.owner, { fill: ROTTEN, bytes: SLOT_BYTES });
  return made;
}

async function readAll(site: SimulatedSite, client: NbdClient): Promise<readonly number[]> {
  const found: number[] = [];
  for (let i = 0; i < WRITES; i++)
    found.push((await site.wait(client.read(i * SLOT_BYTES, SLOT_BYTES)))[17] ?? -1);
  return found;
}

describe("a record that rots at an owner that serves", () => {
  for (const replicationFactor of [2, 3])
    for (const who of ["a read", "the drain"] as const)
      it(`and is met by ${who} costs no write: another copy takes over, with RF ${replicationFactor} (P1, P7, P9)`, async () => {
        const { site, owner, client } = await rotten(replicationFactor);
        try {
          if (who === "the drain") await site.clock.tick(10_000);
          expect(await readAll(site, client)).toEqual(expected);
          const damaged = site.log.of("vdisk.copyDamaged").map((line) => line.fields["cvm"]);
          expect([damaged, (await ownerOf(site)).owner === owner]).toEqual([[owner], false]);
          await site.wait(client.write(0, new Uint8Array(SLOT_BYTES).fill(1)));
          await site.clock.tick(20_000);
          expect((await ownerOf(site)).peers.length).toBe(replicationFactor);
          expect(await readAll(site, client)).toEqual(expected);
        } finally {
          site.end();
        }
      });

  it("and has no other copy is told with what is lost, and is not tried for ever (P7)", async () => {
    const { site, owner, client } = await rotten(1);
    try {
      await site.clock.tick(10_000);
      await expect(site.wait(client.read(0, SLOT_BYTES))).rejects.toThrow(/record 12 .*"disk"/);
      const told = site.log
        .of("vdisk.copyDamaged")
        .map(({ fields }) => [fields["cvm"], fields["lostFromLsn"], fields["name"]]);
      expect(told).toEqual([[owner, ROTTEN, "disk"]]);
      const drains = site.log.of("drain.failed").length;
      await site.clock.tick(60_000);
      expect(site.log.of("drain.failed").length - drains).toBe(0);
      expect(site.log.of("vdisk.copyDamaged").length).toBe(1);
    } finally {
      site.end();
    }
  });

  it("in every copy is told with what is lost, and each copy is tried once (P7)", async () => {
    const { site, owner, client } = await rotten(2);
    try {
      const peer = (await ownerOf(site)).peers.find((cvm) => cvm !== owner) ?? 0;
      rotRecord(site, peer, { fill: ROTTEN, bytes: SLOT_BYTES });
      await site.clock.tick(20_000);
      await expect(site.wait(client.read(0, SLOT_BYTES))).rejects.toThrow(/record 12 .*"disk"/);
      await site.clock.tick(60_000);
      const told = site.log.of("vdisk.copyDamaged").map(({ fields }) => fields["cvm"]);
      expect(told).toEqual([owner, peer]);
    } finally {
      site.end();
    }
  });
});

describe("a journal that an owner cannot read", () => {
  const unreadable = { operation: "read", errno: "EIO", pathPart: "oplog/", times: 1e9 } as const;

  it("is left for another copy, which has every write; it is not tried for ever (P1, P9)", async () => {
    const { site, owner, client } = await loaded(2);
    try {
      const heal = site.diskOf(owner).fail(unreadable);
      await site.clock.tick(20_000);
      const told = site.log.of("vdisk.copyDamaged").map(({ fields }) => fields["cvm"]);
      expect([told, (await ownerOf(site)).owner === owner]).toEqual([[owner], false]);
      expect(await readAll(site, client)).toEqual(expected);
      heal();
      await site.clock.tick(20_000);
      expect((await ownerOf(site)).peers.length).toBe(2);
    } finally {
      site.end();
    }
  });

  it("and has no other copy is tried again until it can be read, and nothing is given up (P1)", async () => {
    const { site, owner, client } = await loaded(1);
    try {
      const heal = site.diskOf(owner).fail(unreadable);
      await site.clock.tick(20_000);
      expect(site.log.of("vdisk.copyDamaged")).toEqual([]);
      heal();
      await site.clock.tick(5000);
      expect(await readAll(site, client)).toEqual(expected);
    } finally {
      site.end();
    }
  });

  it("for a moment only costs nothing", async () => {
    const { site, owner, client } = await loaded(2);
    try {
      site.diskOf(owner).fail({ ...unreadable, times: 3 });
      await site.clock.tick(10_000);
      expect(await readAll(site, client)).toEqual(expected);
      expect((await ownerOf(site)).owner).toBe(owner);
      expect(site.log.of("vdisk.copyDamaged")).toEqual([]);
    } finally {
      site.end();
    }
  });
});
