/** Taking recovery points: at one instant, once a request, and through the loss of leaders. */

import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { prefixLength } from "./simStargate.ts";
import { createWorld, makeProtected } from "./world.ts";

const snapshot = (requestId = "", name = "") => ({ pd: "pd", name, requestId });

describe("snapshot", () => {
  it("cuts all vDisks of a domain at one instant and signs the record (P2)", async () => {
    const world = await createWorld();
    await makeProtected(world.a, ["v1", "v2"], 4 * MIB);
    await world.a.stargate.write("v1", 0, 1);
    await world.a.stargate.write("v2", 3, 1);
    const { recoveryPoint } = await world.a.call(CerebroService.snapshot, snapshot());
    expect(recoveryPoint).toMatchObject({
      name: "rp-1",
      protectionDomain: "pd",
      generation: 1,
      sourceSite: "A",
      parentId: "",
      disks: [{ vdiskName: "v1" }, { vdiskName: "v2" }],
    });
    expect(recoveryPoint?.signature).toMatch(/^[0-9a-f]{128}$/);
    if (recoveryPoint === undefined) throw new Error("unreachable");
    expect(prefixLength(world.a.stargate, recoveryPoint)).toBe(2);
    expect(world.bugs).toEqual([]);
  });

  it("numbers the points and links them to their parents", async () => {
    const world = await createWorld();
    await makeProtected(world.a, ["v1"], 4 * MIB);
    const first = await world.a.call(CerebroService.snapshot, snapshot());
    const named = await world.a.call(CerebroService.snapshot, snapshot("", "before-upgrade"));
    const third = await world.a.call(CerebroService.snapshot, snapshot());
    expect(named.recoveryPoint?.parentId).toBe(first.recoveryPoint?.id);
    expect(third.recoveryPoint).toMatchObject({
      name: "rp-2",
      parentId: named.recoveryPoint?.id,
    });
    expect(
      await codeOfFailure(world.a.call(CerebroService.snapshot, snapshot("", "before-upgrade"))),
    ).toBe("RECOVERY_POINT_EXISTS");
  });

  it("answers a repeated request with what it has made", async () => {
    const world = await createWorld();
    await makeProtected(world.a, ["v1"], 4 * MIB);
    const first = await world.a.call(CerebroService.snapshot, snapshot("request-1"), 1);
    const again = await world.a.call(CerebroService.snapshot, snapshot("request-1"), 2);
    expect(again).toEqual(first);
    const { recoveryPoints } = await world.a.call(CerebroService.listRecoveryPoints, { pd: "pd" });
    expect(recoveryPoints).toHaveLength(1);
  });

  it("cuts again when an owner released too early, and reports how long writes were held", async () => {
    const world = await createWorld();
    await makeProtected(world.a, ["v1", "v2"], 4 * MIB);
    world.a.stargate.earlyReleases = 3;
    const { recoveryPoint } = await world.a.call(CerebroService.snapshot, snapshot());
    expect(recoveryPoint?.name).toBe("rp-1");
    expect(recoveryPoint?.holdMs).toBeGreaterThanOrEqual(0);
    const leader = await world.a.leader();
    expect(leader.log.of("cut.void")).toHaveLength(3 - 1);
  });

  it("gives up readably when no cut ever holds, and leaves nothing behind", async () => {
    const world = await createWorld();
    await makeProtected(world.a, ["v1"], 4 * MIB);
    world.a.stargate.earlyReleases = 1000;
    expect(await codeOfFailure(world.a.call(CerebroService.snapshot, snapshot()))).toBe("CUT_VOID");
    const { entries } = await world.a.look.list("antipode/c");
    expect(entries.map((entry) => entry.key).filter((key) => key.includes("cut"))).toEqual([]);
    world.a.stargate.earlyReleases = 0;
    const { recoveryPoint } = await world.a.call(CerebroService.snapshot, snapshot());
    expect(recoveryPoint?.name).toBe("rp-2");
  });

  it("refuses a domain without vDisks, an unknown one, and a bad name (P10)", async () => {
    const world = await createWorld();
    await world.a.call(CerebroService.createPd, { name: "pd", requestId: "" });
    expect(await codeOfFailure(world.a.call(CerebroService.snapshot, snapshot()))).toBe("PD_EMPTY");
    expect(
      await codeOfFailure(
        world.a.call(CerebroService.snapshot, { pd: "nope", name: "", requestId: "" }),
      ),
    ).toBe("PD_NOT_FOUND");
    await world.a.stargate.createVdisk("v1", 4 * MIB, "");
    await world.a.call(CerebroService.protect, { pd: "pd", group: "", vdisks: ["v1"] });
    expect(await codeOfFailure(world.a.call(CerebroService.snapshot, snapshot("", "a b")))).toBe(
      "NAME_INVALID",
    );
  });

  it("gives orders with the leader's epoch, which Stargates see grow only (P4)", async () => {
    const world = await createWorld();
    await makeProtected(world.a, ["v1"], 4 * MIB);
    await world.a.call(CerebroService.snapshot, snapshot());
    (await world.a.leader()).kill();
    await world.a.call(CerebroService.snapshot, snapshot());
    const epochs = [...world.a.stargate.accepted.values()].flat();
    expect(new Set(epochs).size).toBe(2);
    expect(epochs).toEqual(epochs.toSorted((x, y) => x - y));
  });
});
