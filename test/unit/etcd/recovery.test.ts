/**
 * The embedded server's log: what is there after a crash at any byte, any operation and with any
 * damage. Cites P1 (acknowledged writes survive), P7 and P10 (damage is told, never used).
 */

import { beforeAll, describe, expect, it } from "vitest";
import { fromUtf8, utf8 } from "../../../services/base/bytes.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { EtcdEngine } from "../../../services/etcd/index.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import { make, PutRequest, RangeRequest } from "../../../services/platform/wire/etcd.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const FOLDER = "wal";
const LOG_1 = "wal/log-0000000000000001";
const ALL = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };

let codec: Codec;
beforeAll(async () => {
  codec = await createCodec();
});

interface World {
  readonly disk: FakeDisk;
  readonly clock: FakeClock;
  readonly failures: unknown[];
}

const newWorld = (disk = createFakeDisk()): World => ({
  disk,
  clock: createFakeClock(),
  failures: [],
});

function open(world: World, logBytesMax = 1 << 20): Promise<EtcdEngine> {
  return EtcdEngine.open({
    disk: world.disk,
    clock: world.clock,
    checksum: codec,
    random: { bytes: (length) => createPrng(7).fill(new Uint8Array(length)) },
    log: createFakeLog(),
    folder: FOLDER,
    logBytesMax,
    onFailed: (error) => world.failures.push(error),
  });
}

const put = (engine: EtcdEngine, key: string, value: string, lease = "0"): Promise<unknown> =>
  engine.change((core, now) =>
    core.put(make(PutRequest, { key: utf8(key), value: utf8(value), lease }), now),
  );

const contents = (engine: EtcdEngine): Record<string, string> =>
  Object.fromEntries(
    engine.core
      .range(make(RangeRequest, ALL))
      .kvs.map((entry) => [fromUtf8(entry.key), fromUtf8(entry.value)]),
  );

/** A copy of the disk that holds exactly these files. */
async function diskWith(files: Readonly<Record<string, Uint8Array>>): Promise<FakeDisk> {
  const disk = createFakeDisk();
  await disk.makeFolder(FOLDER);
  for (const [path, bytes] of Object.entries(files)) {
    const file = await disk.open(path, "create");
    await file.write(0, [bytes]);
    await file.sync();
  }
  await disk.syncDirectory(FOLDER);
  return disk;
}

describe("etcd recovery", () => {
  it("keeps every acknowledged write over a loss of power (P1)", async () => {
    const world = newWorld();
    const engine = await open(world);
    for (let i = 0; i < 20; i++) await put(engine, `k${i % 5}`, `v${i}`);
    world.disk.crash({ mode: "lost" });
    const after = await open(world);
    expect(contents(after)).toEqual({ k0: "v15", k1: "v16", k2: "v17", k3: "v18", k4: "v19" });
    expect(after.durableRevision).toBe(21);
  });

  it("answers only after the sync, reads of what is not yet durable included (P1)", async () => {
    const world = newWorld();
    const engine = await open(world);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.disk.onOperation((operation) => (operation === "sync" ? held : undefined));
    const answers: string[] = [];
    const writing = put(engine, "k", "v").then(() => answers.push("put"));
    const reading = engine
      .answer((core) => core.range(make(RangeRequest, { key: utf8("k") })))
      .then(() => answers.push("get"));
    await world.clock.tick(10);
    expect(answers).toEqual([]);
    expect(engine.durableRevision).toBe(1);
    release();
    await Promise.all([writing, reading]);
    expect(engine.durableRevision).toBe(2);
  });

  it("shares one sync among concurrent writes", async () => {
    const world = newWorld();
    const engine = await open(world);
    let syncs = 0;
    world.disk.onOperation((operation) => {
      if (operation === "sync") syncs += 1;
    });
    await Promise.all(Array.from({ length: 100 }, (_, i) => put(engine, `k${i}`, "v")));
    expect(syncs).toBeLessThanOrEqual(3);
  });

  it("recovers the acknowledged prefix when the log ends at any byte", async () => {
    const world = newWorld();
    const engine = await open(world);
    const sizes: number[] = [];
    for (let i = 0; i < 6; i++) {
      await put(engine, "k", `v${i}`);
      sizes.push(world.disk.content(LOG_1)?.length ?? 0);
    }
    const whole = world.disk.content(LOG_1) ?? new Uint8Array(0);
    for (let length = 0; length <= whole.length; length++) {
      const disk = await diskWith({ [LOG_1]: whole.slice(0, length) });
      const again = await open({ ...newWorld(disk) });
      const complete = sizes.filter((size) => size <= length).length;
      expect(contents(again)).toEqual(complete === 0 ? {} : { k: `v${complete - 1}` });
      await put(again, "after", "x");
      const third = await open(newWorld(await diskWith({ [LOG_1]: disk.content(LOG_1) ?? whole })));
      expect(contents(third)["after"]).toBe("x");
    }
  });

  it("refuses a log that is damaged before its end, at any byte (P7)", async () => {
    const world = newWorld();
    const engine = await open(world);
    for (let i = 0; i < 3; i++) await put(engine, "k", `v${i}`);
    const beforeLast = world.disk.content(LOG_1)?.length ?? 0;
    await put(engine, "k", "last");
    const whole = world.disk.content(LOG_1) ?? new Uint8Array(0);
    for (let at = 0; at < beforeLast; at++) {
      const damaged = whole.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      const disk = await diskWith({ [LOG_1]: damaged });
      expect(await codeOfFailure(open(newWorld(disk)))).toBe("COORDINATOR_CORRUPT");
      expect(disk.content(LOG_1)).toEqual(damaged);
    }
  });

  it("refuses a log of another version of the format (P10)", async () => {
    const world = newWorld();
    await put(await open(world), "k", "v");
    const whole = world.disk.content(LOG_1)?.slice() ?? new Uint8Array(0);
    whole[3] = "2".charCodeAt(0);
    const disk = await diskWith({ [LOG_1]: whole });
    expect(await codeOfFailure(open(newWorld(disk)))).toBe("FORMAT_UNSUPPORTED");
  });

  it("replaces a long log by a snapshot and keeps history for watches", async () => {
    const world = newWorld();
    const engine = await open(world, 600);
    for (let i = 0; i < 60; i++) await put(engine, `k${i % 3}`, `v${i}`);
    expect(world.disk.paths()).toHaveLength(2);
    world.disk.crash({ mode: "lost" });
    const after = await open(world, 600);
    expect(contents(after)).toEqual({ k0: "v57", k1: "v58", k2: "v59" });
    expect(after.core.keyspace.commitsFrom(2, 61, 100)).toHaveLength(60);
  });

  it("refuses a damaged snapshot and a missing log (P7)", async () => {
    const world = newWorld();
    const engine = await open(world, 600);
    for (let i = 0; i < 30; i++) await put(engine, "k", `v${i}`);
    const [log = "", snapshot = ""] = world.disk.paths();
    const logBytes = world.disk.content(log) ?? new Uint8Array(0);
    const good = world.disk.content(snapshot) ?? new Uint8Array(0);
    for (let at = 0; at < good.length; at += 7) {
      const damaged = good.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const disk = await diskWith({ [log]: logBytes, [snapshot]: damaged });
      expect(["COORDINATOR_CORRUPT", "FORMAT_UNSUPPORTED"]).toContain(
        await codeOfFailure(open(newWorld(disk))),
      );
    }
    const alone = await diskWith({ [snapshot]: good });
    expect(await codeOfFailure(open(newWorld(alone)))).toBe("COORDINATOR_CORRUPT");
  });

  it("survives a crash at every disk operation of writes and rotations (P1)", async () => {
    const modes = ["lost", "kept", "random", "tornTail"] as const;
    for (let crashAt = 0; crashAt < 160; crashAt++) {
      const world = newWorld();
      const acknowledged = await runUntilCrash(world, crashAt);
      const mode = modes[crashAt % modes.length] ?? "lost";
      world.disk.crash({ mode, prng: createPrng(crashAt) });
      const after = contents(await open(world, 400));
      const value = Number(after["k"] ?? -1);
      expect(value, `crash at operation ${crashAt}, ${mode}`).toBeGreaterThanOrEqual(acknowledged);
      expect(value).toBeLessThanOrEqual(acknowledged + 1);
    }
  });

  it("gives leases their full time again after a restart", async () => {
    const world = newWorld();
    const engine = await open(world);
    const { ID } = await engine.change((core, now) => core.leaseGrant({ TTL: 2, ID: "0" }, now));
    await put(engine, "leased", "v", ID);
    await world.clock.tick(1900);
    world.disk.crash();
    await engine.close().catch(() => undefined);
    const after = await open(world);
    await world.clock.tick(1900);
    expect(contents(after)).toEqual({ leased: "v" });
    await world.clock.tick(200);
    expect(contents(after)).toEqual({});
  });

  it("never grants a lease id again, whatever was revoked and restarted between", async () => {
    const world = newWorld();
    const seen = new Set<string>();
    for (let life = 0; life < 5; life++) {
      const engine = await open(world, 300);
      for (let i = 0; i < 5; i++) {
        const { ID } = await engine.change((core, now) =>
          core.leaseGrant({ TTL: 5, ID: "0" }, now),
        );
        expect(seen.has(ID)).toBe(false);
        seen.add(ID);
        await engine.change((core, now) => core.leaseRevoke({ ID }, now));
      }
      world.disk.crash();
    }
  });

  it("waits out a full disk without losing or repeating a write (P10)", async () => {
    const world = newWorld();
    const engine = await open(world);
    world.disk.fail({ operation: "write", errno: "ENOSPC", times: 3 });
    const writing = put(engine, "k", "v");
    await world.clock.tick(400);
    await expect(put(engine, "refused", "v")).rejects.toThrow("database space exceeded");
    await world.clock.tick(1000);
    await writing;
    expect(contents(engine)).toEqual({ k: "v" });
    world.disk.crash();
    expect(contents(await open(world))).toEqual({ k: "v" });
  });

  it("acknowledges nothing after a failed sync, and says so once (P1)", async () => {
    const world = newWorld();
    const engine = await open(world);
    await put(engine, "k", "1");
    world.disk.fail({ operation: "sync", errno: "EIO", times: 1 });
    expect(await codeOfFailure(put(engine, "k", "2"))).toBe("DISK_FAILED");
    expect(await codeOfFailure(put(engine, "k", "3"))).toBe("DISK_FAILED");
    expect(world.failures).toHaveLength(1);
  });
});

/** Writes ascending numbers until the disk dies; answers with the last acknowledged. */
async function runUntilCrash(world: World, crashAt: number): Promise<number> {
  let operations = 0;
  let acknowledged = -1;
  world.disk.onOperation(() => {
    operations += 1;
    if (operations > crashAt) throw new Error("power lost");
  });
  try {
    const engine = await open(world, 400);
    for (let i = 0; i < 30; i++) {
      await put(engine, "k", String(i));
      acknowledged = i;
    }
  } catch (error) {
    if (!(error instanceof Error) || error.message !== "power lost") throw error;
  }
  world.disk.onOperation(undefined);
  return acknowledged;
}
