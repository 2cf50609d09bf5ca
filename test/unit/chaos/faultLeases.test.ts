/** P9: every fault is held by a lease and undoes itself when whoever drills is gone. */

import { describe, expect, it } from "vitest";
import { DiskOrders, diskOrderFile } from "../../../services/genesis/diskOrders.ts";
import { ServiceFaults } from "../../../services/genesis/serviceFaults.ts";
import { readWhole } from "../../../services/platform/disk.ts";
import { DISK_FAULTS_VARIABLE, parseDiskFault } from "../../../services/platform/diskFaults.ts";
import { type FaultKind, FaultLeases } from "../../../services/platform/faultLeases.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { codeOfFailure } from "../../support/outcome.ts";

interface Value {
  readonly name: string;
  readonly was: number;
}
const LEASE = { holder: "run-1", ttlMs: 5000 };

function createWorld() {
  const clock = createFakeClock();
  const disk = createFakeDisk();
  const values = new Map([
    ["a", 1],
    ["b", 2],
  ]);
  const failing = { times: 0 };
  const kind: FaultKind<Value> = {
    keyOf: (fault) => fault.name,
    parse: (field) => {
      const { name, was } = field.object(["name", "was"]);
      return { name: name.text(), was: was.integer() };
    },
    undo: (faults) => {
      if (failing.times-- > 0) return Promise.reject(new Error("not now"));
      for (const { name, was } of faults) values.set(name, was);
      return Promise.resolve();
    },
  };
  const open = (): Promise<FaultLeases<Value>> =>
    FaultLeases.open({ clock, disk, log: createFakeLog() }, kind);
  const spoil = (leases: FaultLeases<Value>, name: string, to: number, lease = LEASE) =>
    leases.hold(
      lease,
      () => [{ name, was: values.get(name) ?? 0 }],
      () => {
        values.set(name, to);
        return Promise.resolve(to);
      },
    );
  return { clock, values, failing, open, spoil };
}

describe("faults with a lease", () => {
  it("are undone when the lease ends without renewal, not before", async () => {
    const { clock, values, open, spoil } = createWorld();
    const leases = await open();
    expect(await spoil(leases, "a", 10)).toBe(10);
    await clock.tick(4999);
    expect(values.get("a")).toBe(10);
    await clock.tick(2);
    expect(values.get("a")).toBe(1);
    expect(await leases.renew(LEASE)).toEqual([]);
    expect(clock.timerCount()).toBe(0);
  });

  it("stay as long as the holder renews, and only the holder's", async () => {
    const { clock, values, open, spoil } = createWorld();
    const leases = await open();
    await spoil(leases, "a", 10);
    await spoil(leases, "b", 20, { holder: "run-2", ttlMs: 5000 });
    for (let i = 0; i < 5; i++) {
      await clock.tick(3000);
      expect(await leases.renew(LEASE)).toEqual(["a"]);
    }
    expect([...values.values()]).toEqual([10, 2]);
  });

  it("go back to what was before the first of them", async () => {
    const { clock, values, open, spoil } = createWorld();
    const leases = await open();
    await spoil(leases, "a", 10);
    await spoil(leases, "a", 11);
    await clock.tick(5001);
    expect(values.get("a")).toBe(1);
  });

  it("go back to what was before them also when they were asked for while others were healed", async () => {
    const { clock, values, open, spoil } = createWorld();
    const leases = await open();
    await spoil(leases, "a", 10);
    const healing = leases.heal("run-1");
    const again = spoil(leases, "a", 11);
    await Promise.all([healing, again]);
    expect(values.get("a")).toBe(11);
    await clock.tick(5001);
    expect(values.get("a")).toBe(1);
  });

  it("are undone by the next life of a keeper that was killed", async () => {
    const { clock, values, open, spoil } = createWorld();
    const first = await open();
    await spoil(first, "a", 10);
    first.close();
    await clock.tick(60_000);
    expect(values.get("a")).toBe(10);
    const second = await open();
    await clock.tick(5001);
    expect(values.get("a")).toBe(1);
    expect(await second.heal("")).toEqual([]);
  });

  it("heal at once and twice, for one holder or for all", async () => {
    const { values, open, spoil } = createWorld();
    const leases = await open();
    await spoil(leases, "a", 10);
    await spoil(leases, "b", 20, { holder: "run-2", ttlMs: 5000 });
    expect(await leases.heal("run-1")).toEqual(["a"]);
    expect([...values.values()]).toEqual([1, 20]);
    expect(await leases.heal("")).toEqual(["b"]);
    expect(await leases.heal("")).toEqual([]);
    expect([...values.values()]).toEqual([1, 2]);
  });

  it("are tried to be undone until it succeeds", async () => {
    const { clock, values, failing, open, spoil } = createWorld();
    const leases = await open();
    await spoil(leases, "a", 10);
    failing.times = 3;
    await clock.tick(5001);
    expect(values.get("a")).toBe(10);
    await clock.tick(2000);
    expect(values.get("a")).toBe(1);
  });

  it("are undone when injecting them failed half-way", async () => {
    const { values, open } = createWorld();
    const leases = await open();
    const work = leases.hold(
      LEASE,
      () => [{ name: "a", was: 1 }],
      () => {
        values.set("a", 10);
        return Promise.reject(new Error("half-way"));
      },
    );
    await expect(work).rejects.toThrow("half-way");
    expect(values.get("a")).toBe(1);
    expect(await leases.renew(LEASE)).toEqual([]);
  });

  it.each([
    ["no holder", { holder: "", ttlMs: 1 }],
    ["no time", { holder: "x", ttlMs: 0 }],
    ["more than a minute", { holder: "x", ttlMs: 60_001 }],
  ])("P10: refuse a lease with %s", async (_, lease) => {
    const { open } = createWorld();
    const leases = await open();
    expect(await codeOfFailure(Promise.resolve().then(() => leases.renew(lease)))).toBe(
      "INVALID_ARGUMENT",
    );
  });
});

describe("faults of services", () => {
  const createServices = () => {
    const clock = createFakeClock();
    const disk = createFakeDisk();
    const orders: string[] = [];
    const services = [
      { id: "stargate@A/1", env: { [DISK_FAULTS_VARIABLE]: "somewhere" } },
      { id: "wan", env: {} },
    ];
    const disks = new DiskOrders(services, disk);
    const supervisor = {
      kill: (ids: readonly string[], signal: string, after: string) => {
        orders.push(`${signal} ${ids.join()} ${after}`);
        return Promise.resolve([]);
      },
      start: (ids: readonly string[]) => {
        if (ids.length > 0) orders.push(`start ${ids.join()}`);
        return Promise.resolve([]);
      },
    };
    const open = () =>
      ServiceFaults.open({ clock, disk, log: createFakeLog() }, { supervisor, disks });
    const ordered = async () => {
      const bytes = await readWhole(disk, diskOrderFile("stargate@A/1"));
      return bytes && parseDiskFault(bytes);
    };
    return { clock, orders, open, ordered };
  };

  it("let a frozen one go on and start a dead one, each by its own fault", async () => {
    const { clock, orders, open } = createServices();
    const faults = await open();
    await faults.signal(LEASE, ["etcd@A"], "SIGSTOP");
    await faults.signal(LEASE, ["wan"], "SIGKILL");
    await clock.tick(5001);
    expect(orders).toEqual([
      "SIGSTOP etcd@A restart",
      "SIGKILL wan stayDead",
      "SIGCONT etcd@A restart",
      "start wan",
    ]);
  });

  it("withdraw the order to a disk when its lease ends, in the next life of genesis too", async () => {
    const { clock, open, ordered } = createServices();
    const first = await open();
    const fault = { kind: "slowSync", delayMs: 40 } as const;
    await first.breakDisks(LEASE, ["stargate@A/1"], fault);
    expect(await ordered()).toEqual(fault);
    first.close();
    const second = await open();
    expect(await second.leases.renew(LEASE)).toEqual(["stargate@A/1 disk"]);
    await clock.tick(5001);
    expect(await ordered()).toBeUndefined();
  });

  it.each([
    ["wan", "INVALID_ARGUMENT"],
    ["stargate@A/9", "PROCESS_NOT_FOUND"],
  ])("P10: order nothing of %s, which has no disk that obeys", async (id, code) => {
    const { open } = createServices();
    const faults = await open();
    const fault = { kind: "full", delayMs: 0 } as const;
    expect(await codeOfFailure(faults.breakDisks(LEASE, [id], fault))).toBe(code);
    expect(await faults.leases.heal("")).toEqual([]);
  });
});
