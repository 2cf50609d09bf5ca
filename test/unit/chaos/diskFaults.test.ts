/** A disk that fails on order fails as the real one does, and is whole again when the order is withdrawn. */

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { createFaultableDisk } from "../../../services/platform/adapters/faultableDisk.ts";
import {
  type DiskFault,
  failingDisk,
  formatDiskFault,
  parseDiskFault,
} from "../../../services/platform/diskFaults.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { temporaryFolder } from "../../support/temporaryFolder.ts";

const BYTES = [Uint8Array.of(1, 2, 3)];

async function createWorld() {
  const clock = createFakeClock();
  const real = createFakeDisk();
  let ordered: DiskFault | undefined;
  const disk = failingDisk(real, () => ordered, clock);
  const file = await disk.open("f", "create");
  await file.write(0, BYTES);
  const order = (kind?: DiskFault["kind"], delayMs = 0): void => {
    ordered = kind && { kind, delayMs };
  };
  return { clock, disk, file, order };
}

describe("a disk that fails on order", () => {
  it("when full takes only what needs no room", async () => {
    const { disk, file, order } = await createWorld();
    order("full");
    await file.write(0, BYTES);
    await file.sync();
    expect(await codeOfFailure(file.write(1, BYTES))).toBe("DISK_FULL");
    expect(await codeOfFailure(file.truncate(4))).toBe("DISK_FULL");
    expect(await codeOfFailure(disk.open("g", "create"))).toBe("DISK_FULL");
    expect(await codeOfFailure(disk.makeFolder("new"))).toBe("DISK_FULL");
    expect((await disk.space()).freeBytes).toBe(0);
    await disk.makeFolder("");
    await disk.remove("f");
    order();
    await disk.open("g", "create");
  });

  it.each([
    ["readError", "read"],
    ["writeError", "write"],
    ["syncError", "sync"],
  ] as const)("with %s fails every %s and nothing else", async (kind, failing) => {
    const { file, order } = await createWorld();
    order(kind);
    const calls = {
      read: () => file.read(0, 3),
      write: () => file.write(0, BYTES),
      sync: () => file.sync(),
    };
    for (const [name, call] of Object.entries(calls)) {
      const code = name === failing ? await codeOfFailure(call()) : await call().then(() => "done");
      expect([name, code]).toEqual([name, name === failing ? "DISK_FAILED" : "done"]);
    }
    order();
    await calls[failing]();
  });

  it("with slowSync ends every sync so much later", async () => {
    const { clock, file, order } = await createWorld();
    order("slowSync", 250);
    let done = false;
    const sync = file.sync().then(() => {
      done = true;
    });
    await clock.tick(249);
    expect(done).toBe(false);
    await clock.tick(1);
    await sync;
  });

  it("P10: takes no order that nobody could have meant", () => {
    const fault = { kind: "slowSync", delayMs: 7 } as const;
    expect(parseDiskFault(formatDiskFault(fault))).toEqual(fault);
    expect(() => parseDiskFault('{"version":1,"kind":"melt","delayMs":0}')).toThrow("kind");
    expect(() => parseDiskFault("{}")).toThrow("version");
  });
});

describe("the disk of a process", () => {
  it("obeys an order file while it is there, and another process that names none does not", async () => {
    const folder = temporaryFolder("disk-faults");
    const orders = join(folder, "order");
    const world = { clock: createFakeClock(), log: createFakeLog() };
    const disk = createFaultableDisk(join(folder, "d"), { ...world, orders });
    const other = createFaultableDisk(join(folder, "d"), { ...world, orders: undefined });
    await disk.makeFolder("");
    const freeBytes = async (): Promise<number> => (await disk.space()).freeBytes;
    expect(await freeBytes()).toBeGreaterThan(0);
    writeFileSync(orders, formatDiskFault({ kind: "full", delayMs: 0 }));
    await vi.waitUntil(async () => (await freeBytes()) === 0, { timeout: 10_000 });
    expect((await other.space()).freeBytes).toBeGreaterThan(0);
    const restarted = createFaultableDisk(join(folder, "d"), { ...world, orders });
    expect((await restarted.space()).freeBytes).toBe(0);
    rmSync(orders);
    await vi.waitUntil(async () => (await freeBytes()) > 0, { timeout: 10_000 });
  });
});
