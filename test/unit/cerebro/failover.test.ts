/** Activation, who is active, and what sites believe of each other. */

import { describe, expect, it } from "vitest";
import { fromUtf8 } from "../../../services/base/bytes.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { RemoteCerebroService } from "../../../services/platform/wire/remoteCerebro.ts";
import { codeOfFailure, failureOf } from "../../support/outcome.ts";
import { createWorld, makeProtected, PATIENCE_MS, type World } from "./world.ts";

const activate = { pd: "pd", recoveryPoint: "", force: false, requestId: "" };

/** Two vDisks replicated to B. The simulated Stargates of B learn the content of the roots. */
async function replicatedWorld(): Promise<World> {
  const world = await createWorld();
  await makeProtected(world.a, ["v1", "v2"], 4 * MIB);
  await world.a.stargate.write("v1", 0, 1);
  await replicateNow(world);
  return world;
}

async function replicateNow(world: World): Promise<void> {
  const { recoveryPoint } = await world.a.call(CerebroService.snapshot, {
    pd: "pd",
    name: "",
    requestId: "",
  });
  const { job } = await world.a.call(CerebroService.replicate, {
    pd: "pd",
    recoveryPoint: "",
    remote: "B",
    requestId: "",
  });
  expect((await world.finish(world.a, job?.id ?? "")).state).toBe("DONE");
  for (const { root } of recoveryPoint?.disks ?? [])
    if (root !== "") world.b.stargate.learn(root, world.a.stargate.contentOf(root));
}

const stateAt = async (site: World["a"]) => {
  const { pd } = await site.call(CerebroService.showPd, { name: "pd" });
  return { state: pd?.state, generation: pd?.generation };
};

describe("activation", () => {
  it("makes the domain active at the target with the recovery point's content, when the source is lost", async () => {
    const world = await replicatedWorld();
    for (const node of world.a.nodes.values()) node.kill();
    const answer = await world.b.call(CerebroService.activate, activate);
    expect(answer.pd).toMatchObject({ state: "active", generation: 2, sourceSite: "B" });
    expect(answer.vdisks.map((vdisk) => vdisk.vdiskName)).toEqual(["v1", "v2"]);
    expect(answer.warnings).toEqual([
      "The site A could not be asked (it does not answer): writes that it acknowledges now are not in this failover.",
    ]);
    const [disk] = answer.recoveryPoint?.disks ?? [];
    expect(world.b.stargate.vdisk("v1").extents).toEqual(
      world.a.stargate.contentOf(disk?.root ?? ""),
    );
    const again = await world.b.call(CerebroService.snapshot, {
      pd: "pd",
      name: "",
      requestId: "",
    });
    expect(again.recoveryPoint).toMatchObject({
      generation: 2,
      sourceSite: "B",
      parentId: answer.recoveryPoint?.id,
    });
    expect(world.bugs).toEqual([]);
  });

  it("is not held up by a source that swallows every call", async () => {
    const world = await replicatedWorld();
    world.cut();
    const startedAt = world.clock.now();
    await world.b.call(CerebroService.activate, activate);
    expect(world.clock.now() - startedAt).toBeLessThan(2500);
  });

  it("is refused while the source is active and answers, unless forced; then the source yields (P4)", async () => {
    const world = await replicatedWorld();
    expect(await codeOfFailure(world.b.call(CerebroService.activate, activate))).toBe(
      "PD_ALREADY_ACTIVE",
    );
    expect(await stateAt(world.b)).toEqual({ state: "inactive", generation: 1 });
    const forced = await world.b.call(CerebroService.activate, { ...activate, force: true });
    expect(forced.warnings.join()).toContain("told to become inactive");
    expect(await stateAt(world.b)).toEqual({ state: "active", generation: 2 });
    expect(await stateAt(world.a)).toEqual({ state: "inactive", generation: 2 });
  });

  it("wins over a source that comes back: the lower generation steps back by itself (P4)", async () => {
    const world = await replicatedWorld();
    world.cut();
    await world.b.call(CerebroService.activate, activate);
    expect(await stateAt(world.a)).toEqual({ state: "active", generation: 1 });
    world.heal();
    await world.clock.tick(30_000);
    expect(await stateAt(world.a)).toEqual({ state: "inactive", generation: 2 });
    expect(await stateAt(world.b)).toEqual({ state: "active", generation: 2 });
    expect(
      await codeOfFailure(
        world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" }),
      ),
    ).toBe("PD_NOT_ACTIVE");
  });

  it("takes no recovery point of an old lineage over a newer activation (P4)", async () => {
    const world = await replicatedWorld();
    world.cut();
    await world.b.call(CerebroService.activate, activate);
    await world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    const { job } = await world.a.call(CerebroService.replicate, {
      pd: "pd",
      recoveryPoint: "",
      remote: "B",
      requestId: "",
    });
    world.heal();
    const ended = await world.finish(world.a, job?.id ?? "");
    expect(ended).toMatchObject({ state: "FAILED", errorCode: "PD_ALREADY_ACTIVE" });
    const { recoveryPoints } = await world.b.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    expect(recoveryPoints).toHaveLength(1);
  });

  it("fails back without deleting by hand: what the site had before is set aside, whole (P1, P3)", async () => {
    const world = await replicatedWorld();
    const before = world.a.stargate.vdisk("v1");
    await world.b.call(CerebroService.activate, { ...activate, force: true });
    // Acknowledged at A after its last recovery point, and nowhere else.
    await world.a.stargate.write("v1", 0, 99);
    await world.b.stargate.write("v1", 1, 7);
    await world.b.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    const { job } = await world.b.call(CerebroService.replicate, {
      pd: "pd",
      recoveryPoint: "",
      remote: "A",
      requestId: "",
    });
    expect((await world.finish(world.b, job?.id ?? "")).state).toBe("DONE");
    const { recoveryPoints } = await world.b.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    for (const { root } of recoveryPoints.at(-1)?.disks ?? [])
      world.a.stargate.learn(root, world.b.stargate.contentOf(root));

    // One Stargate goes on showing the old vDisk under the name for a while; nobody is told before it ends.
    const lateUntilMs = world.clock.now() + 3000;
    world.a.stargate.lateUntilMs.set(2, lateUntilMs);
    const back = await world.a.call(CerebroService.activate, { ...activate, force: true });
    expect(world.clock.now()).toBeGreaterThanOrEqual(lateUntilMs);
    expect(back.warnings.slice(1)).toEqual(
      ["v1", "v2"].map(
        (name) =>
          `What this site had before is kept as the vDisk ${name}-before-3; delete it when it is not needed.`,
      ),
    );
    expect(await stateAt(world.a)).toEqual({ state: "active", generation: 3 });
    expect(await stateAt(world.b)).toEqual({ state: "inactive", generation: 3 });
    const now = world.a.stargate.vdisk("v1");
    expect(now.extents).toEqual(world.b.stargate.vdisk("v1").extents);
    const names = await world.a.look.list(siteKeys.vdiskName(""));
    expect(names.entries.map(({ key, value }) => [key.split("/").at(-1), fromUtf8(value)])).toEqual(
      expect.arrayContaining([
        ["v1", now.id],
        ["v1-before-3", before.id],
      ]),
    );
    // It is in no domain any more, so it can be deleted.
    expect(await world.a.look.get(siteKeys.protectedVdisk(before.id))).toBeUndefined();
    expect(await world.a.look.get(siteKeys.protectedVdisk(now.id))).toBeDefined();
    expect(world.bugs).toEqual([]);
  });

  it("names the vDisk whose name is taken, and changes nothing (P10)", async () => {
    const world = await replicatedWorld();
    for (const node of world.a.nodes.values()) node.kill();
    await world.b.stargate.createVdisk("v2", 4 * MIB, "");
    const failure = await failureOf(world.b.call(CerebroService.activate, activate));
    expect(failure.code).toBe("VDISK_EXISTS");
    expect(failure.message).toContain("v2");
    expect(await stateAt(world.b)).toEqual({ state: "inactive", generation: 1 });
    expect(world.b.stargate.made).toEqual(["v2"]);
  });

  it("answers a repeated request with the same vDisks", async () => {
    const world = await replicatedWorld();
    for (const node of world.a.nodes.values()) node.kill();
    const request = { ...activate, requestId: "drill-1" };
    const first = await world.b.call(CerebroService.activate, request);
    expect(await world.b.call(CerebroService.activate, request)).toEqual(first);
    expect(await codeOfFailure(world.b.call(CerebroService.activate, activate))).toBe(
      "PD_ALREADY_ACTIVE",
    );
  });

  it("starts from an older recovery point when asked, and goes on from it", async () => {
    const world = await replicatedWorld();
    await world.a.stargate.write("v1", 1, 2);
    await replicateNow(world);
    for (const node of world.a.nodes.values()) node.kill();
    const answer = await world.b.call(CerebroService.activate, {
      ...activate,
      recoveryPoint: "rp-1",
    });
    expect(answer.recoveryPoint?.name).toBe("rp-1");
    expect(answer.pd?.newestPointName).toBe("rp-1");
  });
});

describe("sites", () => {
  it("verify a recovery point's signature and content at the other site", async () => {
    const world = await replicatedWorld();
    const stream = world.network
      .host("user")
      .rpc.connect({ host: "cerebro-B-2", port: 2020 })
      .stream(CerebroService.verifyRecoveryPoint);
    const last = await world.run(
      (async () => {
        await stream.send({ pd: "pd", recoveryPoint: "rp-1" });
        stream.end();
        let seen: unknown;
        for await (const progress of stream.incoming) seen = progress;
        return seen;
      })(),
    );
    expect(last).toMatchObject({ signatureValid: true, missingChunks: 0, done: true });
  });

  it("refuse a record that the source did not sign, a stale leader, and an impostor (P4, P10)", async () => {
    const world = await replicatedWorld();
    const { recoveryPoints } = await world.b.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    const point = recoveryPoints[0];
    if (point === undefined) throw new Error("unreachable");
    const { remotes } = await world.b.call(CerebroService.listRemotes, {});
    const peer = remotes[0];
    const sender = {
      site: "A",
      incarnation: peer?.incarnation ?? "",
      epoch: 1,
      publicKey: Uint8Array.from(Buffer.from(peer?.publicKey ?? "", "hex")),
    };
    const record = (request: object) =>
      codeOfFailure(
        world.b.call(RemoteCerebroService.recordRecoveryPoint, {
          sender,
          recoveryPoint: { ...point, id: "f".repeat(32) },
          placements: [],
          generation: 1,
          ...request,
        }),
      );
    expect(await record({})).toBe("SIGNATURE_INVALID");
    expect(await record({ sender: { ...sender, incarnation: "other" } })).toBe(
      "REMOTE_IDENTITY_CHANGED",
    );
    expect(await record({ sender: { ...sender, publicKey: new Uint8Array(44) } })).toBe(
      "REMOTE_IDENTITY_CHANGED",
    );
    expect(await record({ sender: { ...sender, epoch: 0 } })).toBe("STALE_EPOCH");
    expect(await record({ sender: undefined })).toBe("MESSAGE_INVALID");
    const { entries } = await world.b.look.list(siteKeys.recoveryPoints);
    expect(entries).toHaveLength(1);
  });

  it("hand every command to the leader, whichever CVM is asked, and say who it is", async () => {
    const world = await createWorld();
    for (const cvm of [1, 2, 3])
      await world.a.call(CerebroService.createPd, { name: `pd${cvm}`, requestId: "" }, cvm);
    const { pds } = await world.a.call(CerebroService.listPds, {}, 2);
    expect(pds.map((pd) => pd.name)).toEqual(["pd1", "pd2", "pd3"]);
    expect(await world.a.call(CerebroService.leader, {}, 3)).toMatchObject({ cvm: 1, site: "A" });
  });

  it("answer NO_LEADER in bounded time when etcd is gone", async () => {
    const world = await createWorld();
    for (const node of world.a.nodes.values()) node.etcd.cut();
    await world.clock.tick(10_000);
    const startedAt = world.clock.now();
    const code = await codeOfFailure(
      world.a.call(CerebroService.createPd, { name: "pd", requestId: "" }),
    );
    expect(["NO_LEADER", "COORDINATOR_UNAVAILABLE"]).toContain(code);
    expect(world.clock.now() - startedAt).toBeLessThan(PATIENCE_MS / 10);
  });
});
