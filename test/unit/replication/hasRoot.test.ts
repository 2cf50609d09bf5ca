/** Does a site hold a root: for an activation one copy anywhere will do, and silence is no answer (P9, P10). */

import { describe, expect, it } from "vitest";
import { AntipodeError, type ErrorCode } from "../../../services/base/errors.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import {
  type RootServiceWorld,
  rootBindings,
} from "../../../services/stargate/replication/rootService.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const address = { host: "10.0.0.1", port: 2009 };

/** A site whose chunk space says this when it is asked to read. */
async function siteThatReads(outcome: "found" | ErrorCode) {
  const network = createFakeNetwork({ clock: createFakeClock(), log: createFakeLog() });
  const space = {
    readStored: () =>
      outcome === "found" ? Promise.resolve([]) : Promise.reject(new AntipodeError(outcome, "no")),
    // A listed CVM does not answer: not all copies are known to be there.
    present: () => Promise.resolve([false]),
  };
  const world = { space } as unknown as RootServiceWorld;
  await network.host(address.host).rpc.serve(address, rootBindings(world));
  const client = network.host("10.0.0.2").rpc.connect(address);
  return (replicationFactor: number) =>
    client.unary(
      VdiskService.hasRoot,
      { root: "ab".repeat(32), replicationFactor },
      { deadlineMs: 1000 },
    );
}

describe("whether a site holds a root", () => {
  it("is told by any copy when one is enough, though a CVM is away (P9)", async () => {
    const ask = await siteThatReads("found");
    expect(await ask(1)).toEqual({ present: true });
    expect(await ask(2)).toEqual({ present: false });
  });

  it("is denied only when every CVM has denied it or shown rot", async () => {
    for (const code of ["CHUNK_NOT_FOUND", "CHUNK_CORRUPT"] as const) {
      const ask = await siteThatReads(code);
      expect(await ask(1)).toEqual({ present: false });
    }
  });

  it("is not known while a CVM that may have it does not answer (P10)", async () => {
    const ask = await siteThatReads("PEERS_UNAVAILABLE");
    expect(await codeOfFailure(ask(1))).toBe("PEERS_UNAVAILABLE");
  });
});
