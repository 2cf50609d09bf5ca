/** A lab on a simulated machine: production's `lab up` and genesis over simulated processes (P9), one seed one execution. */

import { describe, expect, it } from "vitest";
import {
  callGenesis,
  deleteLab,
  type OpenLab,
  openRunningLab,
  runStateOf,
  upLab,
} from "../../../services/lab/index.ts";
import { FaultService } from "../../../services/platform/wire/faults.ts";
import { GenesisService, type ServiceStatus } from "../../../services/platform/wire/genesis.ts";
import { createMachine, type SimMachine } from "./machine.ts";

const DIRECTORY = "/lab";
const WAIT_MS = 120_000;
const SHAPE = {
  sites: [
    { name: "A", cvms: 2 },
    { name: "B", cvms: 1 },
  ],
  ...{ latencyMs: 5, jitterMs: 0, bitsPerSecond: 0, etcd: "embedded" as const },
};
const SERVICES = 9;

interface Scene {
  readonly machine: SimMachine;
  readonly open: OpenLab;
  readonly list: () => Promise<readonly ServiceStatus[]>;
  readonly statusOf: (id: string) => Promise<ServiceStatus | undefined>;
}

async function createScene(seed = 1): Promise<Scene> {
  const machine = await createMachine({ seed, eventsMax: 500_000 });
  const { world } = machine;
  const { open } = await machine.wait(
    upLab(world, {
      ...{ directory: DIRECTORY, shape: SHAPE, given: {}, autoRestart: true, logLevel: "info" },
      onProgress: () => undefined,
    }),
    WAIT_MS,
  );
  const list: Scene["list"] = async () =>
    (await machine.wait(callGenesis(world, open, GenesisService.list, {}), WAIT_MS)).services;
  return {
    ...{ machine, open, list },
    statusOf: async (id) => (await list()).find((one) => one.id === id),
  };
}

describe("a lab on a simulated machine", () => {
  it("comes up and goes down whole, twice as one execution", async () => {
    const hashes: string[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const { machine, list } = await createScene();
      const services = await list();
      expect(services).toHaveLength(SERVICES);
      expect(services.filter(({ state }) => state !== "running")).toEqual([]);
      await machine.wait(deleteLab(machine.world, DIRECTORY), WAIT_MS);
      expect(machine.alive).toEqual([]);
      expect(machine.failures).toEqual([]);
      hashes.push(machine.trace.hash());
    }
    expect(hashes[1]).toBe(hashes[0]);
  });

  it("is another execution with another seed", async () => {
    const [one, other] = [await createScene(1), await createScene(2)];
    expect(one.machine.trace.hash()).not.toBe(other.machine.trace.hash());
  });

  it("has a killed process started again by genesis, with another pid", async () => {
    const { machine, open, statusOf } = await createScene();
    const before = await statusOf("stargate@A/1");
    const kill = { ids: ["stargate@A/1"], signal: "SIGKILL", stayDead: false } as const;
    await machine.wait(callGenesis(machine.world, open, GenesisService.kill, kill), WAIT_MS);
    await machine.clock.tick(3000);
    const after = await statusOf("stargate@A/1");
    expect(after).toMatchObject({ state: "running", restarts: 1 });
    expect(after?.pid).not.toBe(before?.pid);
  });

  it("outlives its genesis, and the next one adopts every process", async () => {
    const { machine, open, list } = await createScene();
    const pids = (await list()).map(({ pid }) => pid);
    const state = await machine.wait(runStateOf(machine.world, open), WAIT_MS);
    if (state.kind !== "up") throw new Error("the lab is not up");
    await machine.world.processes.signal(state.run.genesis, "SIGKILL");
    expect(machine.alive).toHaveLength(SERVICES);
    await machine.wait(openRunningLab(machine.world, DIRECTORY), WAIT_MS);
    await machine.clock.tick(3000);
    const adopted = await list();
    expect(adopted.map(({ pid }) => pid)).toEqual(pids);
    expect(adopted.filter(({ state: now }) => now !== "running")).toEqual([]);
  });

  it("thaws what is frozen when the lease of the fault ends", async () => {
    const { machine, open, statusOf } = await createScene();
    const freeze = {
      lease: { holder: "test", ttlMs: 2000 },
      ...{ ids: ["etcd@A"], signal: "SIGSTOP" as const },
    };
    const { world } = machine;
    await machine.wait(callGenesis(world, open, GenesisService.injectFault, freeze), WAIT_MS);
    expect((await statusOf("etcd@A"))?.paused).toBe(true);
    await machine.clock.tick(3000);
    expect((await statusOf("etcd@A"))?.paused).toBe(false);
  });

  it("lets the disk fail that genesis orders to, until it is healed", async () => {
    const { machine, open, statusOf } = await createScene();
    const order = {
      lease: { holder: "test", ttlMs: 60_000 },
      ...{ ids: ["etcd@B"], fault: "syncError" as const, delayMs: 0 },
    };
    const { world } = machine;
    await machine.wait(callGenesis(world, open, GenesisService.injectDiskFault, order), WAIT_MS);
    // The next leader of B is elected by a transaction.
    const kill = { ids: ["cerebro@B/1"], signal: "SIGKILL", stayDead: false } as const;
    await machine.wait(callGenesis(world, open, GenesisService.kill, kill), WAIT_MS);
    await machine.clock.tick(8000);
    expect(machine.failures.map(({ process }) => process)).toContain("etcd-B");
    await machine.wait(callGenesis(world, open, FaultService.heal, { holder: "test" }), WAIT_MS);
    await machine.clock.tick(30_000);
    expect((await statusOf("etcd@B"))?.state).toBe("running");
  });
});
