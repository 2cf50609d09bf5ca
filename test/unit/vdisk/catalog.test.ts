/** vDisks as records: one name, one vDisk, also when this CVM's view of the site is late (P10). */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import { Catalog } from "../../../services/stargate/vdisk/catalog.ts";
import { SiteView } from "../../../services/stargate/vdisk/siteView.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import {
  createMemoryEtcd,
  type MemoryConnection,
  type MemoryEtcd,
} from "../../support/memoryCoordinator.ts";

interface CatalogCvm {
  readonly catalog: Catalog;
  readonly view: SiteView;
  readonly etcd: MemoryConnection;
}

function world(): {
  readonly clock: FakeClock;
  readonly cvm: () => CatalogCvm;
  readonly etcd: MemoryEtcd;
} {
  const clock = createFakeClock();
  const etcd = createMemoryEtcd(clock);
  const prng = createPrng(1);
  return {
    clock,
    etcd,
    cvm() {
      const coordinator = etcd.connect();
      const view = new SiteView({ coordinator, clock, log: createFakeLog() });
      const catalog = new Catalog({
        coordinator,
        clock,
        view,
        random: { bytes: (length) => prng.fill(new Uint8Array(length)) },
        preferredCvms: () => [1, 2],
        members: [1, 2, 3],
      });
      return { catalog, view, etcd: coordinator };
    },
  };
}

const wanted = { name: "disk", container: "c", sizeBytes: MIB, root: "", source: "" };
const container = { name: "c", replicationFactor: 2, compression: true };

describe("the catalog", () => {
  it("uses a name once (P10)", async () => {
    const site = world();
    const { catalog, view } = site.cvm();
    await view.start();
    await catalog.createContainer(container);
    await catalog.createVdisk(wanted);
    await expect(catalog.createVdisk(wanted)).rejects.toMatchObject({ code: "VDISK_EXISTS" });
  });

  it("deletes the vDisk that has the name now, not the one that had it (P10)", async () => {
    const site = world();
    const late = site.cvm();
    const other = site.cvm();
    await late.view.start();
    await other.view.start();
    await other.catalog.createContainer(container);
    const first = await other.catalog.createVdisk(wanted);
    await late.view.refresh();
    late.etcd.blindWatches(true);
    await other.catalog.deleteVdisk("disk");
    const second = await other.catalog.createVdisk(wanted);

    await late.catalog.deleteVdisk("disk");
    const left = await late.etcd.list("antipode/");
    // Both are gone but for the notes with which each CVM forgets its copies.
    const notes = [1, 2, 3].flatMap((cvm) => [
      siteKeys.deletedVdisk(cvm, first.id),
      siteKeys.deletedVdisk(cvm, second.id),
    ]);
    const keys = left.entries.map((entry) => entry.key);
    expect(keys).toEqual([siteKeys.container("c"), ...notes].toSorted());
  });

  it("says so when the vDisk is gone already", async () => {
    const site = world();
    const late = site.cvm();
    const other = site.cvm();
    await late.view.start();
    await other.view.start();
    await other.catalog.createContainer(container);
    await other.catalog.createVdisk(wanted);
    await late.view.refresh();
    late.etcd.blindWatches(true);
    await other.catalog.deleteVdisk("disk");
    await expect(late.catalog.deleteVdisk("disk")).rejects.toMatchObject({
      code: "VDISK_NOT_FOUND",
    });
  });

  it("keeps a vDisk that is protected (P6)", async () => {
    const site = world();
    const { catalog, view, etcd } = site.cvm();
    await view.start();
    await catalog.createContainer(container);
    const { id } = await catalog.createVdisk(wanted);
    await etcd.transact({
      when: [],
      then: [
        { kind: "put", key: siteKeys.protectedVdisk(id), value: new TextEncoder().encode("pd") },
      ],
    });
    await expect(catalog.deleteVdisk("disk")).rejects.toMatchObject({
      code: "VDISK_IN_USE",
      details: { protectionDomain: "pd" },
    });
  });
});
