/** A vDisk at its owner, which is its only peer: everything real but disk, extent store and etcd. */

import { MIB } from "../../../services/base/units.ts";
import type { OplogReplica } from "../../../services/stargate/oplog/contracts.ts";
import { OwnerLog } from "../../../services/stargate/oplog/ownerLog.ts";
import { createOverlay } from "../../../services/stargate/vdisk/overlay.ts";
import { OwnedVdisk } from "../../../services/stargate/vdisk/ownedVdisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { type DrainTestWorld, openDrain, START } from "./drainWorld.ts";
import { DISK_A, e } from "./world.ts";

export interface VdiskTestWorld extends DrainTestWorld {
  readonly owned: OwnedVdisk;
  readonly ownedLog: OwnerLog;
  /** What was told to end the process. */
  readonly bugs: readonly unknown[];
}

/** A vDisk that is its own only peer, at epoch 1. `see` changes what it sees of its replica. */
export async function openVdisk(
  see: (replica: OplogReplica) => OplogReplica = (replica) => replica,
): Promise<VdiskTestWorld> {
  const world = await openDrain(4 * MIB);
  const { drain, clock, space } = world;
  const replica = see(world.replica);
  const bugs: unknown[] = [];
  let made: OwnerLog | undefined;
  const owned = new OwnedVdisk({
    world: { ...drain, logger: createFakeLog(), onBug: (error) => bugs.push(error) },
    record: {
      id: DISK_A,
      name: "disk",
      container: "c",
      sizeBytes: 4 * MIB,
      replicationFactor: 1,
      compression: true,
      createdAtMs: 0,
    },
    seat: drain.seat,
    replica,
    overlay: createOverlay(),
    state: START,
    markers: [],
    createLog: (onApply) => {
      made = new OwnerLog({
        vdiskId: DISK_A,
        replica,
        epoch: e(1),
        events: {
          onApply,
          onPeerLost: () => undefined,
          onDeposed: () => undefined,
          onLocalFailure: () => undefined,
        },
      });
      return made;
    },
    onDeposed: () => undefined,
  });
  if (made === undefined) throw new Error("the vDisk made no log");
  return { ...world, clock, space, owned, ownedLog: made, bugs };
}
