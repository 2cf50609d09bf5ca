/** Genesis over fake processes in virtual time: tiers, restarts, drills, adoption, shutdown. */

import { describe, expect, it } from "vitest";
import type { Layout, ServiceSpec } from "../../../services/genesis/layout.ts";
import { readRecords } from "../../../services/genesis/processRecords.ts";
import { Supervisor } from "../../../services/genesis/supervisor.ts";
import type { ServiceStatus } from "../../../services/platform/wire/genesis.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { createFakeProcesses } from "./fakeProcesses.ts";

const spec = (id: string, tier: number): ServiceSpec => ({
  id,
  role: id.split("@")[0] ?? id,
  site: "A",
  cvm: 1,
  command: "node",
  args: ["main.js", `/lab/config/${id}.json`],
  env: {},
  logFile: `/lab/logs/${id}.log`,
  probe: "tcp",
  address: { host: "127.9.0.1", port: 1000 + id.length },
  tier,
});
const layoutOf = (autoRestart: boolean): Layout => ({
  version: 1,
  admin: { host: "127.9.0.1", port: 2100 },
  stateFolder: "/lab/state",
  autoRestart,
  restartDelayMs: 1000,
  stopGraceMs: 5000,
  services: [spec("etcd@A", 0), spec("stargate@A/1", 1)],
});

function createWorld(autoRestart = true) {
  const clock = createFakeClock();
  const processes = createFakeProcesses();
  const records = createFakeDisk();
  const log = createFakeLog();
  const failures: unknown[] = [];
  const mute = new Set<number>();
  let supervisor: Supervisor | undefined;
  const start = (): Supervisor => {
    supervisor = new Supervisor(layoutOf(autoRestart), {
      clock,
      processes,
      records,
      log,
      environment: {},
      answers: (_, address) => Promise.resolve(!mute.has(address.port)),
      onFailure: (error) => failures.push(error),
    });
    void supervisor.boot().catch((error: unknown) => failures.push(error));
    return supervisor;
  };
  const status = async (id: string): Promise<ServiceStatus> => {
    const list = (await supervisor?.list()) ?? [];
    const found = list.find((service) => service.id === id);
    if (found === undefined) throw new Error(`no ${id}`);
    return found;
  };
  /** The one living process of a service. */
  const processOf = (id: string) => {
    const living = processes.living(`/${id}.json`);
    expect(living).toHaveLength(1);
    const [process] = living;
    if (process === undefined) throw new Error(`${id} has no process`);
    return process;
  };
  return { clock, processes, records, log, failures, mute, start, status, processOf };
}

describe("genesis", () => {
  it("reads what a process uses at most four times a second, and anew for a new process", async () => {
    const world = createWorld();
    world.start();
    await world.clock.tick(100);
    let reads = 0;
    const residentBytes = world.processes.residentBytes.bind(world.processes);
    world.processes.residentBytes = (handle) => {
      reads += 1;
      return residentBytes(handle);
    };
    for (let ask = 0; ask < 20; ask++) {
      expect((await world.status("etcd@A")).residentBytes).toBe(1024);
      await world.clock.tick(50);
    }
    // Two services, one second.
    expect(reads).toBe(2 * 4);
    const before = (await world.status("etcd@A")).pid;
    world.processes.end(world.processOf("etcd@A"), { signal: "SIGKILL" });
    await world.clock.tick(1100);
    reads = 0;
    const after = await world.status("etcd@A");
    expect([after.pid === before, after.residentBytes, reads > 0]).toEqual([false, 1024, true]);
  });

  it("starts a tier only when the one below answers", async () => {
    const world = createWorld();
    world.mute.add(1006);
    world.start();
    await world.clock.tick(5000);
    expect(world.processes.all).toHaveLength(1);
    world.mute.clear();
    await world.clock.tick(200);
    expect((await world.status("etcd@A")).state).toBe("running");
    expect((await world.status("stargate@A/1")).state).toBe("running");
  });

  it("starts the next tier anyway when one below does not answer for long", async () => {
    const world = createWorld();
    world.mute.add(1006);
    world.start();
    await world.clock.tick(11_000);
    expect((await world.status("stargate@A/1")).state).toBe("running");
  });

  it("P9: starts a process again that was killed, after the delay", async () => {
    const world = createWorld();
    world.start();
    await world.clock.tick(1000);
    world.processes.end(world.processOf("stargate@A/1"), { signal: "SIGKILL" });
    await world.clock.tick(900);
    expect(world.processes.living("stargate")).toHaveLength(0);
    await world.clock.tick(300);
    expect(await world.status("stargate@A/1")).toMatchObject({
      state: "running",
      restarts: 1,
      lastExit: "SIGKILL",
    });
  });

  it("leaves a service dead that was killed with stayDead, until it is started", async () => {
    const world = createWorld();
    const supervisor = world.start();
    await world.clock.tick(1000);
    const killed = await supervisor.kill(["etcd@A", "stargate@A/1"], "SIGKILL", "stayDead");
    expect(killed.map(({ id }) => id)).toEqual(["etcd@A", "stargate@A/1"]);
    await world.clock.tick(60_000);
    expect((await world.status("stargate@A/1")).state).toBe("dead");
    await supervisor.start(["stargate@A/1"]);
    await world.clock.tick(1000);
    expect((await world.status("stargate@A/1")).state).toBe("running");
  });

  it("refuses to kill what has no process or no name", async () => {
    const world = createWorld();
    const supervisor = world.start();
    await world.clock.tick(1000);
    expect(await codeOfFailure(supervisor.kill(["x"], "SIGKILL", "restart"))).toBe(
      "PROCESS_NOT_FOUND",
    );
    await supervisor.stop(["stargate@A/1"]);
    expect(await codeOfFailure(supervisor.kill(["stargate@A/1"], "SIGKILL", "restart"))).toBe(
      "PROCESS_NOT_FOUND",
    );
  });

  it("shows a process that was frozen until it is continued", async () => {
    const world = createWorld();
    const supervisor = world.start();
    await world.clock.tick(1000);
    await supervisor.kill(["etcd@A"], "SIGSTOP", "restart");
    expect((await world.status("etcd@A")).paused).toBe(true);
    await supervisor.kill(["etcd@A"], "SIGCONT", "restart");
    expect((await world.status("etcd@A")).paused).toBe(false);
  });

  it("G7: adopts processes that outlived the genesis that started them", async () => {
    const world = createWorld();
    world.start();
    await world.clock.tick(1000);
    const pids = world.processes.all.map(({ pid }) => pid);
    world.processes.forgetParents();
    world.start();
    await world.clock.tick(1000);
    expect(world.processes.all.map(({ pid }) => pid)).toEqual(pids);
    expect((await world.status("stargate@A/1")).state).toBe("running");
    // It is nobody's child now; its end is noticed all the same.
    world.processes.end(world.processOf("stargate@A/1"), { signal: "SIGKILL" });
    await world.clock.tick(2000);
    expect(await world.status("stargate@A/1")).toMatchObject({ state: "running", restarts: 1 });
  });

  it("G7: adopts a process that was started but not recorded, by its port", async () => {
    const world = createWorld();
    world.start();
    await world.clock.tick(1000);
    const orphan = world.processOf("stargate@A/1");
    world.processes.hold(spec("stargate@A/1", 1).address, orphan);
    world.processes.forgetParents();
    await world.records.remove("stargate@A.1.json");
    world.start();
    await world.clock.tick(1000);
    expect(world.processOf("stargate@A/1").pid).toBe(orphan.pid);
  });

  it("G7: takes a process that holds its port already instead of starting a second one", async () => {
    const world = createWorld();
    world.start();
    await world.clock.tick(1000);
    const first = world.processOf("stargate@A/1");
    await world.processes.spawn(first.request, () => undefined);
    const [, orphan] = world.processes.living("stargate");
    if (orphan === undefined) throw new Error("there is an orphan");
    world.processes.hold(spec("stargate@A/1", 1).address, orphan);
    world.processes.end(first, { code: 1 });
    await world.clock.tick(2000);
    expect(await world.status("stargate@A/1")).toMatchObject({ state: "running", pid: orphan.pid });
    world.processes.end(orphan, { code: 1 });
    await world.clock.tick(4000);
    expect(await world.status("stargate@A/1")).toMatchObject({ state: "running", restarts: 2 });
  });

  it("G7: starts what died while there was no genesis, and keeps dead what was left dead", async () => {
    const world = createWorld();
    const first = world.start();
    await world.clock.tick(1000);
    await first.kill(["etcd@A"], "SIGKILL", "stayDead");
    await world.clock.tick(100);
    world.processes.forgetParents();
    world.processes.end(world.processOf("stargate@A/1"), { code: 1 });
    world.start();
    await world.clock.tick(11_000);
    expect((await world.status("etcd@A")).state).toBe("dead");
    expect(await world.status("stargate@A/1")).toMatchObject({ state: "running", restarts: 1 });
  });

  it("without automatic restart leaves dead what died while there was no genesis", async () => {
    const world = createWorld(false);
    world.start();
    await world.clock.tick(1000);
    world.processes.forgetParents();
    world.processes.end(world.processOf("stargate@A/1"), { code: 1 });
    world.start();
    await world.clock.tick(1000);
    expect((await world.status("stargate@A/1")).state).toBe("dead");
  });

  it("ends the highest tier first, and kills what does not end when asked", async () => {
    const world = createWorld();
    const supervisor = world.start();
    await world.clock.tick(1000);
    world.processes.ignore("SIGTERM");
    let killed: readonly string[] | undefined;
    void supervisor.shutdown().then((ids) => {
      killed = ids;
    });
    await world.clock.tick(4000);
    expect(world.processOf("stargate@A/1").signals).toEqual(["SIGTERM", "SIGCONT"]);
    expect(world.processOf("etcd@A").signals).toEqual([]);
    await world.clock.tick(11_000);
    expect(killed).toEqual(["etcd@A", "stargate@A/1"]);
    expect(world.processes.living("")).toEqual([]);
    const records = await readRecords(world.records);
    expect(records.map((record) => [record.wanted, record.process])).toEqual([
      ["stopped", undefined],
      ["stopped", undefined],
    ]);
  });

  it("begins nothing more when it is told to end while it boots", async () => {
    const world = createWorld();
    world.mute.add(1006);
    const supervisor = world.start();
    await world.clock.tick(100);
    void supervisor.shutdown();
    await world.clock.tick(60_000);
    expect(world.processes.all).toHaveLength(1);
    expect(world.processes.living("")).toEqual([]);
  });

  it("goes on supervising when the disk for its records is full", async () => {
    const world = createWorld();
    world.start();
    await world.clock.tick(1000);
    world.records.fail({ operation: "write", errno: "ENOSPC", times: 100 });
    world.processes.end(world.processOf("stargate@A/1"), { code: 1 });
    await world.clock.tick(3000);
    expect((await world.status("stargate@A/1")).state).toBe("running");
    expect(world.log.of("service.record-failed").length).toBeGreaterThan(0);
    expect(world.failures).toEqual([]);
  });
});
