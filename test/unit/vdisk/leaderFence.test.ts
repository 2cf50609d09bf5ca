/** The fence against deposed leaders, and leaders of another life of etcd: durable, and it recovers from a full disk (P4, P9). */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import { replaceWhole } from "../../../services/platform/disk.ts";
import { LeaderFence } from "../../../services/stargate/vdisk/leaderFence.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";

const open = (disk: FakeDisk, incarnation = "x"): Promise<LeaderFence> =>
  LeaderFence.open(disk, () => Promise.resolve(incarnation));
const order = (leaderEpoch: number, leaderIncarnation = "x") => ({
  leaderEpoch,
  leaderIncarnation,
});

describe("the leader fence", () => {
  it("refuses a lower epoch, also after a crash (P4)", async () => {
    const disk = createFakeDisk();
    const fence = await open(disk);
    await fence.accept(order(7));
    await expect(fence.accept(order(6))).rejects.toMatchObject({ code: "STALE_EPOCH" });
    disk.crash();
    const again = await open(disk);
    await expect(again.accept(order(6))).rejects.toMatchObject({ code: "STALE_EPOCH" });
    await again.accept(order(7));
  });

  it("accepts no order whose epoch is not stored (P4)", async () => {
    const disk = createFakeDisk();
    const fence = await open(disk);
    disk.fail({ operation: "write", errno: "ENOSPC", times: 2 });
    await expect(fence.accept(order(7))).rejects.toMatchObject({ code: "DISK_FULL" });
    await expect(fence.accept(order(7))).rejects.toMatchObject({ code: "DISK_FULL" });
    disk.crash();
    await (await open(disk)).accept(order(1));
  });

  it("takes orders again when the disk has room again (P9)", async () => {
    const disk = createFakeDisk();
    const fence = await open(disk);
    disk.fail({ operation: "write", errno: "ENOSPC" });
    await expect(fence.accept(order(7))).rejects.toMatchObject({ code: "DISK_FULL" });
    await fence.accept(order(7));
    await fence.accept(order(8));
    disk.crash();
    await expect((await open(disk)).accept(order(7))).rejects.toMatchObject({
      code: "STALE_EPOCH",
    });
  });

  it("orders of several leaders at once end with the highest (P4)", async () => {
    const disk = createFakeDisk();
    const fence = await open(disk);
    const outcomes = await Promise.allSettled([3, 9, 5].map((epoch) => fence.accept(order(epoch))));
    expect(outcomes.map((one) => one.status)).toEqual(["rejected", "fulfilled", "rejected"]);
    disk.crash();
    await expect((await open(disk)).accept(order(8))).rejects.toMatchObject({
      code: "STALE_EPOCH",
    });
  });

  it("takes orders of another incarnation only when etcd says that it is its own (P4)", async () => {
    const disk = createFakeDisk();
    const etcd = { incarnation: "x" };
    const fence = await LeaderFence.open(disk, () => Promise.resolve(etcd.incarnation));
    await fence.accept(order(7));
    await expect(fence.accept(order(9, "y"))).rejects.toMatchObject({ code: "STALE_EPOCH" });
    etcd.incarnation = "y";
    await fence.accept(order(1, "y"));
    await expect(fence.accept(order(8))).rejects.toMatchObject({ code: "STALE_EPOCH" });
  });

  it("remembers what it promised an incarnation that comes back, over crashes (P4)", async () => {
    const disk = createFakeDisk();
    await (await open(disk)).accept(order(7));
    await (await open(disk, "y")).accept(order(9, "y"));
    disk.crash();
    const back = await open(disk);
    await expect(back.accept(order(6))).rejects.toMatchObject({ code: "STALE_EPOCH" });
    await back.accept(order(8));
  });

  it("refuses a new incarnation while etcd does not answer (P4)", async () => {
    const away = new AntipodeError("COORDINATOR_UNAVAILABLE", "away");
    const fence = await LeaderFence.open(createFakeDisk(), () => Promise.reject(away));
    await expect(fence.accept(order(1))).rejects.toBe(away);
  });

  it("keeps what a file without incarnations promised, whoever leads first (P4)", async () => {
    const disk = createFakeDisk();
    await replaceWhole(disk, "leader-epoch", utf8("7"));
    const fence = await open(disk);
    await expect(fence.accept(order(6))).rejects.toMatchObject({ code: "STALE_EPOCH" });
    await fence.accept(order(8));
  });
});
