/** The lock of a lab: one holder, and none for ever. */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { takeLabLock } from "../../../services/lab/labLock.ts";
import { takeLock } from "../../../services/lab/lock.ts";
import type { LabWorld } from "../../../services/lab/world.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeProcesses } from "../genesis/fakeProcesses.ts";

async function createWorld() {
  const clock = createFakeClock();
  const disk = createFakeDisk();
  const processes = createFakeProcesses();
  const spawn = () =>
    processes.spawn({ command: "node", args: [], env: {}, logFile: "" }, () => undefined);
  const [mine, other] = [await spawn(), await spawn()];
  let serial = 0;
  const worldOf = (ownPid: number): LabWorld =>
    ({
      clock,
      processes,
      ownPid,
      random: { bytes: (length: number) => new Uint8Array(length).fill(++serial) },
    }) as unknown as LabWorld;
  const take = (pid: number, waitMs = 500) => takeLock(worldOf(pid), disk, "lab.lock", waitMs);
  const endProcess = (pid: number): void => {
    const process = processes.all.find((one) => one.pid === pid);
    if (process !== undefined) processes.end(process, { signal: "SIGKILL" });
  };
  const takeLab = (pid: number) => takeLabLock(worldOf(pid), { directory: "/lab", disk });
  return { clock, disk, take, takeLab, endProcess, mine: mine.pid, other: other.pid };
}

describe("the lock of a lab", () => {
  it("has one living holder; another one is told who, after a bounded wait", async () => {
    const world = await createWorld();
    const first = await world.take(world.mine);
    expect(first.kind).toBe("held");
    const second = world.take(world.other);
    await world.clock.tick(1000);
    expect(await second).toEqual({ kind: "busy", holderPid: world.mine });
  });

  it("P10: is refused with the directory and the process that holds it", async () => {
    const world = await createWorld();
    const lock = await world.takeLab(world.mine);
    const refused = world.takeLab(world.other).catch((error: unknown) => error);
    await world.clock.tick(1000);
    expect(await refused).toMatchObject({
      code: "LAB_RUNNING",
      details: { directory: "/lab", pid: world.mine },
    });
    await lock.release();
    expect(world.disk.paths()).toEqual([]);
  });

  it("is free again when it is released", async () => {
    const world = await createWorld();
    const first = await world.take(world.mine);
    const second = world.take(world.other, 5000);
    await world.clock.tick(100);
    if (first.kind === "held") await first.lock.release();
    await world.clock.tick(200);
    expect((await second).kind).toBe("held");
  });

  it("is taken over from a holder that was killed", async () => {
    const world = await createWorld();
    await world.take(world.mine);
    world.endProcess(world.mine);
    expect((await world.take(world.other)).kind).toBe("held");
    expect(world.disk.paths()).toEqual(["lab.lock"]);
  });

  it.each(["", "{", "null"])(
    "is taken over when its holder died while writing %j",
    async (text) => {
      const world = await createWorld();
      const file = await world.disk.open("lab.lock", "create");
      await file.write(0, [utf8(text)]);
      await file.close();
      const taken = world.take(world.mine, 0);
      await world.clock.tick(3000);
      expect((await taken).kind).toBe("held");
    },
  );
});
