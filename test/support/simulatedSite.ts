/**
 * A whole site in one process and virtual time: production Stargates over fake disks, a fake network
 * and an etcd in memory. CVMs are killed, lose power, are cut off and started again; a client talks
 * NBD to them as a real one would. One seed gives one execution.
 */

import { wallMs } from "../../services/base/ids.ts";
import { createPrng, type Prng } from "../../services/base/prng.ts";
import type { CvmConfig, MemberConfig } from "../../services/base/siteConfig.ts";
import { MIB } from "../../services/base/units.ts";
import { connectNbd, type NbdClient } from "../../services/guest/index.ts";
import { createCodec } from "../../services/platform/adapters/codec.ts";
import type { Clock, Timer } from "../../services/platform/clock.ts";
import type { Codec } from "../../services/platform/codec.ts";
import { VdiskService } from "../../services/platform/wire/stargate.ts";
import { type Stargate, startStargate } from "../../services/stargate/index.ts";
import type { OplogLimits } from "../../services/stargate/oplog/limits.ts";
import { createFakeClock, type FakeClock } from "./fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "./fakeDisk.ts";
import { createFakeKeyIndexes, type FakeKeyIndexes } from "./fakeKeyIndex.ts";
import { createFakeLog, type FakeLog } from "./fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "./fakeNetwork.ts";
import { createMemoryEtcd, type MemoryConnection, type MemoryEtcd } from "./memoryCoordinator.ts";

const CALL_MS = 10_000;
const RESTART_MS = 1000;
/** Files small enough that a run fills many of them. */
const SMALL = { oplog: { segmentBytes: MIB, spareSegmentsMax: 1 }, egroupBytesMax: MIB };
const DISK_BYTES = 256 * MIB;
const CLIENT_HOST = "10.0.0.200";

interface Cvm {
  readonly config: CvmConfig;
  readonly disk: FakeDisk;
  readonly indexes: FakeKeyIndexes;
  process: RunningProcess | undefined;
}

interface RunningProcess {
  readonly clock: MortalClock;
  readonly etcd: MemoryConnection;
  stargate: Stargate | undefined;
  failure: unknown;
}

/** A process's view of time: after its death no timer of it fires any more. */
interface MortalClock extends Clock {
  die(): void;
}

export interface SimulatedSite {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly etcd: MemoryEtcd;
  readonly log: FakeLog;
  readonly prng: Prng;
  readonly cvms: readonly number[];
  /** Starts a CVM's Stargate; resolves at once, it becomes ready in virtual time. */
  start(cvm: number): void;
  isRunning(cvm: number): boolean;
  /** `kill -9`: what was written is there, what was in memory is not. */
  kill(cvm: number): void;
  /** Power loss: what was not synced may be gone or torn. */
  powerLoss(cvm: number): void;
  /** Cuts the CVM from its etcd, or heals that. */
  cutEtcd(cvm: number, isCut: boolean): void;
  /** The CVM's watches tell nothing any more, or go on. */
  blindWatches(cvm: number, areBlind: boolean): void;
  hostOf(cvm: number): string;
  /** The CVM's disk, to damage it. */
  diskOf(cvm: number): FakeDisk;
  /** Waits for the promise while virtual time passes. */
  wait<T>(work: Promise<T>, limitMs?: number): Promise<T>;
  openDisk(exportName: string, cvm: number): Promise<NbdClient>;
  createVdisk(name: string, sizeBytes: number, replicationFactor: number): Promise<void>;
  /** Ends everything, so that nothing keeps running. */
  end(): void;
}

/** Makes a site; nothing runs yet. */
export async function simulatedSite(options: {
  readonly seed: number;
  readonly cvms: number;
  /** Limits of every CVM's oplog; those that are left out suit small disks. */
  readonly oplog?: Partial<OplogLimits>;
}): Promise<SimulatedSite> {
  const clock = createFakeClock();
  const log = createFakeLog();
  const network = createFakeNetwork({ clock, log });
  const etcd = createMemoryEtcd(clock);
  const codec = await createCodec();
  const prng = createPrng(options.seed);
  const members: readonly MemberConfig[] = Array.from({ length: options.cvms }, (_, i) => ({
    cvm: i + 1,
    stargate: { host: `10.0.0.${i + 1}`, port: 2009 },
    nbd: { host: `10.0.0.${i + 1}`, port: 10809 },
    cerebro: { host: `10.0.0.${i + 1}`, port: 2020 },
  }));
  for (const a of members)
    for (const b of members)
      if (a.cvm < b.cvm) network.setDelay(a.stargate.host, b.stargate.host, 0.2);
  const cvms = new Map<number, Cvm>(
    members.map((member) => [member.cvm, makeCvm(member.cvm, members)]),
  );
  const cvmOf = (cvm: number): Cvm => {
    const found = cvms.get(cvm);
    if (found === undefined) throw new Error(`no CVM ${cvm}`);
    return found;
  };
  const hostOf = (cvm: number): string => `10.0.0.${cvm}`;
  const stopProcess = (cvm: number): void => {
    const one = cvmOf(cvm);
    one.process?.clock.die();
    one.process?.etcd.cut();
    one.process = undefined;
    network.kill(hostOf(cvm));
  };
  const wait = async <T>(work: Promise<T>, limitMs = 120_000): Promise<T> => {
    let settled = false;
    const noticed = work.then(
      () => (settled = true),
      () => (settled = true),
    );
    await clock.tickUntil(() => settled, limitMs);
    await noticed;
    return work;
  };

  const site: SimulatedSite = {
    clock,
    network,
    etcd,
    log,
    prng,
    cvms: members.map((member) => member.cvm),
    hostOf,
    diskOf: (cvm) => cvmOf(cvm).disk,
    wait,
    isRunning: (cvm) => cvmOf(cvm).process?.stargate !== undefined,
    start(cvm) {
      const one = cvmOf(cvm);
      if (one.process !== undefined) return;
      // As main.ts and genesis do: the process ends, and is started again a little later.
      const onDiskFailed = (): void => {
        site.kill(cvm);
        clock.after(RESTART_MS, () => {
          site.start(cvm);
        });
      };
      one.process = startProcess({
        cvm: one,
        clock,
        codec,
        etcd,
        log,
        network,
        prng,
        onDiskFailed,
        sizes: { ...SMALL, oplog: { ...SMALL.oplog, ...options.oplog } },
      });
    },
    kill(cvm) {
      stopProcess(cvm);
      cvmOf(cvm).disk.killProcess();
      cvmOf(cvm).indexes.killProcess();
    },
    powerLoss(cvm) {
      stopProcess(cvm);
      cvmOf(cvm).disk.crash({ prng });
      cvmOf(cvm).indexes.crash(prng);
    },
    cutEtcd(cvm, isCut) {
      const connection = cvmOf(cvm).process?.etcd;
      if (isCut) connection?.cut();
      else connection?.heal();
    },
    blindWatches(cvm, areBlind) {
      cvmOf(cvm).process?.etcd.blindWatches(areBlind);
    },
    openDisk: (exportName, cvm) =>
      connectNbd(
        { net: network.host(CLIENT_HOST).net, clock },
        { address: { host: hostOf(cvm), port: 10809 }, exportName },
      ),
    async createVdisk(name, sizeBytes, replicationFactor) {
      const client = network.host(CLIENT_HOST).rpc.connect({ host: hostOf(1), port: 2009 });
      const deadline = { deadlineMs: CALL_MS };
      const container = `rf${replicationFactor}`;
      const { containers } = await wait(client.unary(VdiskService.listContainers, {}, deadline));
      if (!containers.some((one) => one.name === container))
        await wait(
          client.unary(
            VdiskService.createContainer,
            { name: container, replicationFactor, compression: true },
            deadline,
          ),
        );
      await wait(
        client.unary(
          VdiskService.createVdisk,
          { name, container, sizeBytes, root: "", source: "" },
          deadline,
        ),
      );
    },
    end() {
      for (const cvm of cvms.keys()) stopProcess(cvm);
    },
  };
  return site;
}

function makeCvm(cvm: number, members: readonly MemberConfig[]): Cvm {
  return {
    config: {
      site: "A",
      siteIncarnation: "00112233445566778899aabbccddeeff",
      cvm,
      dataFolder: "/",
      coordinator: [{ host: "10.0.0.100", port: 2379 }],
      leaseTtlMs: 2000,
      members,
      logLevel: "info",
    },
    disk: createFakeDisk({ capacityBytes: DISK_BYTES }),
    indexes: createFakeKeyIndexes(),
    process: undefined,
  };
}

function startProcess(world: {
  readonly cvm: Cvm;
  readonly clock: Clock;
  readonly codec: Codec;
  readonly etcd: MemoryEtcd;
  readonly log: FakeLog;
  readonly network: FakeNetwork;
  readonly prng: Prng;
  readonly onDiskFailed: () => void;
  readonly sizes: typeof SMALL;
}): RunningProcess {
  const { cvm, prng } = world;
  const clock = mortalClock(world.clock);
  const host = world.network.host(`10.0.0.${cvm.config.cvm}`);
  const process: RunningProcess = {
    clock,
    etcd: world.etcd.connect(),
    stargate: undefined,
    failure: undefined,
  };
  startStargate({
    config: cvm.config,
    clock,
    codec: world.codec,
    coordinator: process.etcd,
    disk: cvm.disk,
    indexes: cvm.indexes,
    log: world.log.child({ cvm: cvm.config.cvm }),
    net: host.net,
    random: { bytes: (length) => prng.fill(new Uint8Array(length)) },
    rpc: host.rpc,
    sizes: world.sizes,
    onDiskFailed: world.onDiskFailed,
    onBug: (error) => {
      world.clock.after(0, () => {
        throw error;
      });
    },
  }).then(
    (stargate) => {
      process.stargate = stargate;
    },
    (error: unknown) => {
      process.failure = error;
      if (cvm.process === process)
        world.log.error(
          { event: "sim.startFailed", cvm: cvm.config.cvm, err: error },
          "a stargate did not start",
        );
    },
  );
  return process;
}

function mortalClock(real: Clock): MortalClock {
  let dead = false;
  const never = <T>(): Promise<T> => new Promise<T>(() => undefined);
  const after = (delayMs: number, callback: () => void): Timer =>
    real.after(delayMs, () => {
      if (!dead) callback();
    });
  return {
    now: () => real.now(),
    // Whole milliseconds, as a real one; delays in the simulated network are shorter.
    wall: () => wallMs(Math.floor(real.wall())),
    after,
    async sleep(delayMs, signal) {
      await real.sleep(delayMs, signal);
      if (dead) await never();
    },
    async yield() {
      await real.yield();
      if (dead) await never();
    },
    die() {
      dead = true;
    },
  };
}
