/** An owned vDisk's drain with everything real but disk, extent store and etcd. */

import { AntipodeError } from "../../../services/base/errors.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import type { Coordinator } from "../../../services/platform/coordinator.ts";
import { createBlockMap } from "../../../services/stargate/blockmap/blockMap.ts";
import {
  type DrainWorld,
  drainBatch,
  type MapState,
} from "../../../services/stargate/vdisk/drainer.ts";
import { OwnerSeat } from "../../../services/stargate/vdisk/ownerSeat.ts";
import { decodeMap, decodeOwner, encodeRecord } from "../../../services/stargate/vdisk/records.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createMemoryChunkSpace, type MemoryChunkSpace } from "../../support/memoryChunkSpace.ts";
import { createMemoryEtcd, type MemoryConnection } from "../../support/memoryCoordinator.ts";
import { codec, DISK_A, type LogWorld, l, openOwnerLog } from "./world.ts";

export interface DrainTestWorld extends LogWorld {
  readonly drain: DrainWorld;
  readonly space: MemoryChunkSpace;
  readonly etcd: MemoryConnection;
  /** The owner's connection: `swallow` keeps its transactions back until `deliver`. */
  readonly slow: SlowCoordinator;
  /** Waits while virtual time passes. */
  wait<T>(work: Promise<T>): Promise<T>;
  /** Appends, waits for the acknowledgement. */
  run(work: Promise<unknown>): Promise<void>;
  next(state: MapState): Promise<MapState | undefined>;
  map(): Promise<{ readonly root: string; readonly drainedLsn: number }>;
}

export const START: MapState = { root: undefined, drainedLsn: l(0) };
const WAIT_MS = 60_000;

export async function openDrain(sizeBytes: number): Promise<DrainTestWorld> {
  const world = await openOwnerLog();
  const etcd = createMemoryEtcd(world.clock).connect();
  const slow = slowCoordinator(etcd);
  const wait = async <T>(work: Promise<T>): Promise<T> => {
    let settled = false;
    const noticed = work.then(
      () => (settled = true),
      () => (settled = true),
    );
    await world.clock.tickUntil(() => settled, WAIT_MS);
    await noticed;
    return work;
  };
  const record = { owner: 1, epoch: 1, peers: [1], served: true };
  const { revision } = await wait(
    etcd.transact({
      when: [],
      then: [
        { kind: "put", key: siteKeys.owner(DISK_A), value: encodeRecord(record) },
        {
          kind: "put",
          key: siteKeys.map(DISK_A),
          value: encodeRecord({ root: "", drainedLsn: 0 }),
        },
      ],
    }),
  );
  const space = createMemoryChunkSpace(codec);
  const seat = new OwnerSeat({
    coordinator: slow,
    clock: world.clock,
    vdiskId: DISK_A,
    record,
    revision,
  });
  const drain: DrainWorld = {
    vdiskId: DISK_A,
    sizeBytes,
    replicationFactor: 1,
    compression: true,
    replica: world.replica,
    log: world.log,
    seat,
    space,
    blockMap: createBlockMap({ source: space, codec }),
    codec,
    clock: world.clock,
    coordinator: slow,
    logger: createFakeLog(),
  };
  return {
    ...world,
    drain,
    space,
    etcd,
    slow,
    wait,
    async run(work) {
      await wait(work);
    },
    next: (state) => wait(drainBatch(drain, state)),
    async map() {
      const entry = await wait(etcd.get(siteKeys.map(DISK_A)));
      if (entry === undefined) throw new Error("no map");
      return decodeMap(entry.value);
    },
  };
}

/** Another CVM's seat, as it reads it now. */
export async function openDrainSeat(world: DrainTestWorld): Promise<OwnerSeat> {
  const entry = await world.wait(world.etcd.get(siteKeys.owner(DISK_A)));
  if (entry === undefined) throw new Error("no owner record");
  return new OwnerSeat({
    coordinator: world.etcd,
    clock: world.clock,
    vdiskId: DISK_A,
    record: decodeOwner(entry.value),
    revision: entry.modRevision,
  });
}

export interface SlowCoordinator extends Coordinator {
  /** The next transactions are on their way, and their sender gives up. */
  swallow(count: number): void;
  /** They arrive after all. */
  deliver(): Promise<void>;
}

/** etcd behind a network that can hold a request back until long after its deadline. */
function slowCoordinator(inner: Coordinator): SlowCoordinator {
  const held: (() => Promise<unknown>)[] = [];
  let toSwallow = 0;
  return {
    get: (key) => inner.get(key),
    list: (prefix) => inner.list(prefix),
    watch: (prefix, from, handlers) => inner.watch(prefix, from, handlers),
    grantLease: (ttlMs) => inner.grantLease(ttlMs),
    renewLease: (id) => inner.renewLease(id),
    revokeLease: (id) => inner.revokeLease(id),
    close: () => inner.close(),
    transact(transaction) {
      if (toSwallow === 0) return inner.transact(transaction);
      toSwallow -= 1;
      held.push(() => inner.transact(transaction));
      return Promise.reject(new AntipodeError("COORDINATOR_UNAVAILABLE", "no answer in time"));
    },
    swallow(count) {
      toSwallow = count;
    },
    async deliver() {
      for (const send of held.splice(0)) await send();
    },
  };
}
