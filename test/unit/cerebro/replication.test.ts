/** Replication jobs: full, incremental, through cuts of the link and the loss of processes. */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService, type Job } from "../../../services/platform/wire/cerebro.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { createWorld, makeProtected, type World } from "./world.ts";

const SIZE = 64 * MIB;
const EXTENTS = SIZE / MIB;

const replicate = { pd: "pd", recoveryPoint: "", remote: "B", requestId: "" };

async function protectedWorld(): Promise<World> {
  const world = await createWorld();
  await makeProtected(world.a, ["v1"], SIZE);
  for (let extent = 0; extent < EXTENTS - 4; extent++)
    await world.a.stargate.write("v1", extent, 1);
  await world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
  return world;
}

async function startJob(world: World): Promise<string> {
  const { job } = await world.a.call(CerebroService.replicate, replicate);
  return job?.id ?? "";
}

/** Every byte of address space is counted once, and each chunk arrived at most once. */
function expectHonest(world: World, job: Job): void {
  const { ledger } = job;
  expect(ledger?.logicalBytes).toBe(job.totalBytes);
  expect(
    (ledger?.zeroBytes ?? 0) +
      (ledger?.unchangedBytes ?? 0) +
      (ledger?.dedupedBytes ?? 0) +
      (ledger?.uniqueBytes ?? 0),
  ).toBe(job.totalBytes);
  expect(world.bugs).toEqual([]);
}

describe("replication", () => {
  it("ships everything the first time and records the point at the target (P3)", async () => {
    const world = await protectedWorld();
    const job = await world.finish(world.a, await startJob(world));
    expect(job).toMatchObject({ state: "DONE", baseRecoveryPointId: "", leaderChanges: 0 });
    expect(job.ledger).toMatchObject({ zeroBytes: 4 * MIB, uniqueBytes: 60 * MIB });
    expect(job.tasksTotal).toBeGreaterThan(2);
    expectHonest(world, job);
    const here = await world.a.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    const there = await world.b.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    expect(there).toEqual(here);
    const { pd } = await world.b.call(CerebroService.showPd, { name: "pd" });
    expect(pd).toMatchObject({ state: "inactive", generation: 1, sourceSite: "A" });
  });

  it("sends only what changed since the newest common point", async () => {
    const world = await protectedWorld();
    await world.finish(world.a, await startJob(world));
    await world.a.stargate.write("v1", 7, 2);
    await world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    const job = await world.finish(world.a, await startJob(world));
    expect(job).toMatchObject({ state: "DONE", baseRecoveryPointName: "rp-1" });
    expect(job.ledger).toMatchObject({ uniqueBytes: MIB, unchangedBytes: 59 * MIB });
    expectHonest(world, job);
  });

  it("uses all CVMs", async () => {
    const world = await protectedWorld();
    await world.finish(world.a, await startJob(world));
    expect([...world.a.stargate.accepted.keys()].toSorted()).toEqual([1, 2, 3]);
  });

  it("waits while the remote site is unreachable, says so, and ends by itself (P8, P9)", async () => {
    const world = await protectedWorld();
    world.cut();
    const id = await startJob(world);
    await world.clock.tick(60_000);
    const { job: waiting } = await world.a.call(CerebroService.showJob, { id });
    expect(waiting).toMatchObject({ state: "PLANNING", waiting: "remote unreachable" });
    world.heal();
    expect((await world.finish(world.a, id)).state).toBe("DONE");
  });

  it("goes on after a cut in the middle without sending again what arrived (P5, P9)", async () => {
    const world = await protectedWorld();
    const id = await startJob(world);
    await world.clock.tickUntil(() => world.b.stargate.held.size > 20, 60_000);
    world.cut();
    await world.clock.tick(30_000);
    const { job: waiting } = await world.a.call(CerebroService.showJob, { id });
    expect(waiting?.waiting).toBe("remote unreachable");
    world.heal();
    const job = await world.finish(world.a, id);
    expect(job.state).toBe("DONE");
    expectHonest(world, job);
    // In flight when the line was cut: one extent a task, two tasks a worker.
    const twice = [...world.b.stargate.arrivals.values()].filter((count) => count > 1);
    expect(twice.length).toBeLessThanOrEqual(6);
  });

  it("lets another worker finish the tasks of a dead one (P5)", async () => {
    const world = await protectedWorld();
    world.a.stargate.extentMs = 200;
    const id = await startJob(world);
    await world.clock.tick(2900);
    world.a.nodes.get(2)?.kill();
    world.network.tear("cerebro-A-2", "stargate-A-2");
    const job = await world.finish(world.a, id);
    expect(job).toMatchObject({ state: "DONE", leaderChanges: 0 });
    expectHonest(world, job);
    // What the dead worker sent counts as sent, but for the last second: two tasks, 5 extents each.
    expect(job.ledger?.uniqueBytes).toBeGreaterThanOrEqual(50 * MIB);
    expect([...world.b.stargate.arrivals.values()].filter((count) => count > 1)).toEqual([]);
  });

  it("is finished by a new leader, which counts itself (P5)", async () => {
    const world = await protectedWorld();
    world.a.stargate.extentMs = 50;
    const id = await startJob(world);
    await world.clock.tickUntil(() => world.b.stargate.held.size > 10, 60_000);
    (await world.a.leader()).kill();
    const job = await world.finish(world.a, id);
    expect(job).toMatchObject({ state: "DONE", leaderChanges: 1 });
    expectHonest(world, job);
  });

  it("cancels a job at once and gives its recovery point free", async () => {
    const world = await protectedWorld();
    world.a.stargate.extentMs = 500;
    const id = await startJob(world);
    await world.clock.tick(1000);
    const order = { pd: "pd", recoveryPoint: "rp-1" };
    expect(await codeOfFailure(world.a.call(CerebroService.deleteRecoveryPoint, order))).toBe(
      "RECOVERY_POINT_HELD",
    );
    const { job } = await world.a.call(CerebroService.cancelJob, { id });
    expect(job?.state).toBe("CANCELLED");
    await world.clock.tick(5000);
    const before = world.b.stargate.held.size;
    await world.clock.tick(60_000);
    expect(world.b.stargate.held.size).toBe(before);
    await world.a.call(CerebroService.deleteRecoveryPoint, order);
    const { entries } = await world.a.look.list("antipode/cerebro/hold/");
    expect(entries).toEqual([]);
  });

  it("starts one job for a recovery point and a remote site, however often it is asked", async () => {
    const world = await protectedWorld();
    world.cut();
    const [first, second] = [await startJob(world), await startJob(world)];
    expect(second).toBe(first);
    const { jobs } = await world.a.call(CerebroService.listJobs, {});
    expect(jobs).toHaveLength(1);
  });

  it("plans again from nothing when the target has lost what the base promised", async () => {
    const world = await protectedWorld();
    await world.finish(world.a, await startJob(world));
    await world.a.stargate.write("v1", 7, 2);
    await world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    world.a.stargate.extentMs = 50;
    const id = await startJob(world);
    const { recoveryPoints } = await world.a.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    const root = recoveryPoints[1]?.disks[0]?.root ?? "";
    world.b.stargate.forgetOnce.add(root);
    const job = await world.finish(world.a, id);
    expect(job).toMatchObject({ state: "DONE", baseRecoveryPointId: "" });
    expectHonest(world, job);
  });

  it("plans again from nothing when the target misses what lies below a changed node (P9)", async () => {
    const world = await protectedWorld();
    await world.finish(world.a, await startJob(world));
    await world.a.stargate.write("v1", 0, 2);
    await world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    world.a.stargate.targetLacksBase = true;
    const job = await world.finish(world.a, await startJob(world));
    expect(job).toMatchObject({ state: "DONE", baseRecoveryPointId: "" });
    expectHonest(world, job);
  });

  it("streams progress to whoever watches, to the end", async () => {
    const world = await protectedWorld();
    world.a.stargate.extentMs = 50;
    const id = await startJob(world);
    const stream = world.network
      .host("user")
      .rpc.connect({ host: "cerebro-A-2", port: 2020 })
      .stream(CerebroService.watchJob);
    const seen: Job[] = [];
    const watching = (async () => {
      await stream.send({ id });
      stream.end();
      for await (const { job } of stream.incoming) if (job !== undefined) seen.push(job);
    })();
    await world.run(watching);
    expect(seen.at(-1)?.state).toBe("DONE");
    expect(seen.length).toBeGreaterThan(3);
    const walked = seen.map((job) => job.ledger?.logicalBytes ?? 0);
    expect(walked).toEqual(walked.toSorted((x, y) => x - y));
    expect(seen.some((job) => job.bytesPerSecond > 0 && job.state === "RUNNING")).toBe(true);
  });
});
