/** A strike of a chaos run counts only when it hits somebody who lived, or who was going (P1's evidence). */

import { describe, expect, it } from "vitest";
import { Strikes } from "../../../services/cli/commands/chaosStrikes.ts";
import { GenesisService } from "../../../services/platform/wire/genesis.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { failureOf } from "../../support/outcome.ts";

type World = ConstructorParameters<typeof Strikes>[0];
type Lab = ConstructorParameters<typeof Strikes>[1];

const lease = { holder: "r/1.1", ttlMs: 6000 };

/** A genesis of these processes, which answers as the real one: who got the signal, as it was before. */
function createStrikes(...ids: readonly string[]) {
  const processes = new Map(ids.map((id, index) => [id, { id, pid: 100 + index, paused: false }]));
  const unary = (
    method: object,
    request: { readonly ids: readonly string[]; readonly signal: string },
  ): Promise<object> => {
    expect([GenesisService.kill, GenesisService.injectFault]).toContain(method);
    const services = request.ids.flatMap((id) => processes.get(id) ?? []);
    for (const one of services)
      processes.set(one.id, { ...one, paused: one.paused || request.signal === "SIGSTOP" });
    return Promise.resolve({ services });
  };
  const world = { clock: createFakeClock(), rpc: { connect: () => ({ unary }) } };
  const open = { plan: { genesis: { host: "h", port: 1 } } };
  return {
    strikes: new Strikes(world as unknown as World, open as unknown as Lab),
    /** Genesis has started it again. */
    startAgain: (id: string, pid: number) => processes.set(id, { id, pid, paused: false }),
  };
}

describe("a kill", () => {
  it("does not count for a process that an earlier one has ended, but for its next life", async () => {
    const { strikes, startAgain } = createStrikes("wan");
    await strikes.kill(["wan"]);
    // Dying: it still takes signals.
    expect((await failureOf(strikes.kill(["wan"]))).code).toBe("PROCESS_NOT_FOUND");
    expect((await failureOf(strikes.leaveDead(lease, ["wan"]))).code).toBe("PROCESS_NOT_FOUND");
    startAgain("wan", 200);
    await strikes.kill(["wan"]);
  });

  it("counts for a CVM of which one process lived", async () => {
    const { strikes } = createStrikes("stargate@A/1", "cerebro@A/1");
    await strikes.kill(["stargate@A/1"]);
    await strikes.kill(["stargate@A/1", "cerebro@A/1"]);
    const again = strikes.kill(["stargate@A/1", "cerebro@A/1"]);
    expect((await failureOf(again)).code).toBe("PROCESS_NOT_FOUND");
  });
});

describe("a pause", () => {
  it("does not count for a process that stands still already", async () => {
    const { strikes } = createStrikes("etcd@A", "etcd@B");
    await strikes.freeze(lease, ["etcd@A"]);
    expect((await failureOf(strikes.freeze(lease, ["etcd@A"]))).code).toBe("PROCESS_NOT_FOUND");
    await strikes.freeze(lease, ["etcd@A", "etcd@B"]);
  });
});
