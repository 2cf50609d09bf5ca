/** P9: the runner strikes on time, renews what it holds, and heals everything whatever happens. */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import {
  type ChaosLab,
  type Condition,
  type JobLook,
  parseScenario,
  runTimeline,
} from "../../../services/chaos/index.ts";
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
  const jobs: JobLook[] = [];
  const condition: Condition = "running";
  const note = (what: string): Promise<void> => {
    orders.push(`${clock.now()} ${what}`);
    return Promise.resolve();
  };
  /** What the next kills meet. */
  const refusals: AntipodeError[] = [];
  let renewals = 0;
  const lab: ChaosLab = {
    view: () =>
      Promise.resolve({
        services: [
          { id: "etcd@A", role: "etcd", site: "A", cvm: 0, condition },
          { id: "stargate@A/1", role: "stargate", site: "A", cvm: 1, condition },
        ],
        leaderCvm: 0,
        ownerCvm: 0,
      }),
    async kill(ids) {
      await note(`kill ${ids.join()}`);
      const error = refusals.shift();
      if (error !== undefined) throw error;
    },
    killGenesis: () => note("kill genesis"),
    restart: (ids) => note(`restart ${ids.join()}`),
    freeze: ({ holder }, ids) => note(`freeze ${ids.join()} for ${holder}`),
    leaveDead: ({ holder }, ids) => note(`leave dead ${ids.join()} for ${holder}`),
    goOn: (ids) => note(`go on ${ids.join()}`),
    breakDisks: ({ holder }, ids, { kind }) => note(`${kind} ${ids.join()} for ${holder}`),
    rot: (id, { file, count }) => note(`rot ${file} ${id}`).then(() => count),
    changeLinks: ({ holder }) => note(`cut for ${holder}`),
    renew: () => {
      renewals += 1;
      return Promise.resolve();
    },
    heal: (holder) => note(`heal ${holder}`),
    act: async ({ kind, pd }) => {
      await note(`${kind} ${pd}`);
      if (kind === "snapshot") await clock.sleep(3000);
      throw new Error("refused");
    },
    jobs: () => Promise.resolve([...jobs]),
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
  return { clock, orders, jobs, refusals, run, abort, renewals: () => renewals };
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
    await clock.tick(70_000);
    const { steps, faults } = await done;
    expect(steps.map((step) => step.problem)).toEqual([
      "refused",
      "nothing that runs is meant by it now",
      "",
    ]);
    expect(faults).toBe(1);
  });

  it("strikes again until somebody was hit, and counts that as one", async () => {
    const { clock, orders, run, refusals } = createWorld();
    refusals.push(
      new AntipodeError("PROCESS_NOT_FOUND", "gone"),
      new AntipodeError("PEER_UNREACHABLE", "genesis is away"),
    );
    const done = run({ at: "1s", fault: { kind: "kill", target: "etcd@A" } });
    await clock.tick(2000);
    const { steps, faults } = await done;
    expect(orders).toEqual(["1000 kill etcd@A", "1050 kill etcd@A", "1100 kill etcd@A"]);
    expect([faults, steps.map((one) => [one.fault, one.problem])]).toEqual([1, [["kill", ""]]]);
  });

  it("strikes after the faults before it where the order matters, however late those are", async () => {
    const { clock, orders, run, refusals } = createWorld();
    for (let i = 0; i < 100; i++) refusals.push(new AntipodeError("PROCESS_NOT_FOUND", "gone"));
    const done = run(
      { at: "1s", fault: { kind: "kill", target: "etcd@A" } },
      { at: "2s", when: "struck", after: "1s", fault: cut },
      { at: "30s", fault: stop },
    );
    await clock.tick(31_000);
    await done;
    const struck = orders.filter((one) => !one.includes("kill")).map((one) => one.split(" ")[1]);
    expect(struck.slice(0, 2)).toEqual(["cut", "freeze"]);
    expect(Number(orders.find((one) => one.includes("cut"))?.split(" ")[0])).toBeGreaterThan(6900);
  });

  it("does not try again what was refused for good", async () => {
    const { clock, orders, run, refusals } = createWorld();
    refusals.push(new AntipodeError("INVALID_ARGUMENT", "no such thing"));
    const done = run({ at: "1s", fault: { kind: "kill", target: "etcd@A" } });
    await clock.tick(2000);
    const { steps, faults } = await done;
    expect([orders.length, faults, steps[0]?.problem]).toEqual([1, 0, "no such thing"]);
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
    const { clock, orders, jobs, run } = createWorld();
    const done = run({ at: "1s", when: "replicating", fault: { kind: "kill", target: "etcd@A" } });
    jobs.push({ key: "A/job", state: "PLANNING", moves: false });
    await clock.tick(5000);
    expect(orders).toEqual([]);
    jobs.push({ key: "A/other", state: "RUNNING", moves: true });
    await clock.tick(1000);
    const { strikes } = await done;
    expect(orders).toHaveLength(1);
    expect([...strikes]).toEqual([["A/other", 1]]);
  });

  it("asks one thing of a pd at a time, in the order of the time line", async () => {
    const { clock, orders, run } = createWorld();
    const done = run(
      { at: "1s", action: { kind: "snapshot", pd: "gold" } },
      { at: "2s", action: { kind: "replicate", pd: "gold" } },
    );
    await clock.tick(5000);
    await done;
    expect(orders).toEqual(["1000 snapshot gold", "4000 replicate gold"]);
  });

  it.each(["planning", "recording"])("waits for %s, and then as long as it says", async (when) => {
    const { clock, orders, jobs, run } = createWorld();
    const fault = { kind: "kill", target: "etcd@A" };
    const done = run({ at: "1s", when, after: "2s", fault });
    await clock.tick(3000);
    jobs.push({ key: "A/job", state: when.toUpperCase(), moves: false });
    await clock.tick(1900);
    expect(orders).toEqual([]);
    await clock.tick(200);
    await done;
    expect(orders).toHaveLength(1);
  });

  it("waits on while a replication is under way, however long it takes", async () => {
    const { clock, orders, jobs, run } = createWorld();
    const done = run({ at: "1s", when: "recording", fault: { kind: "kill", target: "etcd@A" } });
    jobs.push({ key: "A/job", state: "RUNNING", moves: true });
    await clock.tick(300_000);
    expect(orders).toEqual([]);
    jobs.splice(0, 1, { key: "A/job", state: "RECORDING", moves: false });
    await clock.tick(1000);
    await done;
    expect(orders).toHaveLength(1);
  });

  it("gives up a replication that is stuck, and says so", async () => {
    const { clock, jobs, run } = createWorld();
    const done = run({ at: "1s", when: "recording", fault: { kind: "kill", target: "etcd@A" } });
    jobs.push({ key: "A/job", state: "RUNNING", moves: true });
    await clock.tick(610_000);
    const { faults } = await done;
    expect(faults).toBe(0);
  });

  it("does not strike when what it waits for does not come, and says so", async () => {
    const { clock, orders, run } = createWorld();
    const done = run({ at: "1s", when: "recording", fault: { kind: "kill", target: "etcd@A" } });
    await clock.tick(32_000);
    const { steps, faults } = await done;
    expect(steps.map((step) => step.problem)).toEqual(["nothing of the kind for 30 s"]);
    expect([faults, orders]).toEqual([0, []]);
  });

  it("holds a failing disk by its lease, of Stargates and etcd only, and counts rotten places", async () => {
    const { clock, orders, run } = createWorld();
    const done = run(
      { at: "1s", fault: { kind: "disk", target: "site@A", does: "full", for: "2s" } },
      { at: "2s", fault: { kind: "rot", target: "stargate@A/1", file: "egroup", count: 5 } },
    );
    await clock.tick(4000);
    const report = await done;
    expect(orders).toEqual([
      "1000 full etcd@A,stargate@A/1 for r/1.1",
      "2000 rot egroup stargate@A/1",
      "3000 heal r/1.1",
    ]);
    expect(report.rotted).toBe(5);
    expect(report.steps.map(({ atMs, toMs }) => [atMs, toMs])).toEqual([
      [1000, 3000],
      [2000, 2000],
    ]);
  });
});
