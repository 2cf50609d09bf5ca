/**
 * The writer against servers that stop, fail and come back, in virtual time: its journal always
 * proves what the disks hold.
 */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { auditImage, loadJournal, SvwWriter } from "../../../services/guest/index.ts";
import type { WriterConfig, WriterStatus } from "../../../services/guest/writer.ts";
import { createNbdServer, type NbdServer } from "../../../services/stargate/nbd/server.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { createMemoryDevice, createMemoryDevices } from "../../support/memoryDevice.ts";
import { failureOf } from "../../support/outcome.ts";

const MIB = 1024 * 1024;

/** Two vDisks that two servers serve, as two CVMs would. */
function makeLab(config: Partial<WriterConfig> = {}) {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  const disk = createFakeDisk();
  const log = createFakeLog();
  const devices = {
    d0: createMemoryDevice({ sizeBytes: MIB }),
    d1: createMemoryDevice({ sizeBytes: MIB }),
  };
  const serve = async (host: string): Promise<NbdServer> => {
    const exported = createMemoryDevices(devices);
    const server = createNbdServer({ net: network.host(host).net, clock, log, devices: exported });
    await server.listen({ host, port: 10809 });
    return server;
  };
  const full: WriterConfig = {
    vdisks: ["d0", "d1"].map((name) => ({
      name,
      targets: ["a", "b"].map((host) => ({ address: { host, port: 10809 }, exportName: name })),
    })),
    runId: 42,
    seed: 3,
    queueDepth: 8,
    ratePerSecond: 1000,
    durationMs: 5_000,
    historyPath: "h",
    client: { ioTimeoutMs: 500, connectTimeoutMs: 500 },
    ...config,
  };
  const makeWriter = (changes: Partial<WriterConfig> = {}, pace?: "unpaced"): SvwWriter => {
    const { ratePerSecond, ...unpaced } = { ...full, ...changes };
    const rate = pace === "unpaced" || ratePerSecond === undefined ? {} : { ratePerSecond };
    const world = { net: network.host("guest").net, clock, disk, log };
    return new SvwWriter(world, { ...unpaced, ...rate });
  };
  const audit = async (): Promise<Awaited<ReturnType<typeof auditImage>>> => {
    const journal = await loadJournal(disk, "h");
    const bothDisks = [devices.d0, devices.d1];
    return auditImage([
      {
        journal,
        readSlot: async ({ vdiskId, lba }) => {
          const parts = (await bothDisks[vdiskId]?.read(lba * 4096, 4096)) ?? [];
          return parts[0] ?? new Uint8Array(0);
        },
      },
    ]);
  };
  return { clock, network, disk, log, devices, serve, makeWriter, audit };
}

type Lab = ReturnType<typeof makeLab>;

/** Runs a writer to its end, or until `abort`, through virtual time. */
async function runFor(
  lab: Lab,
  writer: SvwWriter,
  ms: number,
  signal = new AbortController().signal,
): Promise<WriterStatus> {
  const running = writer.run(signal);
  running.catch(() => undefined);
  await lab.clock.tick(ms);
  return running;
}

describe("self-verifying writer", () => {
  it("measures every interval of its run: a stall shows as no answers, then as late ones", async () => {
    const lab = makeLab({ intervalMs: 500, durationMs: 4000, client: { ioTimeoutMs: 9000 } });
    await lab.serve("a");
    const writer = lab.makeWriter();
    const running = writer.run(new AbortController().signal);
    await lab.clock.tick(1000);
    lab.network.stall("guest", "a", 1500);
    await lab.clock.tick(4500);
    const status = await running;
    const samples = writer.intervals();
    expect(samples.map((one) => one.toMs - one.fromMs)).toEqual(samples.map(() => 500));
    expect(samples.reduce((sum, one) => sum + one.acknowledged, 0)).toBe(status.acknowledged);
    expect(samples.reduce((sum, one) => sum + one.bytes, 0)).toBe(status.acknowledgedBytes);
    expect(samples[3]).toMatchObject({ acknowledged: 0, maxMs: 0 });
    expect(samples[5]?.maxMs).toBeGreaterThan(1000);
  });

  it("writes at its rate, and its journal proves the disks (P1)", async () => {
    const lab = makeLab();
    await lab.serve("a");
    const status = await runFor(lab, lab.makeWriter(), 10_000);
    expect(status.acknowledged).toBe(status.issued);
    expect(status.acknowledged).toBeGreaterThan(4_500);
    expect(status.acknowledged).toBeLessThan(5_500);
    expect(status.latency.count).toBe(status.acknowledged);
    const report = await lab.audit();
    expect(report).toMatchObject({ ok: true, lost: [], writesIssued: status.issued });
    expect((await loadJournal(lab.disk, "h")).isComplete).toBe(true);
    expect(lab.clock.timerCount()).toBe(0);
  });

  it("writes on after errors on a connection that stays, once what it does not know can be read", async () => {
    const lab = makeLab({ durationMs: 20_000, ratePerSecond: 200 });
    await lab.serve("a");
    const broken = new AntipodeError("VDISK_NOT_FOUND", "it is hidden for a while");
    lab.clock.after(1000, () => {
      for (const device of Object.values(lab.devices)) device.failWith(broken);
    });
    lab.clock.after(15_000, () => {
      for (const device of Object.values(lab.devices)) device.failWith(undefined);
    });
    const status = await runFor(lab, lab.makeWriter(), 30_000);
    expect([status.reconnects, status.unknown > 0]).toEqual([0, true]);
    expect(status.quarantinedSlots).toBe(0);
    expect((await lab.audit()).ok).toBe(true);
    expect(lab.clock.timerCount()).toBe(0);
  });

  it("stops when it is told to, and answers for everything it issued", async () => {
    const lab = makeLab();
    await lab.serve("a");
    const stop = new AbortController();
    lab.clock.after(1000, () => {
      stop.abort();
    });
    const status = await runFor(lab, lab.makeWriter(), 3_000, stop.signal);
    expect([status.outstanding, status.unknown, status.elapsedMs <= 2_000]).toEqual([0, 0, true]);
    expect((await lab.audit()).ok).toBe(true);
  });

  it("keeps its depth full without a rate, and never exceeds it", async () => {
    const lab = makeLab({ queueDepth: 4, durationMs: 100 });
    await lab.serve("a");
    lab.network.setDelay("a", "guest", 1);
    const status = await runFor(lab, lab.makeWriter({}, "unpaced"), 2_000);
    // Two ms a round trip and four at once: two writes a ms.
    expect(status.acknowledged).toBeGreaterThan(150);
    expect(status.acknowledged).toBeLessThanOrEqual(220);
    expect(lab.log.lines.filter((line) => line.level === "warn")).toEqual([]);
  });

  it("goes to the next address when a server is killed, and loses nothing (P1)", async () => {
    const lab = makeLab();
    await lab.serve("a");
    await lab.serve("b");
    for (const atMs of [1000, 2000, 3000])
      lab.clock.after(atMs, () => {
        lab.network.tear("guest", atMs % 2000 === 0 ? "b" : "a");
      });
    lab.clock.after(3500, () => {
      lab.network.kill("a");
    });
    const status = await runFor(lab, lab.makeWriter(), 20_000);
    expect(status.reconnects).toBeGreaterThanOrEqual(2);
    expect(status.damagedSlots).toBe(0);
    expect(await lab.audit()).toMatchObject({ ok: true, lost: [] });
    const kinds = new Set((await loadJournal(lab.disk, "h")).records.map((r) => r.kind));
    expect(kinds.has("ack") && kinds.has("inv")).toBe(true);
  });

  it("takes writes that hang as unknown, reads their slots back, and writes them again", async () => {
    const lab = makeLab();
    await lab.serve("a");
    lab.clock.after(1000, () => {
      const release = lab.devices.d0.hold();
      lab.clock.after(1500, release);
    });
    const status = await runFor(lab, lab.makeWriter(), 20_000);
    expect(status.unknown).toBeGreaterThan(0);
    expect(status.quarantinedSlots).toBe(0);
    const records = (await loadJournal(lab.disk, "h")).records;
    expect(records.some((record) => record.kind === "read")).toBe(true);
    expect((await lab.audit()).ok).toBe(true);
  });

  it("rests after an error reply instead of flooding a server that fails everything", async () => {
    const lab = makeLab();
    await lab.serve("a");
    lab.devices.d0.failWith(new AntipodeError("OPLOG_FULL", "no room"));
    lab.clock.after(3000, () => {
      lab.devices.d0.failWith(undefined);
    });
    const status = await runFor(lab, lab.makeWriter(), 20_000);
    expect(status.unknown).toBeGreaterThan(0);
    expect(status.unknown).toBeLessThan(200);
    expect(status.quarantinedSlots).toBe(0);
    expect(await lab.audit()).toMatchObject({ ok: true, lost: [] });
  });

  it("goes on with a journal after it was killed, and all sessions are proved together (P1)", async () => {
    const lab = makeLab();
    await lab.serve("a");
    const killed = lab.makeWriter().run(new AbortController().signal);
    killed.catch(() => undefined);
    await lab.clock.tick(1_003);
    lab.disk.killProcess();
    lab.network.tear("guest", "a");
    await failureOf(lab.clock.tick(8_000).then(() => killed));
    const status = await runFor(lab, lab.makeWriter({ durationMs: 2_000 }), 10_000);
    expect(status.acknowledged).toBeGreaterThan(1_000);
    const journal = await loadJournal(lab.disk, "h");
    expect(journal.records.filter((record) => record.kind === "session").length).toBe(2);
    expect(await lab.audit()).toMatchObject({ ok: true, lost: [] });
  });

  it("is seen to fail when a disk loses an acknowledged write (P1)", async () => {
    const lab = makeLab();
    await lab.serve("a");
    await runFor(lab, lab.makeWriter(), 10_000);
    const prng = createPrng(5);
    for (let slot = prng.below(20); ; slot = (slot + 1) % 256) {
      const [bytes] = await lab.devices.d1.read(slot * 4096, 4096);
      if (bytes?.[0] === 0) continue;
      await lab.devices.d1.zero(slot * 4096, 4096);
      break;
    }
    const report = await lab.audit();
    expect([report.ok, report.isPrefix, report.lost.length > 0]).toEqual([false, false, true]);
  });

  it("refuses the journal of another run, and leaves it as it was (P10)", async () => {
    const lab = makeLab();
    await lab.serve("a");
    await runFor(lab, lab.makeWriter({ durationMs: 100 }), 2_000);
    const before = lab.disk.content("h");
    const other = lab.makeWriter({ runId: 43 }).run(new AbortController().signal);
    const failure = failureOf(other);
    await lab.clock.tick(5_000);
    expect((await failure).code).toBe("INVALID_ARGUMENT");
    expect(lab.disk.content("h")).toEqual(before);
  });

  it("gives up when no address ever answers", async () => {
    const lab = makeLab();
    const failure = failureOf(lab.makeWriter().run(new AbortController().signal));
    await lab.clock.tick(120_000);
    expect((await failure).code).toBe("PEER_UNREACHABLE");
  });

  it("ends when its journal cannot be written: without it nothing is proved", async () => {
    const lab = makeLab();
    await lab.serve("a");
    const failure = failureOf(lab.makeWriter().run(new AbortController().signal));
    await lab.clock.tick(500);
    lab.disk.fail({ operation: "write", errno: "ENOSPC", times: 1_000 });
    await lab.clock.tick(10_000);
    expect((await failure).code).toBe("DISK_FULL");
  });
});
