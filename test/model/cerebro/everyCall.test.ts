/**
 * P3, P5, P9, I15: whichever single call of a whole replication between two sites fails, before it has its
 * effect or after it with its answer lost, the job ends DONE, the target has the recovery point byte for
 * byte, and nothing hangs. Sites of production Cerebros and Stargates in virtual time.
 */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { isEnded } from "../../../services/base/jobStates.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { KIB, MIB } from "../../../services/base/units.ts";
import type { Method } from "../../../services/base/wire.ts";
import { CerebroService, type Job } from "../../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { CONTAINER, createWorld, memberOf, type World } from "../../sim/world/world.ts";
import { type CallMeter, countCalls } from "../../support/fakeNthCall.ts";
import { failEveryCall, meterCallsOfHosts, meterCallsToEtcd } from "../everyCall.ts";

const SEED = Number(process.env["ANTIPODE_SEED"] ?? 1);
/** More than there are, so that all are run: a run takes a tenth of a second. */
const RUNS_MAX = 300;
/** Places that calls come from; fewer would mean that the scenario reaches little of what it is for. */
const PLACES_MIN = 18;
const FULL_MS_MAX = 3_600_000;
const PD = "pd";
const DISK_BYTES = 8 * MIB;
const WRITE_BYTES = 256 * KIB;
/** So far apart that the block map has several subtrees to ship. */
const OFFSETS = [0, 3 * MIB, 7 * MIB];
const RETRY_MS = 100;
const CALL_MS = 10_000;
const REPLICATION_MS_MAX = 120_000;

const DISK = { name: "disk", container: CONTAINER, sizeBytes: DISK_BYTES, root: "", source: "" };
const bytesAt = (offset: number): Uint8Array =>
  createPrng(SEED * 1000 + offset).fill(new Uint8Array(WRITE_BYTES));

/** Asks again with the same request until it is answered, as `antipode` does. */
async function insist<Q, A>(
  world: World,
  site: string,
  method: Method<Q, A, "unary">,
  request: Q,
): Promise<A> {
  for (;;) {
    try {
      const { cerebro } = memberOf(world.site(site), 0);
      return await world.call(cerebro, method, request, CALL_MS);
    } catch (error) {
      if (!(error instanceof AntipodeError) || error.retry === "never") throw error;
      await world.clock.sleep(RETRY_MS);
    }
  }
}

/** Two sites of one CVM that know each other, and a recovery point at A. */
async function prepare(world: World): Promise<string> {
  await world.begin();
  const { stargate } = memberOf(world.site("A"), 0);
  await world.wait(world.call(stargate, VdiskService.createVdisk, DISK));
  const client = await world.wait(world.openDisk("A", 1, DISK.name));
  for (const offset of OFFSETS) await world.wait(client.write(offset, bytesAt(offset)));
  await world.wait(client.close());
  await world.wait(insist(world, "A", CerebroService.createPd, { name: PD, requestId: "create" }));
  const members = { pd: PD, group: "", vdisks: [DISK.name] };
  await world.wait(insist(world, "A", CerebroService.protect, members));
  const order = { pd: PD, name: "", requestId: "cut" };
  const { recoveryPoint } = await world.wait(insist(world, "A", CerebroService.snapshot, order));
  return recoveryPoint?.id ?? "";
}

async function replicate(world: World, pointId: string): Promise<Job | undefined> {
  const order = { pd: PD, recoveryPoint: pointId, remote: "B", requestId: "replicate" };
  const { job } = await insist(world, "A", CerebroService.replicate, order);
  for (;;) {
    const { jobs } = await insist(world, "A", CerebroService.listJobs, {});
    const now = jobs.find(({ id }) => id === job?.id);
    if (now === undefined || isEnded(now.state)) return now;
    await world.clock.sleep(RETRY_MS);
  }
}

/** What of the recovery point is not at the target. */
async function missingAt(world: World, site: string, pointId: string): Promise<readonly string[]> {
  const client = await world.openDisk(site, 1, `${DISK.name}@${pointId}`);
  const problems: string[] = [];
  for (const offset of OFFSETS) {
    const found = await client.read(offset, WRITE_BYTES);
    const expected = bytesAt(offset);
    if (!found.every((byte, i) => byte === expected[i]))
      problems.push(`${site} has other bytes at ${offset}`);
  }
  await client.close();
  return problems;
}

/** Calls pass through the meter while the replication goes on. */
async function runReplication(meter: CallMeter): Promise<readonly string[]> {
  const site = (name: string) => ({
    ...{ name, cvms: 1, diskBytes: 64 * MIB, oplog: {} },
    skew: () => ({ offsetMs: 0, rate: 1, wallOffsetMs: () => 0 }),
  });
  const plan = { seed: SEED, sites: [site("A"), site("B")], linkDelayMs: 5, replicationFactor: 1 };
  const world = await createWorld(plan);
  const armed: { meter: CallMeter } = { meter: countCalls() };
  const switched: CallMeter = {
    counts: meter.counts,
    total: 0,
    hit: undefined,
    pass: (place, error, act) => armed.meter.pass(place, error, act),
  };
  meterCallsOfHosts(world.network, (host) =>
    /^(cerebro|stargate)-/.test(host) ? switched : undefined,
  );
  for (const { etcd } of world.sites) meterCallsToEtcd(etcd, switched);
  try {
    const pointId = await prepare(world);
    armed.meter = meter;
    const job = await world.wait(replicate(world, pointId), REPLICATION_MS_MAX);
    armed.meter = countCalls();
    if (job?.state !== "DONE")
      return [`the job is ${job?.state ?? "gone"} ${job?.errorCode ?? ""}`];
    const bugs = world.failures.map(({ process, error }) => `${process} ended: ${String(error)}`);
    return [...bugs, ...(await world.wait(missingAt(world, "B", pointId)))];
  } finally {
    world.end();
  }
}

describe("a replication", { timeout: FULL_MS_MAX }, () => {
  it(`ends DONE with every byte at the target, whichever call fails, seed ${SEED} (P3, P5, P9)`, async () => {
    const { calls, runs, problems } = await failEveryCall(runReplication, RUNS_MAX);
    expect(new Set(calls).size).toBeGreaterThanOrEqual(PLACES_MIN);
    expect(runs).toBe(calls.length * 2);
    expect(problems).toEqual([]);
  });
});
