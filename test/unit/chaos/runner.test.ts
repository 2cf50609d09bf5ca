/** P9: the runner strikes on time, renews what it holds, and heals everything whatever happens. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { type ChaosLab, parseScenario, runTimeline } from "../../../services/chaos/index.ts";
import { createFakeClock } from "../../support/fakeClock.ts";

const scenarioOf = (...run: readonly object[]) =>
  parseScenario({
    version: 1,
    name: "s",
    lab: { sites: { A: 1, B: 1 } },
    protection: [{ pd: "gold", at: "A", to: "B", vdisks: { d1: "1MiB" } }],
    run,
    assert: ["P9"],
  });
const stop = { kind: "stop", target: "etcd@A" };
const cut = { kind: "cut", from: "A", to: "B", oneWay: true };

function createWorld() {
  const clock = createFakeClock();
  const orders: string[] = [];
  const moving: string[] = [];
  const note = (what: string): Promise<void> => {
    orders.push(`${clock.now()} ${what}`);
    return Promise.resolve();
  };
  let renewals = 0;
  const lab: ChaosLab = {
    view: () =>
      Promise.resolve({
        services: [{ id: "etcd@A", role: "etcd", site: "A", cvm: 0, isRunning: true }],
        leaderCvm: 0,
        ownerCvm: 0,
      }),
    kill: (ids) => note(`kill ${ids.join()}`),
    killGenesis: () => note("kill genesis"),
    restart: (ids) => note(`restart ${ids.join()}`),
    freeze: ({ holder }, ids) => note(`freeze ${ids.join()} for ${holder}`),
    leaveDead: ({ holder }, ids) => note(`leave dead ${ids.join()} for ${holder}`),
    changeLinks: ({ holder }) => note(`cut for ${holder}`),
    renew: () => {
      renewals += 1;
      return Promise.resolve();
    },
    heal: (holder) => note(`heal ${holder}`),
    act: () => Promise.reject(new Error("refused")),
    movingJobs: () => Promise.resolve([...moving]),
  };
  const abort = new AbortController();
  const run = (...steps: readonly object[]) =>
    runTimeline(
      {
        clock,
        prng: createPrng(1),
        lab,
        runId: "r",
        signal: abort.signal,
        tell: () => undefined,
        alsoHeld: [],
      },
      scenarioOf(...steps),
    );
  return { clock, orders, moving, run, abort, renewals: () => renewals };
}

describe("the runner", () => {
  it("strikes at its times and heals a fault when its time is over, the rest at the end", async () => {
    const { clock, orders, run } = createWorld();
    const done = run(
      { at: "2s", fault: cut },
      { at: "1s", fault: { ...stop, for: "3s" } },
      { at: "5s", fault: { kind: "kill", target: "etcd@A" } },
    );
    await clock.tick(6000);
    const report = await done;
    expect(orders).toEqual([
      "1000 freeze etcd@A for r/2.1",
      "2000 cut for r/1.1",
      "4000 heal r/2.1",
      "5000 kill etcd@A",
      "5000 heal r/1.1",
    ]);
    expect(report.faults).toBe(3);
    expect(clock.timerCount()).toBe(0);
  });

  it("renews what it holds often enough for the lease", async () => {
    const { clock, run, renewals } = createWorld();
    const done = run({ at: "0s", fault: { ...stop, for: "10s" } });
    await clock.tick(10_000);
    await done;
    expect(renewals()).toBeGreaterThanOrEqual(9);
  });

  it("goes on after a step that fails, and says why it was not done", async () => {
    const { clock, run } = createWorld();
    const done = run(
      { at: "1s", action: { kind: "snapshot", pd: "gold" } },
      { at: "2s", fault: { kind: "kill", target: "cerebro.leader@B" } },
      { at: "3s", fault: { kind: "kill", target: "etcd@A" } },
    );
    await clock.tick(4000);
    const { steps, faults } = await done;
    expect(steps.map((step) => step.problem)).toEqual([
      "refused",
      "nothing that runs is meant by it now",
      "",
    ]);
    expect(faults).toBe(1);
  });

  it("heals everything when it is interrupted", async () => {
    const { clock, orders, run, abort } = createWorld();
    const done = run({ at: "1s", fault: stop }, { at: "60s", fault: cut });
    const ended = expect(done).rejects.toMatchObject({ code: "CANCELLED" });
    await clock.tick(2000);
    abort.abort();
    await clock.settle();
    await ended;
    expect(orders).toEqual(["1000 freeze etcd@A for r/1.1", "2000 heal r/1.1"]);
  });

  it("waits until a replication moves data, and counts what it struck (P5)", async () => {
    const { clock, orders, moving, run } = createWorld();
    const done = run({ at: "1s", when: "replicating", fault: { kind: "kill", target: "etcd@A" } });
    await clock.tick(5000);
    expect(orders).toEqual([]);
    moving.push("A/job");
    await clock.tick(1000);
    const { strikes } = await done;
    expect(orders).toHaveLength(1);
    expect([...strikes]).toEqual([["A/job", 1]]);
  });
});
