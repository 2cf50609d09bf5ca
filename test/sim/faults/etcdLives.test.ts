/**
 * A site's etcd that loses its data, is led in that state, and is put back as it was (F15): both count epochs
 * from where they are, so Stargates are told by which of the two a leader counts.
 */

import { expect, it } from "vitest";
import { fromUtf8 } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import { LEADER_ROLE, siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Method } from "../../../services/base/wire.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { CONTAINER, createWorld, memberOf, type World } from "../world/world.ts";

const CVMS = 3;
/** Elections in the etcd that lost its data: its epochs pass those of the one that comes back. */
const TERMS = 4;
const SETTLE_MS = 5000;
const ATTEMPTS_MAX = 40;
const RETRY_MS = 500;
const SKEW = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };

interface Counted {
  readonly epoch: number;
  readonly incarnation: string;
}

async function createScene(): Promise<World> {
  const sites = ["A", "B"].map((name) => ({
    ...{ name, cvms: CVMS, diskBytes: 256 * MIB, oplog: {}, skew: () => SKEW },
  }));
  const world = await createWorld({ seed: 1, sites, linkDelayMs: 5, replicationFactor: 2 });
  await world.begin();
  return world;
}

/** Asks one CVM of A after the other until one does it. */
async function insist<Q, A>(
  world: World,
  service: "cerebro" | "stargate",
  method: Method<Q, A, "unary">,
  request: Q,
): Promise<A> {
  for (let attempt = 0; ; attempt++)
    try {
      const member = memberOf(world.site("A"), attempt);
      return await world.wait(world.call(member[service], method, request));
    } catch (error) {
      if (!(error instanceof AntipodeError) || attempt >= ATTEMPTS_MAX) throw error;
      if (error.code === "STALE_EPOCH") throw error;
      await world.clock.tick(RETRY_MS);
    }
}

/** A vDisk in a protection domain of its own. @returns its id */
async function protect(world: World, name: string): Promise<string> {
  const disk = { name, container: CONTAINER, sizeBytes: MIB, root: "", source: "" };
  const { id } = await insist(world, "stargate", VdiskService.createVdisk, disk);
  await insist(world, "cerebro", CerebroService.createPd, { name, requestId: `create ${name}` });
  await insist(world, "cerebro", CerebroService.protect, { pd: name, group: "", vdisks: [name] });
  return id;
}

async function snapshot(world: World, pd: string, requestId: string): Promise<string> {
  const request = { pd, name: "", requestId };
  const { recoveryPoint } = await insist(world, "cerebro", CerebroService.snapshot, request);
  return recoveryPoint?.name ?? "";
}

async function counted(world: World): Promise<Counted> {
  const key = siteKeys.leaderEpoch(LEADER_ROLE);
  const entry = await world.site("A").etcd.connect().get(key);
  return JSON.parse(fromUtf8(entry?.value ?? new Uint8Array())) as Counted;
}

async function elect(world: World): Promise<void> {
  const { cvms } = world.site("A");
  for (const { cerebro } of cvms) cerebro.kill();
  await world.clock.tick(SETTLE_MS);
  for (const { cerebro } of cvms) cerebro.start();
  await world.clock.tick(SETTLE_MS);
}

it("an etcd that was led without its data and is put back is led on at once, and nobody obeys who led meanwhile (P4, P9)", async () => {
  const world = await createScene();
  const { etcd } = world.site("A");
  const vdiskId = await protect(world, "disk");
  expect(await snapshot(world, "disk", "first")).toBe("rp-1");
  const before = await counted(world);
  const backup = etcd.backup();

  etcd.wipe();
  await world.clock.tick(SETTLE_MS);
  for (let term = 1; term < TERMS; term++) await elect(world);
  const container = { name: CONTAINER, replicationFactor: 2, compression: true };
  await insist(world, "stargate", VdiskService.createContainer, container);
  await protect(world, "other");
  await snapshot(world, "other", "meanwhile");
  const meanwhile = await counted(world);
  expect(meanwhile.epoch).toBeGreaterThan(before.epoch + 1);
  expect(meanwhile.incarnation).not.toBe(before.incarnation);

  etcd.restore(backup);
  await world.clock.tick(SETTLE_MS);
  expect(await snapshot(world, "disk", "second")).toMatch(/^rp-\d+$/);
  const after = await counted(world);
  expect(after.incarnation).toBe(before.incarnation);
  expect(after.epoch).toBeLessThan(meanwhile.epoch);

  const { epoch: leaderEpoch, incarnation: leaderIncarnation } = meanwhile;
  const order = { vdiskId, cutId: "0".repeat(32), leaderEpoch, leaderIncarnation };
  for (const { stargate } of world.site("A").members)
    await expect(world.wait(world.call(stargate, VdiskService.hold, order))).rejects.toMatchObject({
      code: "STALE_EPOCH",
    });
  world.end();
});
