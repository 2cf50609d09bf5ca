/**
 * The programs of a simulated machine: each composes its service as `services/SERVICE/main.ts` does, from
 * the same classes, over ports that are simulated and pass the life of its process. There is one for
 * every service that a lab starts.
 */

import { createPrng } from "../../../services/base/prng.ts";
import { parseCvmConfig } from "../../../services/base/siteConfig.ts";
import { MIB } from "../../../services/base/units.ts";
import { Cerebro } from "../../../services/cerebro/cerebro.ts";
import { parseEtcdConfig } from "../../../services/etcd/config.ts";
import { EtcdEngine, etcdBindings } from "../../../services/etcd/index.ts";
import { genesisBindings } from "../../../services/genesis/bindings.ts";
import { DiskOrders } from "../../../services/genesis/diskOrders.ts";
import { parseLayout } from "../../../services/genesis/index.ts";
import { answers } from "../../../services/genesis/probes.ts";
import { ServiceFaults } from "../../../services/genesis/serviceFaults.ts";
import { Supervisor } from "../../../services/genesis/supervisor.ts";
import { createCoordinator } from "../../../services/platform/adapters/coordinator.ts";
import type { Clock } from "../../../services/platform/clock.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import type { Disk } from "../../../services/platform/disk.ts";
import {
  DISK_FAULTS_VARIABLE,
  failingDisk,
  parseDiskFault,
} from "../../../services/platform/diskFaults.ts";
import { FaultLeases } from "../../../services/platform/faultLeases.ts";
import type { Log } from "../../../services/platform/log.ts";
import type { Net } from "../../../services/platform/net.ts";
import type { Processes } from "../../../services/platform/processes.ts";
import type { Random } from "../../../services/platform/random.ts";
import type { Rpc } from "../../../services/platform/rpc.ts";
import { startStargate } from "../../../services/stargate/index.ts";
import { wanBindings } from "../../../services/wan/bindings.ts";
import { parseWanConfig } from "../../../services/wan/index.ts";
import { linkFaultKind } from "../../../services/wan/linkFaults.ts";
import { Wan } from "../../../services/wan/wan.ts";
import type { FakeDisk } from "../../support/fakeDisk.ts";
import type { FakeKeyIndexes } from "../../support/fakeKeyIndex.ts";
import type { Life } from "../world/life.ts";
import { mortalDisk, mortalIndexes } from "../world/mortalPorts.ts";
import { seededSigner } from "../world/seededSigner.ts";
import { seedOf } from "../world/site.ts";
import type { Carrier } from "./links.ts";
import type { Program, ProgramParts } from "./machineProcess.ts";

/** Files small enough that a run fills many of them. */
const SIZES = { oplog: { segmentBytes: 2 * MIB, spareSegmentsMax: 1 }, egroupBytesMax: 2 * MIB };
/** The log of etcd lies in this folder of its data folder, as main.ts has it. */
const ETCD_FOLDER = "wal";

/** What the machine gives its programs. */
export interface ProgramWorld {
  readonly seed: number;
  readonly codec: Codec;
  readonly log: Log;
  readonly clockOf: (life: Life) => Clock;
  readonly rpcOf: (parts: ProgramParts) => Rpc;
  readonly netOf: (parts: ProgramParts) => Net;
  readonly processesOf: (life: Life) => Processes;
  /** The configuration: the last argument's file. */
  readonly configOf: (parts: ProgramParts) => unknown;
  readonly content: (path: string) => Uint8Array | undefined;
  readonly mount: (path: string) => FakeDisk;
  readonly indexesAt: (path: string) => FakeKeyIndexes;
  readonly carriedBy: (carrier: Carrier | undefined) => void;
}

interface Ports {
  readonly clock: Clock;
  readonly rpc: Rpc;
  readonly log: Log;
  readonly random: Random;
}

function portsOf(world: ProgramWorld, parts: ProgramParts): Ports {
  const { name } = parts.life;
  // A process that starts again draws other numbers than its earlier self.
  const prng = createPrng(seedOf(world.seed, `${name}/${parts.handle.pid}`));
  return {
    clock: world.clockOf(parts.life),
    rpc: world.rpcOf(parts),
    log: world.log.child({ process: name }),
    random: { bytes: (length) => prng.fill(new Uint8Array(length)) },
  };
}

/** The process's own disk, which obeys orders as adapters/faultableDisk.ts does. */
function diskOf(world: ProgramWorld, parts: ProgramParts, folder: string, clock: Clock): Disk {
  const disk = mortalDisk(world.mount(folder), parts.life);
  const orders = parts.request.env[DISK_FAULTS_VARIABLE];
  if (orders === undefined) return disk;
  const ordered = (): ReturnType<typeof parseDiskFault> | undefined => {
    const text = world.content(orders);
    return text === undefined ? undefined : parseDiskFault(text);
  };
  return failingDisk(disk, ordered, clock);
}

const stargate =
  (world: ProgramWorld): Program =>
  async (parts) => {
    const config = parseCvmConfig(world.configOf(parts));
    const folder = `${config.dataFolder}/stargate`;
    const { clock, rpc, log, random } = portsOf(world, parts);
    const indexes = world.indexesAt(folder);
    const disk = diskOf(world, parts, folder, clock);
    parts.onDead(() => {
      world.mount(folder).killProcess();
      indexes.killProcess();
    });
    await disk.makeFolder("");
    const service = await startStargate({
      ...{ config, clock, rpc, log, random, disk, codec: world.codec },
      coordinator: createCoordinator({ rpc, clock, log, endpoints: config.coordinator }),
      indexes: mortalIndexes(indexes, parts.life),
      net: world.netOf(parts),
      sizes: SIZES,
      onDiskFailed: parts.fail,
      onBug: parts.fail,
    });
    return { close: () => service.close() };
  };

const cerebro =
  (world: ProgramWorld): Program =>
  async (parts) => {
    const config = parseCvmConfig(world.configOf(parts));
    const { clock, rpc, log, random } = portsOf(world, parts);
    const coordinator = createCoordinator({ rpc, clock, log, endpoints: config.coordinator });
    const signer = seededSigner(createPrng(seedOf(world.seed, `${parts.life.name}/key`)));
    const site = { config, coordinator, rpc, clock, random, codec: world.codec, signer, log };
    const service = await Cerebro.start({ site, onBug: parts.fail });
    return {
      async close() {
        await service.close();
        await coordinator.close();
      },
    };
  };

const etcd =
  (world: ProgramWorld): Program =>
  async (parts) => {
    const config = parseEtcdConfig(world.configOf(parts));
    const { clock, rpc, log, random } = portsOf(world, parts);
    parts.onDead(() => {
      world.mount(config.dataFolder).killProcess();
    });
    const engine = await EtcdEngine.open({
      disk: diskOf(world, parts, config.dataFolder, clock),
      ...{ clock, random, log, checksum: world.codec, folder: ETCD_FOLDER },
      onFailed: parts.fail,
    });
    const server = await rpc.serve(config.listen, etcdBindings(engine));
    return {
      async close() {
        await server.close();
        await engine.close();
      },
    };
  };

/** No passages: what they carry goes over the same links as calls (links.ts). */
const wan =
  (world: ProgramWorld): Program =>
  async (parts) => {
    const config = parseWanConfig(world.configOf(parts));
    const { clock, rpc, log } = portsOf(world, parts);
    const state = mortalDisk(world.mount(config.stateFolder), parts.life);
    const links = config.links.map((link) => ({ ...link, passages: [] }));
    const service = await Wan.start(
      { ...config, links },
      { clock, log, state, net: world.netOf(parts), onFailure: parts.fail },
    );
    const faults = await FaultLeases.open({ clock, disk: state, log }, linkFaultKind(service));
    const server = await rpc.serve(config.admin, wanBindings(service, faults));
    world.carriedBy({ life: parts.life, linkOf: (name) => service.link(name) });
    parts.onDead(() => {
      world.carriedBy(undefined);
    });
    return {
      async close() {
        faults.close();
        await Promise.all([server.close(), service.close()]);
      },
    };
  };

const genesis =
  (world: ProgramWorld): Program =>
  async (parts) => {
    const layout = parseLayout(world.configOf(parts));
    const { clock, rpc, log } = portsOf(world, parts);
    const net = world.netOf(parts);
    const processes = world.processesOf(parts.life);
    const records = mortalDisk(world.mount(layout.stateFolder), parts.life);
    await records.makeFolder("");
    const supervisor = new Supervisor(layout, {
      ...{ clock, processes, records, log, environment: {} },
      answers: (kind, address) => answers({ net, rpc }, kind, address),
      onFailure: parts.fail,
    });
    const disks = new DiskOrders(layout.services, records);
    const faults = await ServiceFaults.open({ clock, disk: records, log }, { supervisor, disks });
    const onShutdown = (): void => {
      clock.after(0, parts.end);
    };
    const server = await rpc.serve(
      layout.admin,
      genesisBindings({ supervisor, faults, processes, self: parts.handle, onShutdown }),
    );
    supervisor.boot().catch(parts.fail);
    return {
      async close() {
        faults.close();
        await supervisor.shutdown();
        await server.close();
      },
    };
  };

/** By the name of the service. */
export function programs(world: ProgramWorld): Readonly<Record<string, Program>> {
  return {
    stargate: stargate(world),
    cerebro: cerebro(world),
    etcd: etcd(world),
    wan: wan(world),
    genesis: genesis(world),
  };
}
