/** A site of CVMs with extent stores and chunk spaces, over the fake network and virtual time. */

import { chunkBindings } from "../../../services/stargate/extents/chunkBindings.ts";
import {
  createChunkSpace,
  type SiteChunkSpace,
} from "../../../services/stargate/extents/chunkSpace.ts";
import { type LocalStore, openLocalStore } from "../../../services/stargate/extents/localStore.ts";
import { separateMember } from "../../../services/stargate/extents/placement.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { createFakeKeyIndexes } from "../../support/fakeKeyIndex.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "../../support/fakeNetwork.ts";
import { codec, identity } from "./extentWorld.ts";

const PORT = 2009;

export interface SiteWorld {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  /** By the coordinator's view; tests change it. */
  readonly live: Set<number>;
  disk(cvm: number): FakeDisk;
  store(cvm: number): LocalStore;
  space(cvm: number): SiteChunkSpace;
  host(cvm: number): string;
  /** Runs virtual time until the promise settles; fails when it does not within a minute. */
  run<T>(promise: Promise<T>): Promise<T>;
}

export async function createSiteWorld(
  cvmCount: number,
  options: { readonly cacheBytesMax?: number } = {},
): Promise<SiteWorld> {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  const cvms = Array.from({ length: cvmCount }, (_, i) => i + 1);
  const live = new Set(cvms);
  const host = (cvm: number): string => `127.1.0.${cvm}`;
  const disks: FakeDisk[] = [];
  const stores: LocalStore[] = [];
  const spaces: SiteChunkSpace[] = [];
  for (const cvm of cvms) {
    const disk = createFakeDisk({ capacityBytes: 2 ** 30 });
    const log = createFakeLog();
    const indexes = createFakeKeyIndexes();
    const local = await openLocalStore({
      disk,
      indexes,
      codec,
      clock,
      log,
      folder: "extents",
      identity: { ...identity, cvm },
    });
    const { rpc } = network.host(host(cvm));
    await rpc.serve({ host: host(cvm), port: PORT }, chunkBindings({ local, codec }));
    disks.push(disk);
    stores.push(local);
    spaces.push(
      createChunkSpace({
        cvm,
        members: cvms.map(separateMember),
        local,
        client: (other) => rpc.connect({ host: host(other), port: PORT }),
        live: () => [...live],
        codec,
        clock,
        log,
        ...options,
      }),
    );
  }
  const at = <T>(list: readonly T[], cvm: number): T => {
    const item = list[cvm - 1];
    if (item === undefined) throw new Error(`no CVM ${cvm}`);
    return item;
  };
  return {
    clock,
    network,
    live,
    host,
    disk: (cvm) => at(disks, cvm),
    store: (cvm) => at(stores, cvm),
    space: (cvm) => at(spaces, cvm),
    async run(promise) {
      let settled = false;
      const done = (): void => {
        settled = true;
      };
      promise.then(done, done);
      await clock.tickUntil(() => settled, 60_000);
      return promise;
    },
  };
}
