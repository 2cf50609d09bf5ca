/**
 * The leader is struck at every one of its steps: killed before the step, killed between the step and
 * its answer, or frozen before the step until another leads, and then it goes on with what it had in
 * mind. Whatever was asked is done once, and nothing is left behind (P3, P4, P5, P9).
 * A step is a call to etcd or to another process.
 */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import type { StepMoment } from "../../unit/cerebro/lifeline.ts";
import { prefixLength } from "../../unit/cerebro/simStargate.ts";
import {
  createWorld,
  makeProtected,
  type World,
  type WorldSite,
} from "../../unit/cerebro/world.ts";

const SIZE = 48 * MIB;
const moments: readonly StepMoment[] = ["before", "after", "frozen"];
/** More steps than any of the acts takes: the loop ends when the leader survives. */
const STEPS_MAX = 400;

async function prepared(): Promise<World> {
  const world = await createWorld();
  await makeProtected(world.a, ["v1", "v2"], SIZE);
  for (let extent = 0; extent < 40; extent++) await world.a.stargate.write("v1", extent, 1);
  return world;
}

const snapshot = (world: World) =>
  world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "cut" });

async function replicate(world: World) {
  const { job } = await world.a.call(CerebroService.replicate, {
    pd: "pd",
    recoveryPoint: "",
    remote: "B",
    requestId: "job",
  });
  return await world.finish(world.a, job?.id ?? "");
}

function teachContents(world: World): void {
  for (const root of world.b.stargate.held)
    world.b.stargate.learn(root, world.a.stargate.contentOf(root));
}

/** Repeats an act in fresh worlds, killing the leader at step 1, 2, 3, …, until it survives. */
async function atEveryStep(
  moment: StepMoment,
  prepare: () => Promise<{ world: World; site: WorldSite }>,
  act: (world: World) => Promise<void>,
): Promise<number> {
  for (let step = 1; step <= STEPS_MAX; step++) {
    const { world, site } = await prepare();
    const leader = await site.leader();
    leader.strikeAt(step, moment);
    try {
      await act(world);
    } catch (error) {
      throw new Error(`leader struck (${moment}) at its step ${step}`, { cause: error });
    }
    expect(world.bugs, `${moment} step ${step}`).toEqual([]);
    if (!leader.isStruck()) return step;
  }
  throw new Error("the act has more steps than expected");
}

async function keysOf(site: WorldSite, prefix: string): Promise<readonly string[]> {
  return (await site.look.list(prefix)).entries.map((entry) => entry.key);
}

describe.each(moments)("a leader struck (%s) at any step", (moment) => {
  it("of a cut: one recovery point, a prefix of what was acknowledged", async () => {
    const steps = await atEveryStep(
      moment,
      async () => {
        const world = await prepared();
        return { world, site: world.a };
      },
      async (world) => {
        const { recoveryPoint } = await snapshot(world);
        if (recoveryPoint === undefined) throw new Error("no recovery point");
        expect(recoveryPoint.name).toBe("rp-1");
        expect(prefixLength(world.a.stargate, recoveryPoint)).toBe(40);
        await world.clock.tick(10_000);
        const { recoveryPoints } = await world.a.call(CerebroService.listRecoveryPoints, {
          pd: "pd",
        });
        expect(recoveryPoints).toEqual([recoveryPoint]);
        expect(await keysOf(world.a, "antipode/cerebro/pending-cut/")).toEqual([]);
        expect(await keysOf(world.a, "antipode/cut/")).toEqual([]);
      },
    );
    expect(steps).toBeGreaterThan(10);
  });

  it("of a replication: the job ends well, and no chunk arrives twice", async () => {
    const steps = await atEveryStep(
      moment,
      async () => {
        const world = await prepared();
        await snapshot(world);
        return { world, site: world.a };
      },
      async (world) => {
        const job = await replicate(world);
        expect(job.state).toBe("DONE");
        expect(job.ledger?.logicalBytes).toBe(2 * SIZE);
        const twice = [...world.b.stargate.arrivals.values()].filter((count) => count > 1);
        expect(twice.length).toBeLessThanOrEqual(2);
        await world.clock.tick(10_000);
        expect(await keysOf(world.a, "antipode/cerebro/hold/")).toEqual([]);
        expect(await keysOf(world.a, "antipode/cerebro/replication/task/")).toEqual([]);
        expect(await keysOf(world.a, "antipode/cerebro/replication/claim/")).toEqual([]);
        const there = await world.b.call(CerebroService.listRecoveryPoints, { pd: "pd" });
        expect(there.recoveryPoints).toHaveLength(1);
      },
    );
    expect(steps).toBeGreaterThan(20);
  });

  it("of the target's, while a recovery point arrives: it is recorded once", async () => {
    const steps = await atEveryStep(
      moment,
      async () => {
        const world = await prepared();
        await snapshot(world);
        return { world, site: world.b };
      },
      async (world) => {
        expect((await replicate(world)).state).toBe("DONE");
        const there = await world.b.call(CerebroService.listRecoveryPoints, { pd: "pd" });
        expect(there.recoveryPoints).toHaveLength(1);
      },
    );
    expect(steps).toBeGreaterThan(5);
  });

  it("of an activation: every vDisk is made once, and the domain is active", async () => {
    const steps = await atEveryStep(
      moment,
      async () => {
        const world = await prepared();
        await snapshot(world);
        await replicate(world);
        teachContents(world);
        for (const node of world.a.nodes.values()) node.kill();
        return { world, site: world.b };
      },
      async (world) => {
        const answer = await world.b.call(CerebroService.activate, {
          pd: "pd",
          recoveryPoint: "",
          force: false,
          requestId: "failover",
        });
        expect(answer.pd).toMatchObject({ state: "active", generation: 2 });
        expect(world.b.stargate.made).toEqual(["v1", "v2"]);
        await world.clock.tick(10_000);
        expect(await keysOf(world.b, "antipode/cerebro/activation/")).toEqual([]);
        expect(await keysOf(world.b, "antipode/protected/")).toHaveLength(2);
      },
    );
    expect(steps).toBeGreaterThan(10);
  });
});
