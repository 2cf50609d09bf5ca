/** The fence against deposed leaders: durable, and it recovers from a full disk (P4, P9). */

import { describe, expect, it } from "vitest";
import { LeaderFence } from "../../../services/stargate/vdisk/leaderFence.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";

describe("the leader fence", () => {
  it("refuses a lower epoch, also after a crash (P4)", async () => {
    const disk = createFakeDisk();
    const fence = await LeaderFence.open(disk);
    await fence.accept(7);
    await expect(fence.accept(6)).rejects.toMatchObject({ code: "STALE_EPOCH" });
    disk.crash();
    const again = await LeaderFence.open(disk);
    await expect(again.accept(6)).rejects.toMatchObject({ code: "STALE_EPOCH" });
    await again.accept(7);
  });

  it("accepts no order whose epoch is not stored (P4)", async () => {
    const disk = createFakeDisk();
    const fence = await LeaderFence.open(disk);
    disk.fail({ operation: "write", errno: "ENOSPC", times: 2 });
    await expect(fence.accept(7)).rejects.toMatchObject({ code: "DISK_FULL" });
    await expect(fence.accept(7)).rejects.toMatchObject({ code: "DISK_FULL" });
    disk.crash();
    await (await LeaderFence.open(disk)).accept(1);
  });

  it("takes orders again when the disk has room again (P9)", async () => {
    const disk = createFakeDisk();
    const fence = await LeaderFence.open(disk);
    disk.fail({ operation: "write", errno: "ENOSPC" });
    await expect(fence.accept(7)).rejects.toMatchObject({ code: "DISK_FULL" });
    await fence.accept(7);
    await fence.accept(8);
    disk.crash();
    await expect((await LeaderFence.open(disk)).accept(7)).rejects.toMatchObject({
      code: "STALE_EPOCH",
    });
  });

  it("orders of several leaders at once end with the highest (P4)", async () => {
    const disk = createFakeDisk();
    const fence = await LeaderFence.open(disk);
    const outcomes = await Promise.allSettled([3, 9, 5].map((epoch) => fence.accept(epoch)));
    expect(outcomes.map((one) => one.status)).toEqual(["rejected", "fulfilled", "rejected"]);
    disk.crash();
    await expect((await LeaderFence.open(disk)).accept(8)).rejects.toMatchObject({
      code: "STALE_EPOCH",
    });
  });
});
