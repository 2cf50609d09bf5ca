/**
 * One CVM's Stargate put together from its ports: the same for a process, a container or a simulated
 * world. Order of start: local files first (they tell what this CVM has promised), then the RPC server
 * (peers may ask), then etcd's view and the liveness key, last the front-end.
 */

import { toHex, utf8 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { type CvmConfig, ownMember } from "../base/siteConfig.ts";
import { LEADER_ROLE, siteKeys } from "../base/siteRecords.ts";
import type { Clock } from "../platform/clock.ts";
import type { Codec } from "../platform/codec.ts";
import { readIncarnation } from "../platform/coordination/election.ts";
import { startProcessLease } from "../platform/coordination/processLease.ts";
import type { Coordinator } from "../platform/coordinator.ts";
import type { Disk } from "../platform/disk.ts";
import type { KeyIndexes } from "../platform/keyIndex.ts";
import type { Log } from "../platform/log.ts";
import type { Net } from "../platform/net.ts";
import type { Random } from "../platform/random.ts";
import type { Rpc, RpcClient } from "../platform/rpc.ts";
import { createBlockMap } from "./blockmap/blockMap.ts";
import { watchDisk } from "./diskWatch.ts";
import { EXTENTS_FOLDER } from "./extents/atlas.ts";
import { chunkBindings } from "./extents/chunkBindings.ts";
import { createChunkSpace } from "./extents/chunkSpace.ts";
import { type LocalStore, openLocalStore } from "./extents/localStore.ts";
import { placementOrder, separateMember } from "./extents/placement.ts";
import { createNbdServer } from "./nbd/server.ts";
import type { OplogReplicas } from "./oplog/contracts.ts";
import type { OplogLimits } from "./oplog/limits.ts";
import { openOplog } from "./oplog/oplog.ts";
import { createPeerLink, type PeerLink } from "./oplog/peerLink.ts";
import { createPeerServer } from "./oplog/peerServer.ts";
import { receiveBindings } from "./replication/receive.ts";
import { rootBindings } from "./replication/rootService.ts";
import { Catalog } from "./vdisk/catalog.ts";
import { createDevices } from "./vdisk/devices.ts";
import { startForgetting } from "./vdisk/forgetting.ts";
import { IoForwarder, ioBindings, mayServe } from "./vdisk/forwarding.ts";
import { LeaderFence, type LeaderOrder } from "./vdisk/leaderFence.ts";
import { SiteView } from "./vdisk/siteView.ts";
import { VdiskHost } from "./vdisk/vdiskHost.ts";
import { vdiskBindings } from "./vdisk/vdiskService.ts";

/** The world of one Stargate. The disk's and the indexes' root is its own folder. */
export interface StargatePorts {
  readonly config: CvmConfig;
  readonly clock: Clock;
  readonly codec: Codec;
  readonly coordinator: Coordinator;
  readonly disk: Disk;
  readonly indexes: KeyIndexes;
  readonly log: Log;
  readonly net: Net;
  readonly random: Random;
  readonly rpc: Rpc;
  /**
   * The disk failed to write or to sync: what it holds of the newest bytes is not known. The process
   * must end, so that others take over; it is called once.
   */
  readonly onDiskFailed: (error: AntipodeError) => void;
  /** A bug was met where nobody awaits: the process must end (base/assert.ts). */
  readonly onBug: (error: unknown) => void;
  /** Sizes of files, for small or simulated labs; defaults suit real disks. */
  readonly sizes?: { readonly oplog: Partial<OplogLimits>; readonly egroupBytesMax: number };
  /** What is kept in memory of what was read; defaults suit real machines. */
  readonly caches?: { readonly chunkBytesMax: number; readonly nodesMax: number };
}

export interface Stargate {
  /** Orderly end: serves nothing more, gives the liveness key up, closes files. */
  close(): Promise<void>;
}

/**
 * Starts everything; resolves when clients are served.
 * @throws AntipodeError `PORT_IN_USE`, `FORMAT_UNSUPPORTED`, `DISK_FULL`, `DISK_FAILED`, `OPLOG_CORRUPT`
 */
export async function startStargate(ports: StargatePorts): Promise<Stargate> {
  const { config, clock, codec, coordinator, log } = ports;
  const self = ownMember(config);
  const files = await openFiles(ports);
  const core = makeCore(ports, files);
  const { host, view, space, blockMap, links, forwarders } = core;
  const acceptLeader = (order: LeaderOrder): Promise<void> => files.fence.accept(order);
  const server = await ports.rpc.serve(self.stargate, [
    ...chunkBindings({ local: files.local, codec }),
    ...core.peerServer.bindings,
    ...ioBindings((id) => host.serve(id)),
    ...receiveBindings({ space, codec, log }),
    ...rootBindings({ ...ports, space, blockMap, acceptLeader }),
    ...vdiskBindings({ ...core, coordinator, fence: files.fence }),
  ]);
  const lease = startProcessLease({
    coordinator,
    clock,
    log,
    ttlMs: config.leaseTtlMs,
    key: siteKeys.live("stargate", config.cvm),
    value: { startedAtMs: clock.wall() },
  });
  await view.start();
  const devices = createDevices({ ...core, clock, coordinator, forwarderTo: forwarders.of });
  const nbd = createNbdServer({ net: ports.net, clock, devices, log });
  await nbd.listen(self.nbd);
  const forgetting = startForgetting({
    cvm: config.cvm,
    coordinator,
    clock,
    log,
    replicas: files.replicas,
    isServed: (id) => host.served(id) !== undefined,
  });
  log.info({ event: "stargate.ready", cvm: config.cvm }, "ready");

  return {
    async close() {
      forgetting.close();
      await lease.stop();
      await nbd.close();
      host.close();
      view.close();
      for (const link of links.all()) link.close();
      for (const forwarder of forwarders.all()) forwarder.close();
      await server.close();
      await space.close();
      await files.replicas.close();
      await files.local.close();
    },
  };
}

/** What this CVM holds: its chunks, its copies of oplogs, the orders it has accepted. */
async function openFiles(given: StargatePorts): Promise<StargateFiles> {
  const { config, sizes, onDiskFailed } = given;
  const ports = { ...given, disk: watchDisk(given.disk, onDiskFailed) };
  const identity = { siteIncarnation: config.siteIncarnation, cvm: config.cvm };
  return {
    local: await openLocalStore({
      ...ports,
      folder: EXTENTS_FOLDER,
      identity,
      ...(sizes && { egroupBytesMax: sizes.egroupBytesMax }),
    }),
    replicas: await openOplog({
      ...ports,
      folder: "oplog",
      identity: `${config.siteIncarnation}/${config.cvm}`,
      ...(sizes && { limits: sizes.oplog }),
    }),
    fence: await LeaderFence.open(ports.disk, () =>
      readIncarnation(given.coordinator, siteKeys.leaderEpoch(LEADER_ROLE)),
    ),
  };
}

interface StargateFiles {
  readonly local: LocalStore;
  readonly replicas: OplogReplicas;
  readonly fence: LeaderFence;
}

/** Everything between the files and the services. */
function makeCore(ports: StargatePorts, { local, replicas }: StargateFiles) {
  const { config, clock, codec, coordinator, log, caches } = ports;
  const view = new SiteView({ coordinator, clock, log });
  const live = (): readonly number[] => liveOrAll(view, config);
  const clientOf = (cvm: number): RpcClient => ports.rpc.connect(memberOf(config, cvm).stargate);
  const members = config.members.map((member) => separateMember(member.cvm));
  const space = createChunkSpace({
    cvm: config.cvm,
    members,
    local,
    client: clientOf,
    live,
    codec,
    clock,
    log,
    ...(caches && { cacheBytesMax: caches.chunkBytesMax }),
  });
  const blockMap = createBlockMap({
    source: space,
    codec,
    ...(caches && { cacheNodesMax: caches.nodesMax }),
  });
  const peerServer = createPeerServer({ replicas, clock });
  const links = cache((cvm): PeerLink => createPeerLink({ client: clientOf(cvm), clock }));
  const frontEnd = toHex(ports.random.bytes(8));
  const forwarders = cache((cvm) => {
    const serves = (vdiskId: string): boolean => mayServe(view, vdiskId, cvm);
    return new IoForwarder({ client: clientOf(cvm), clock, frontEnd, serves });
  });
  /** Live CVMs in this vDisk's own order, so that owners and peers spread over the site. */
  const candidates = (vdiskId: string): readonly number[] => {
    const alive = live();
    return placementOrder(codec.sha256(utf8(vdiskId)), members).filter((cvm) =>
      alive.includes(cvm),
    );
  };
  const shared = { clock, logger: log, onBug: ports.onBug };
  const peers = { ...shared, selfCvm: config.cvm, clientOf, linkTo: links.of, candidates };
  const vdisks = { ...shared, codec, coordinator, space, blockMap };
  const host = new VdiskHost({ vdisks, peers, replicas, grants: peerServer }, view);
  const catalog = new Catalog({
    ...ports,
    view,
    preferredCvms: candidates,
    members: config.members.map((member) => member.cvm),
  });
  return { host, view, space, blockMap, catalog, peerServer, links, forwarders, clientOf };
}

/** Before etcd was ever heard, all members count as live: failing calls tell the truth soon enough. */
function liveOrAll(view: SiteView, config: CvmConfig): readonly number[] {
  const live = view.liveCvms();
  return live.length > 0 ? live : config.members.map((member) => member.cvm);
}

function memberOf(config: CvmConfig, cvm: number): CvmConfig["members"][number] {
  const member = config.members.find((one) => one.cvm === cvm);
  if (member === undefined)
    throw new AntipodeError("CVM_NOT_FOUND", `the site has no CVM ${cvm}`, { cvm });
  return member;
}

/** One thing a CVM, made when first needed. */
function cache<T>(make: (cvm: number) => T): { of: (cvm: number) => T; all: () => readonly T[] } {
  const made = new Map<number, T>();
  return {
    of(cvm) {
      const known = made.get(cvm);
      if (known !== undefined) return known;
      const fresh = make(cvm);
      made.set(cvm, fresh);
      return fresh;
    },
    all: () => [...made.values()],
  };
}
