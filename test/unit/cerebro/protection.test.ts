/** Protection domains as users handle them: names, members, deletion. */

import { describe, expect, it } from "vitest";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { addressesOf, createWorld, makeProtected } from "./world.ts";

describe("a protection domain", () => {
  it("has each vDisk as a member of one domain only (PD3)", async () => {
    const { a } = await createWorld();
    await makeProtected(a, ["v1", "v2"], 4 * MIB);
    await a.call(CerebroService.createPd, { name: "other", requestId: "" });
    const again = { pd: "other", group: "", vdisks: ["v1"] };
    expect(await codeOfFailure(a.call(CerebroService.protect, again))).toBe("VDISK_IN_USE");
    const { pd } = await a.call(CerebroService.unprotect, { pd: "pd", vdisks: ["v1"] });
    expect(pd?.groups[0]?.members.map((member) => member.vdiskName)).toEqual(["v2"]);
    await a.call(CerebroService.protect, again);
    const { entries } = await a.look.list(siteKeys.protectedVdisk(""));
    expect(entries).toHaveLength(2);
  });

  it("refuses unknown vDisks, bad names and doubles, and changes nothing (P10)", async () => {
    const { a } = await createWorld();
    await makeProtected(a, ["v1"], 4 * MIB);
    const before = (await a.look.list("antipode/cerebro/pd/")).entries;
    const protect = (vdisks: readonly string[], pd = "pd") =>
      codeOfFailure(a.call(CerebroService.protect, { pd, group: "", vdisks }));
    expect(await protect(["nope"])).toBe("VDISK_NOT_FOUND");
    expect(await protect(["a/../b"])).toBe("VDISK_NOT_FOUND");
    expect(await protect([])).toBe("INVALID_ARGUMENT");
    expect(await protect(["v1"], "nope")).toBe("PD_NOT_FOUND");
    const create = (name: string) =>
      codeOfFailure(a.call(CerebroService.createPd, { name, requestId: "" }));
    expect(await create("pd")).toBe("PD_EXISTS");
    expect(await create("-x")).toBe("NAME_INVALID");
    expect((await a.look.list("antipode/cerebro/pd/")).entries).toEqual(before);
  });

  it("is deleted only when nothing uses it, and repeating a request makes it once", async () => {
    const { a } = await createWorld();
    await makeProtected(a, ["v1"], 4 * MIB);
    const remove = () => a.call(CerebroService.deletePd, { name: "pd" });
    expect(await codeOfFailure(remove())).toBe("PD_IN_USE");
    await a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    await a.call(CerebroService.unprotect, { pd: "pd", vdisks: ["v1"] });
    expect(await codeOfFailure(remove())).toBe("PD_IN_USE");
    await a.call(CerebroService.deleteRecoveryPoint, { pd: "pd", recoveryPoint: "rp-1" });
    await remove();
    expect(await codeOfFailure(remove())).toBe("PD_NOT_FOUND");
    const create = { name: "pd", requestId: "once" };
    const first = await a.call(CerebroService.createPd, create);
    expect(await a.call(CerebroService.createPd, create)).toEqual(first);
  });

  it("forgets its newest recovery point when that one is deleted", async () => {
    const { a } = await createWorld();
    await makeProtected(a, ["v1"], 4 * MIB);
    for (let i = 0; i < 2; i++)
      await a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    await a.call(CerebroService.deleteRecoveryPoint, { pd: "pd", recoveryPoint: "rp-2" });
    const { pd } = await a.call(CerebroService.showPd, { name: "pd" });
    expect(pd?.newestPointName).toBe("rp-1");
    const order = { pd: "pd", recoveryPoint: "rp-2" };
    expect(await codeOfFailure(a.call(CerebroService.showRecoveryPoint, order))).toBe(
      "RECOVERY_POINT_NOT_FOUND",
    );
  });
});

describe("a remote site", () => {
  it("is known by the identity it showed first, and tells whether it answers", async () => {
    const world = await createWorld();
    const { remote, reachable } = await world.a.call(CerebroService.showRemote, { name: "B" });
    expect(reachable).toBe(true);
    expect(remote).toMatchObject({ site: "B", incarnation: "B".repeat(32) });
    expect(remote?.publicKey).toMatch(/^[0-9a-f]{88}$/);
    world.cut();
    const away = await world.a.call(CerebroService.showRemote, { name: "B" });
    expect(away.reachable).toBe(false);
    expect(away.problem).toContain("does not answer");
  });

  it("is refused with addresses that cannot be, a taken name, or while a job uses it (P10)", async () => {
    const world = await createWorld();
    const order = {
      name: "C",
      cerebros: addressesOf("cerebro", "B"),
      stargates: addressesOf("stargate", "B"),
      containers: [],
      requestId: "",
    };
    const create = (change: object) =>
      codeOfFailure(world.a.call(CerebroService.createRemote, { ...order, ...change }));
    expect(await create({ cerebros: [] })).toBe("INVALID_ARGUMENT");
    expect(await create({ stargates: [{ host: "x", port: 0 }] })).toBe("INVALID_ARGUMENT");
    expect(await create({ name: "B" })).toBe("REMOTE_EXISTS");
    await makeProtected(world.a, ["v1"], 4 * MIB);
    await world.a.call(CerebroService.snapshot, { pd: "pd", name: "", requestId: "" });
    world.cut();
    const job = { pd: "pd", recoveryPoint: "", remote: "B", requestId: "" };
    await world.a.call(CerebroService.replicate, job);
    const remove = () => world.a.call(CerebroService.deleteRemote, { name: "B" });
    expect(await codeOfFailure(remove())).toBe("PD_IN_USE");
    expect(
      await codeOfFailure(world.a.call(CerebroService.replicate, { ...job, remote: "D" })),
    ).toBe("REMOTE_NOT_FOUND");
  });
});
