/** Requests to genesis outlast its death (P9), and tell the truth about a lab that is down. */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { callGenesis } from "../../../services/lab/callGenesis.ts";
import { type LabFile, writeLabFile } from "../../../services/lab/labFile.ts";
import { openLab } from "../../../services/lab/open.ts";
import { writeRunFile } from "../../../services/lab/runFile.ts";
import type { LabWorld } from "../../../services/lab/world.ts";
import { GenesisService } from "../../../services/platform/wire/genesis.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { codeOfFailure } from "../../support/outcome.ts";
import { createFakeProcesses } from "../genesis/fakeProcesses.ts";

const LAB: LabFile = {
  version: 1,
  id: "0".repeat(32),
  createdAtMs: 0,
  sites: [{ name: "A", cvms: 1, incarnation: "1".repeat(32) }],
  place: { kind: "loopback", octets: [1] },
  latencyMs: 0,
  jitterMs: 0,
  bitsPerSecond: 0,
  etcd: "embedded",
  etcdCommand: "",
  autoRestart: true,
  logLevel: "info",
};

/** A lab whose genesis refuses so many calls before it answers. */
async function createWorld(refusals: number, code: "PEER_UNREACHABLE" | "PROCESS_NOT_FOUND") {
  const clock = createFakeClock();
  const disk = createFakeDisk();
  const processes = createFakeProcesses();
  const spawn = { command: "node", args: ["genesis"], env: {}, logFile: "" };
  const genesis = await processes.spawn(spawn, () => undefined);
  await writeLabFile(disk, LAB);
  await writeRunFile(disk, { version: 1, genesis, upAtMs: 0 });
  let calls = 0;
  const unary = (): Promise<unknown> => {
    calls += 1;
    return calls <= refusals
      ? Promise.reject(new AntipodeError(code, "refused"))
      : Promise.resolve({ services: [], genesisPid: genesis.pid, genesisResidentBytes: 0 });
  };
  const world = {
    clock,
    processes,
    diskAt: (path: string) => (path === "/lab" ? disk : createFakeDisk()),
    rpc: { connect: () => ({ unary }) },
  } as unknown as LabWorld;
  const open = await openLab(world, "/lab");
  const call = () => callGenesis(world, open, GenesisService.list, {});
  const kill = (): void => {
    for (const process of processes.all) processes.end(process, { signal: "SIGKILL" });
  };
  return { clock, call, kill, calls: () => calls };
}

describe("a request to genesis", () => {
  it("is asked again while a genesis that was started again does not listen yet (P9)", async () => {
    const world = await createWorld(3, "PEER_UNREACHABLE");
    const answer = world.call();
    await world.clock.tick(2000);
    expect((await answer).services).toEqual([]);
    expect(world.calls()).toBe(4);
  });

  it("fails in bounded time when nobody listens", async () => {
    const world = await createWorld(Number.POSITIVE_INFINITY, "PEER_UNREACHABLE");
    const failed = codeOfFailure(world.call());
    await world.clock.tick(20_000);
    expect(await failed).toBe("PEER_UNREACHABLE");
  });

  it("is not repeated when genesis itself refuses it", async () => {
    const world = await createWorld(1, "PROCESS_NOT_FOUND");
    expect(await codeOfFailure(world.call())).toBe("PROCESS_NOT_FOUND");
    expect(world.calls()).toBe(1);
  });

  it("says that the lab is down when nothing of it lives any more", async () => {
    const world = await createWorld(1, "PEER_UNREACHABLE");
    world.kill();
    expect(await codeOfFailure(world.call())).toBe("LAB_NOT_RUNNING");
  });
});
