/**
 * A simulated site: an etcd, and CVMs that each have a disk and run a Stargate and a Cerebro as two
 * processes. The code is production's; what it stands on is simulated.
 */

import { toHex, utf8 } from "../../../services/base/bytes.ts";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import {
  type CvmConfig,
  type MemberConfig,
  parseCvmConfig,
} from "../../../services/base/siteConfig.ts";
import { MIB } from "../../../services/base/units.ts";
import { Cerebro } from "../../../services/cerebro/cerebro.ts";
import type { Clock } from "../../../services/platform/clock.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import type { Log } from "../../../services/platform/log.ts";
import type { Random } from "../../../services/platform/random.ts";
import { startStargate } from "../../../services/stargate/index.ts";
import type { OplogLimits } from "../../../services/stargate/oplog/limits.ts";
import type { FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import type { CrashMode } from "../../support/fakeFile.ts";
import { createFakeKeyIndexes, type FakeKeyIndexes } from "../../support/fakeKeyIndex.ts";
import type { FakeNetwork } from "../../support/fakeNetwork.ts";
import { createProcessClock, type ProcessClock } from "../../support/fakeProcessClock.ts";
import { createMemoryEtcd, type MemoryEtcd } from "../../support/memoryCoordinator.ts";
import type { Trace } from "../trace.ts";
import type { Life } from "./life.ts";
import { mortalNet, mortalRpc } from "./mortalNetwork.ts";
import {
  type ClockSkew,
  mortalClock,
  mortalCoordinator,
  mortalDisk,
  mortalIndexes,
} from "./mortalPorts.ts";
import { SimProcess } from "./process.ts";
import { seededSigner } from "./seededSigner.ts";
import type { WorldTap } from "./tap.ts";

const STARGATE_PORT = 2009;
const NBD_PORT = 10_809;
const CEREBRO_PORT = 2020;
const LEASE_TTL_MS = 2000;
/** Files small enough that a run fills many of them. */
const EGROUP_BYTES_MAX = MIB;
/** A CVM's clock has its skew already. */
const NO_SKEW: ClockSkew = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };
const SMALL_OPLOG: Partial<OplogLimits> = { segmentBytes: MIB, spareSegmentsMax: 1 };

/** What all sites share. */
export interface SharedWorld {
  readonly seed: number;
  /** Mean of a message to or from an etcd. */
  readonly etcdDelayMs: number;
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly codec: Codec;
  readonly log: Log;
  readonly trace: Trace;
  readonly tap: WorldTap | undefined;
  readonly onFailed: (process: string, error: unknown) => void;
}

export interface SitePlan {
  readonly name: string;
  readonly cvms: number;
  readonly diskBytes: number;
  readonly oplog: Partial<OplogLimits>;
  /** What Stargates keep in memory; production's by default. */
  readonly caches?: { readonly chunkBytesMax: number; readonly nodesMax: number };
  /** Clock of each CVM, by its number. */
  readonly skew: (cvm: number) => ClockSkew;
}

export interface SimCvm {
  readonly cvm: number;
  readonly disk: FakeDisk;
  readonly indexes: FakeKeyIndexes;
  /** The machine's clocks, which its processes share; they differ from the world's by `skew` and by what faults do. */
  readonly clock: ProcessClock;
  readonly skew: ClockSkew;
  readonly stargate: SimProcess;
  readonly cerebro: SimProcess;
  /** Both processes die, and what was not synced may be gone or torn. */
  powerLoss(mode: CrashMode, prng: Prng): void;
}

export interface SimSite {
  readonly name: string;
  readonly etcd: MemoryEtcd;
  /** How long a message to or from it takes on average, which may change; 0: never any time. */
  readonly etcdJourney: { meanMs: number };
  readonly members: readonly MemberConfig[];
  readonly cvms: readonly SimCvm[];
  /** All processes. */
  readonly processes: readonly SimProcess[];
  /** Starts everything that does not run. */
  start(): void;
}

/** A site with nothing running yet. */
export function createSite(shared: SharedWorld, plan: SitePlan): SimSite {
  const members = Array.from({ length: plan.cvms }, (_, i): MemberConfig => {
    const cvm = i + 1;
    const stargate = hostOf("stargate", plan.name, cvm);
    return {
      cvm,
      stargate: { host: stargate, port: STARGATE_PORT },
      nbd: { host: stargate, port: NBD_PORT },
      cerebro: { host: hostOf("cerebro", plan.name, cvm), port: CEREBRO_PORT },
    };
  });
  const journey = {
    meanMs: shared.etcdDelayMs,
    prng: createPrng(seedOf(shared.seed, `etcd ${plan.name}`)),
  };
  const etcd = createMemoryEtcd(shared.clock, shared.etcdDelayMs > 0 ? { journey } : {});
  const cvms = members.map(({ cvm }) => createCvm({ shared, plan, etcd, members, cvm }));
  const processes = cvms.flatMap(({ stargate, cerebro }) => [stargate, cerebro]);
  return {
    name: plan.name,
    etcd,
    etcdJourney: journey,
    members,
    cvms,
    processes,
    start() {
      for (const process of processes) process.start();
    },
  };
}

function hostOf(service: string, site: string, cvm: number): string {
  return `${service}-${site}-${cvm}`;
}

interface CvmWorld {
  readonly shared: SharedWorld;
  readonly plan: SitePlan;
  readonly etcd: MemoryEtcd;
  readonly members: readonly MemberConfig[];
  readonly cvm: number;
  readonly clock: ProcessClock;
}

function createCvm(place: Omit<CvmWorld, "clock">): SimCvm {
  const { shared, plan, cvm } = place;
  const skew = plan.skew(cvm);
  const clock = machineClock(shared, skew, `clock-${plan.name}-${cvm}`);
  const world: CvmWorld = { ...place, clock };
  const disk = createFakeDisk({ capacityBytes: plan.diskBytes });
  const indexes = createFakeKeyIndexes();
  const processWorld = { ...shared, etcd: world.etcd };
  const stargate = new SimProcess({
    name: hostOf("stargate", plan.name, cvm),
    world: processWorld,
    start: async ({ life, host, etcd, fail }) => {
      await startStargate({
        ...portsOf(world, life),
        coordinator: mortalCoordinator(etcd, life),
        disk: mortalDisk(disk, life),
        indexes: mortalIndexes(indexes, life),
        net: mortalNet(host.net, life),
        rpc: mortalRpc(host.rpc, life),
        sizes: { oplog: { ...SMALL_OPLOG, ...plan.oplog }, egroupBytesMax: EGROUP_BYTES_MAX },
        ...(plan.caches && { caches: plan.caches }),
        onDiskFailed: fail,
        onBug: fail,
      });
    },
    onEnded: () => {
      disk.killProcess();
      indexes.killProcess();
    },
  });
  const cerebro = new SimProcess({
    name: hostOf("cerebro", plan.name, cvm),
    world: processWorld,
    start: async ({ life, host, etcd, fail }) => {
      const ports = portsOf(world, life);
      const site = {
        ...ports,
        coordinator: mortalCoordinator(etcd, life),
        rpc: mortalRpc(host.rpc, life),
        signer: seededSigner(createPrng(seedOf(shared.seed, `${life.name}/key`))),
      };
      await Cerebro.start({ site, onBug: fail });
    },
    onEnded: () => undefined,
  });
  return {
    cvm,
    disk,
    indexes,
    clock,
    skew,
    stargate,
    cerebro,
    powerLoss(mode, prng) {
      stargate.kill();
      cerebro.kill();
      disk.crash({ mode, prng });
      indexes.crash(prng);
    },
  };
}

function machineClock(shared: SharedWorld, skew: ClockSkew, purpose: string): ProcessClock {
  const clock = createProcessClock({
    world: shared.clock,
    prng: createPrng(seedOf(shared.seed, purpose)),
    startMs: shared.clock.now() + skew.offsetMs,
    wallOffsetMs: skew.wallOffsetMs(),
  });
  if (skew.rate !== 1) clock.drift(skew.rate - 1);
  return clock;
}

interface CommonPorts {
  readonly config: CvmConfig;
  readonly clock: Clock;
  readonly codec: Codec;
  readonly log: Log;
  readonly random: Random;
}

function portsOf({ shared, plan, members, cvm, clock }: CvmWorld, life: Life): CommonPorts {
  // A process that starts again draws other numbers than its earlier self.
  const prng = createPrng(seedOf(shared.seed, `${life.name}/${shared.trace.count}`));
  return {
    config: parseCvmConfig({
      site: plan.name,
      siteIncarnation: incarnationOf(plan.name),
      cvm,
      dataFolder: "/",
      coordinator: [{ host: `etcd-${plan.name}`, port: 2379 }],
      leaseTtlMs: LEASE_TTL_MS,
      members,
      logLevel: "debug",
    }),
    clock: mortalClock(clock, life, NO_SKEW),
    codec: shared.codec,
    log: shared.log.child({ process: life.name }),
    random: { bytes: (length) => prng.fill(new Uint8Array(length)) },
  };
}

/** 32 hexadecimal digits that tell one site from another. */
export function incarnationOf(site: string): string {
  return toHex(utf8(site)).padEnd(32, "0");
}

/** A seed for one purpose. */
export function seedOf(seed: number, purpose: string): number {
  let mixed = seed | 0;
  for (const letter of purpose) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x01000193);
  return mixed >>> 0;
}
