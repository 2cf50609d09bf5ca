/**
 * The workload against block stores that are good, die, and lie, in virtual time: what it records is
 * what it was told, so correct stores pass every checker that applies, and each lie is found.
 */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { emptyLedger } from "../../../services/base/ledger.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { BLOCK_BYTES } from "../../../services/guest/index.ts";
import { createNbdServer } from "../../../services/stargate/nbd/server.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "../../support/fakeNetwork.ts";
import { createMemoryDevice, createMemoryDevices } from "../../support/memoryDevice.ts";
import type { PointReading, RunRecord, SlotReader, Verdict } from "../check/contracts.ts";
import { checkDurability } from "../check/durability.ts";
import { ImageStore } from "../check/image.ts";
import { checkPointPrefixes } from "../check/pointPrefix.ts";
import { checkReads } from "../check/reads.ts";
import { checkReplicas } from "../check/replicas.ts";
import { GroupLoad, type LoadPlan, type Pace } from "./groupLoad.ts";
import type { Moments } from "./moments.ts";
import { OperatorLoad, type OperatorPort } from "./operatorLoad.ts";

const SLOTS = 32;
const HOSTS = ["a", "b"] as const;
const VDISKS = ["v0", "v1", "v2"].map((name, id) => ({ id, name, slots: SLOTS }));
const PACES: Readonly<Record<string, Pace>> = {
  closed: { kind: "closed", thinkMs: 5 },
  open: { kind: "open", ratePerSecond: 400 },
};

interface Store {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly moments: Moments;
  readonly errors: string[];
  readonly load: GroupLoad;
  /** Reads the devices themselves. */
  readonly read: SlotReader;
  /** Serves all vDisks at a host. */
  serve(host: string): Promise<void>;
  write(vdiskId: number, lba: number, block: Uint8Array): Promise<void>;
  run<T>(work: Promise<T>): Promise<T>;
}

/** Two servers over the same devices, as two front-ends would be. */
async function makeStore(plan: Partial<LoadPlan> = {}): Promise<Store> {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  for (const host of HOSTS) network.setDelay("guest", host, 0.3);
  const log = createFakeLog();
  const devices = VDISKS.map(() => createMemoryDevice({ sizeBytes: SLOTS * BLOCK_BYTES }));
  const serve = async (host: string): Promise<void> => {
    const exported = createMemoryDevices(
      Object.fromEntries(VDISKS.map(({ id, name }) => [name, deviceOf(id)])),
    );
    const { net } = network.host(host);
    await createNbdServer({ net, clock, log, devices: exported }).listen({ host, port: 10809 });
  };
  const deviceOf = (id: number): (typeof devices)[number] => {
    const device = devices[id];
    if (device === undefined) throw new Error(`no device ${id}`);
    return device;
  };
  let order = 0;
  const errors: string[] = [];
  const moments: Moments = {
    instant: () => ({ ms: clock.now(), order: ++order }),
    error(_actor, _operation, error) {
      if (!(error instanceof AntipodeError)) throw error;
      errors.push(error.code);
      return error;
    },
  };
  const { net } = network.host("guest");
  const load = new GroupLoad(
    { net, clock, disk: createFakeDisk(), log, moments },
    {
      ...{ pd: "pd", generation: 1, site: "A", runId: 42, cgId: 1, basePointId: undefined },
      ...{ vdisks: VDISKS, seed: 5, depth: 6, pace: { kind: "closed", thinkMs: 5 } },
      ...{ readers: 2, readEveryMs: 10, ioTimeoutMs: 400 },
      targetsOf: ({ name }) =>
        HOSTS.map((host) => ({ address: { host, port: 10809 }, exportName: name })),
      ...plan,
    },
  );
  for (const host of HOSTS) await serve(host);
  return {
    ...{ clock, network, moments, errors, load, serve },
    async read({ vdiskId, lba }) {
      const parts = await deviceOf(vdiskId).read(lba * BLOCK_BYTES, BLOCK_BYTES);
      return parts[0] ?? new Uint8Array(BLOCK_BYTES);
    },
    write: (vdiskId, lba, block) => deviceOf(vdiskId).write(lba * BLOCK_BYTES, block),
    async run(work) {
      let isSettled = false;
      const settle = (): void => {
        isSettled = true;
      };
      work.then(settle, settle);
      await clock.tickUntil(() => isSettled, 60_000);
      return work;
    },
  };
}

function recordOf(store: Store, more: Partial<RunRecord> = {}): RunRecord {
  const final = { runId: 42, at: store.moments.instant(), read: store.read };
  return {
    ...{ seed: 5, branches: [store.load.branch()], reads: store.load.reads, finals: [final] },
    ...{ points: [], readings: [], replications: [], acceptances: [], activations: [] },
    ...{ catalogues: [], deletedPointIds: [] },
    ...{ faults: [], errors: [], convergences: [] },
    ...more,
  };
}

describe.each(Object.entries(PACES))("a load in a %s loop", (_name, pace) => {
  it("records what it was told, so that a good store passes (P1)", async () => {
    const store = await makeStore({ pace });
    store.load.start();
    await store.clock.tick(1000);
    await store.run(store.load.stop());
    expect(store.errors).toEqual([]);
    expect(store.load.acknowledged).toBeGreaterThan(100);
    const { writes } = store.load.branch();
    expect(writes.every(({ outcome }) => outcome === "acknowledged")).toBe(true);
    expect(new Set(writes.map(({ vdiskId }) => vdiskId)).size).toBe(3);
    expect(Math.max(...writes.map(({ version }) => version))).toBeGreaterThan(1);
    const record = recordOf(store);
    expect((await checkDurability(record)).verdict).toBe("held");
    const reads = await checkReads(record);
    expect(reads.verdict).toBe("held");
    expect(reads.examined).toBeGreaterThan(50);
  });

  it("goes on over front-ends that die, and what it was not told is indeterminate (P1)", async () => {
    const store = await makeStore({ pace });
    // Slow enough that a death always meets writes on their way.
    for (const host of HOSTS) store.network.setDelay("guest", host, 5);
    store.load.start();
    for (let round = 0; round < 6; round++) {
      await store.clock.tick(300);
      const host = HOSTS[round % 2] ?? "a";
      store.network.kill(host);
      await store.clock.tick(300);
      await store.serve(host);
    }
    await store.run(store.load.stop());
    const outcomes = store.load.branch().writes.map(({ outcome }) => outcome);
    expect(outcomes).toContain("indeterminate");
    expect(store.errors.length).toBeGreaterThan(0);
    const record = recordOf(store);
    expect((await checkDurability(record)).text).toContain("examined");
    expect((await checkReads(record)).text).toContain("examined");
  });
});

describe("a load", () => {
  it("shows a store that forgets an acknowledged write (P1)", async () => {
    const store = await makeStore();
    store.load.start();
    await store.clock.tick(500);
    await store.run(store.load.stop());
    const last = store.load.branch().writes.at(-1);
    if (last === undefined) throw new Error("nothing was written");
    await store.write(last.vdiskId, last.lba, new Uint8Array(BLOCK_BYTES));
    const verdict = await checkDurability(recordOf(store));
    expect(verdict.witness?.kind).toBe("lost-write");
    expect(verdict.witness?.against.gseq).toBe(last.gseq);
  });

  it("makes the same history from the same seed, and another from another", async () => {
    const history = async (seed: number): Promise<unknown> => {
      const store = await makeStore({ seed });
      store.load.start();
      await store.clock.tick(300);
      await store.run(store.load.stop());
      return [store.load.branch(), store.load.reads];
    };
    const first = await history(1);
    expect(await history(1)).toEqual(first);
    expect(await history(2)).not.toEqual(first);
  });
});

/** Cuts by copying the devices: at one instant, or one vDisk after the other. */
async function operate(
  seed: number,
  cut: "at one instant" | "one after the other",
): Promise<{ operator: OperatorLoad; verdicts: readonly Verdict[] }> {
  const store = await makeStore({ seed });
  const images = new ImageStore();
  const content = new Map<string, SlotReader>();
  let cuts = 0;
  const readings: PointReading[] = [];
  const show = (pointId: string, site: string): void => {
    const read = content.get(pointId);
    if (read === undefined) throw new AntipodeError("RECOVERY_POINT_NOT_FOUND", "no such point");
    readings.push({ pointId, site, at: store.moments.instant(), vdisks: rootsOf(pointId), read });
  };
  const port: OperatorPort = {
    async snapshot() {
      cuts += 1;
      const id = `point-${cuts}`;
      await store.clock.sleep(2);
      const parts: SlotReader[] = [];
      for (const vdisk of VDISKS) {
        parts.push(await images.capture([vdisk], store.read));
        if (cut === "one after the other") await store.clock.sleep(20);
      }
      content.set(id, (slot) => (parts[slot.vdiskId] ?? store.read)(slot));
      show(id, "A");
      return { id, name: id, vdisks: rootsOf(id) };
    },
    async replicate(pointId, targetSite) {
      await store.clock.sleep(30);
      show(pointId, targetSite);
      const sites = { sourceSite: "A", targetSite, jobId: pointId };
      return { ...sites, outcome: "completed", ledger: emptyLedger };
    },
    deletePoint(pointId) {
      const error = new AntipodeError("RECOVERY_POINT_NOT_FOUND", "no such point");
      return content.delete(pointId) ? Promise.resolve() : Promise.reject(error);
    },
    look: () => Promise.resolve(),
    activate: (_site, pointId) => Promise.resolve({ generation: 2, pointId }),
  };
  const operator = new OperatorLoad({
    ...{ world: store, port, prng: createPrng(seed) },
    plan: {
      branch: { pd: "pd", runId: 42, site: "A" },
      targets: ["B", "C"],
      everyMs: 40,
      weights: { snapshot: 5, replicate: 4, delete: 1 },
    },
  });
  store.load.start();
  const stop = new AbortController();
  const operating = operator.run(stop.signal);
  await store.clock.tick(1500);
  stop.abort();
  await store.run(operating);
  await operator.activate("B", [...operator.live][0] ?? "", "planned");
  await store.run(store.load.stop());
  const record = recordOf(store, { points: operator.points, readings });
  return { operator, verdicts: [await checkPointPrefixes(record), await checkReplicas(record)] };
}

function rootsOf(pointId: string): { vdiskId: number; root: string; sizeBytes: number }[] {
  const sizeBytes = SLOTS * BLOCK_BYTES;
  return VDISKS.map(({ id }) => ({ vdiskId: id, root: `${pointId}-${id}`, sizeBytes }));
}

describe("an operator", () => {
  it.each([1, 2])(
    "takes points that pass when cuts are instants, seed %i (P2, P3)",
    async (seed) => {
      const { operator, verdicts } = await operate(seed, "at one instant");
      expect(verdicts.map(({ text }) => text.split(" ").slice(1).join(" "))).toEqual([
        "readings of recovery points examined",
        "readings of recovery points examined",
      ]);
      expect(operator.points.length).toBeGreaterThan(5);
      expect(operator.replications.length).toBeGreaterThan(3);
      expect(operator.live.size).toBeLessThan(operator.points.length);
      expect(operator.activations).toMatchObject([{ generation: 2, site: "B", isPlanned: true }]);
    },
  );

  it.each([1, 2])("shows a cut that is not one instant, seed %i (P2)", async (seed) => {
    const { verdicts } = await operate(seed, "one after the other");
    expect(verdicts[0]?.witness?.kind).toBe("not-a-prefix");
    expect(verdicts[0]?.witness?.found.vdisk).not.toBe(verdicts[0]?.witness?.against.vdisk);
  });
});
