/**
 * Does a site hold a root: with every copy that it should have, for a replication; one copy anywhere, for an
 * activation, where silence is no answer (P9, P10).
 */

import { describe, expect, it } from "vitest";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import type { Presence } from "../../../services/stargate/chunks.ts";
import {
  type RootServiceWorld,
  rootBindings,
} from "../../../services/stargate/replication/rootService.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const address = { host: "10.0.0.1", port: 2009 };
const root = "ab".repeat(32);
const call = { deadlineMs: 1000 };

/** A client of a site whose chunk space knows this of a root: not all copies are known to be there. */
async function siteWhere(presence: Presence) {
  const network = createFakeNetwork({ clock: createFakeClock(), log: createFakeLog() });
  const space = {
    locate: () => Promise.resolve([presence]),
    present: () => Promise.resolve([false]),
  };
  const world = { space } as unknown as RootServiceWorld;
  await network.host(address.host).rpc.serve(address, rootBindings(world));
  return network.host("10.0.0.2").rpc.connect(address);
}

describe("whether a site holds a root", () => {
  it("is told by any copy when one is enough, though a CVM is away (P9)", async () => {
    const site = await siteWhere("yes");
    expect(await site.unary(VdiskService.locateRoot, { root }, call)).toEqual({ present: true });
  });

  it.each([1, 2])("is told by all %d copies when all are asked for", async (replicationFactor) => {
    const site = await siteWhere("yes");
    const request = { root, replicationFactor };
    expect(await site.unary(VdiskService.hasRoot, request, call)).toEqual({ present: false });
  });

  it("is denied when every CVM has denied it", async () => {
    const site = await siteWhere("no");
    expect(await site.unary(VdiskService.locateRoot, { root }, call)).toEqual({ present: false });
  });

  it("is not known while a CVM that may have it does not answer (P10)", async () => {
    const site = await siteWhere("unknown");
    const asked = site.unary(VdiskService.locateRoot, { root }, call);
    expect(await codeOfFailure(asked)).toBe("PEERS_UNAVAILABLE");
  });

  it("is always so for the root of an empty disk", async () => {
    const site = await siteWhere("no");
    const none = { root: "", replicationFactor: 2 };
    expect(await site.unary(VdiskService.hasRoot, none, call)).toEqual({ present: true });
    expect(await site.unary(VdiskService.locateRoot, none, call)).toEqual({ present: true });
  });
});
