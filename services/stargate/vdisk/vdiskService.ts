/**
 * The part of VdiskService that is about vDisks and containers: records, and the owner's part in cuts.
 * Any CVM answers; what only the owner can do is passed on to it, once: an order that reaches a CVM
 * that is not the owner fails with NOT_OWNER and its caller asks again.
 */

import { AntipodeError } from "../../base/errors.ts";
import { type OwnerRecord, siteKeys, type VdiskRecord } from "../../base/siteRecords.ts";
import type { Infer, Method } from "../../base/wire.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import { type Binding, type RpcClient, serveUnary } from "../../platform/rpc.ts";
import { type HoldRequest, type VdiskMessage, VdiskService } from "../../platform/wire/stargate.ts";
import type { Catalog } from "./catalog.ts";
import type { LeaderFence } from "./leaderFence.ts";
import { CONTROL_CALL_MS } from "./limits.ts";
import type { OwnedVdisk } from "./ownedVdisk.ts";
import { decodeMap } from "./records.ts";
import type { SiteView } from "./siteView.ts";
import type { VdiskHost } from "./vdiskHost.ts";

export interface VdiskServiceWorld {
  readonly host: VdiskHost;
  readonly view: SiteView;
  readonly catalog: Catalog;
  readonly coordinator: Coordinator;
  readonly fence: LeaderFence;
  clientOf(cvm: number): RpcClient;
}

type Hold = Infer<typeof HoldRequest>;

/** Containers, vDisks, hold, mark and release. */
export function vdiskBindings(world: VdiskServiceWorld): readonly Binding[] {
  const { catalog, view } = world;
  return [
    serveUnary(VdiskService.createContainer, async (request) => {
      await catalog.createContainer(request);
      return {};
    }),
    serveUnary(VdiskService.deleteContainer, async (request) => {
      await catalog.deleteContainer(request.name);
      return {};
    }),
    serveUnary(VdiskService.listContainers, () =>
      Promise.resolve({ containers: view.containers() }),
    ),
    serveUnary(VdiskService.createVdisk, async (request) => {
      const record = await catalog.createVdisk(request);
      await view.refresh();
      return describe(world, record);
    }),
    serveUnary(VdiskService.deleteVdisk, async (request) => {
      await catalog.deleteVdisk(request.name);
      await view.refresh();
      return {};
    }),
    serveUnary(VdiskService.listVdisks, async () => ({ vdisks: await describeAll(world) })),
    serveUnary(VdiskService.showVdisk, async (request) =>
      describe(world, await view.findByName(request.name)),
    ),
    serveUnary(VdiskService.hold, (request) =>
      atOwner(world, request, VdiskService.hold, (owned) => {
        owned.hold(request.cutId);
        return Promise.resolve({});
      }),
    ),
    serveUnary(VdiskService.mark, (request) =>
      atOwner(world, request, VdiskService.mark, async (owned) => ({
        lsn: await owned.mark(request.cutId),
      })),
    ),
    serveUnary(VdiskService.release, (request) =>
      atOwner(world, request, VdiskService.release, (owned) =>
        Promise.resolve(owned.release(request.cutId)),
      ),
    ),
  ];
}

/** Carries the order out here, or at the owner's CVM; either way the leader's epoch is checked where it acts. */
async function atOwner<A>(
  world: VdiskServiceWorld,
  request: Hold,
  method: Method<Hold, A, "unary">,
  here: (owned: OwnedVdisk) => Promise<A>,
): Promise<A> {
  await world.fence.accept(request);
  const route = await world.host.route(request.vdiskId);
  if (route.kind === "there")
    return world.clientOf(route.cvm).unary(method, request, { deadlineMs: CONTROL_CALL_MS });
  return here(await world.host.serve(request.vdiskId));
}

/** One read of etcd for all of them; those that are deleted at this moment are left out. */
async function describeAll(
  world: VdiskServiceWorld,
): Promise<readonly Infer<typeof VdiskMessage>[]> {
  const { entries } = await world.coordinator.list(siteKeys.maps);
  const maps = new Map(entries.map((entry) => [entry.key, entry.value]));
  return world.view.vdisks().flatMap((record) => {
    const map = maps.get(siteKeys.map(record.id));
    const owner = world.view.owner(record.id);
    return map === undefined || owner === undefined ? [] : [messageOf(world, record, owner, map)];
  });
}

async function describe(
  world: VdiskServiceWorld,
  record: VdiskRecord,
): Promise<Infer<typeof VdiskMessage>> {
  const owner = world.view.owner(record.id);
  const map = await world.coordinator.get(siteKeys.map(record.id));
  if (owner === undefined || map === undefined)
    throw new AntipodeError("VDISK_NOT_FOUND", `vDisk "${record.name}" does not exist any more`, {
      vdisk: record.name,
    });
  return messageOf(world, record, owner, map.value);
}

/** Root and drained position are etcd's; the last LSN is known only where the vDisk is served. */
function messageOf(
  world: VdiskServiceWorld,
  record: VdiskRecord,
  known: OwnerRecord,
  mapBytes: Uint8Array,
): Infer<typeof VdiskMessage> {
  const served = world.host.served(record.id);
  const { owner, epoch, peers } = served?.seat.record ?? known;
  const { root, drainedLsn } = decodeMap(mapBytes);
  return { ...record, owner, epoch, peers, root, drainedLsn, lastLsn: served?.log.lastLsn ?? 0 };
}
