/** What counts as a failure of the disk, after which its Stargate ends (P9). */

import { expect, it } from "vitest";
import type { Disk } from "../../../services/platform/disk.ts";
import { watchDisk } from "../../../services/stargate/diskWatch.ts";
import { createFakeDisk, type DiskOperation } from "../../support/fakeDisk.ts";

/** How often the watcher told of a failure while a file was made and used. */
async function toldOf(fail: DiskOperation | undefined, use: (disk: Disk) => Promise<unknown>) {
  const real = createFakeDisk();
  let told = 0;
  const disk = watchDisk(real, () => {
    told += 1;
  });
  const old = await disk.open("old", "create");
  await old.close();
  if (fail !== undefined) real.fail({ operation: fail, errno: "EIO", times: 2 });
  await use(disk).catch(() => undefined);
  await use(disk).catch(() => undefined);
  return told;
}

it.each(["create", "write"] as const)(
  "is told once when a file cannot be opened to %s",
  async (mode) => {
    expect(await toldOf("open", (disk) => disk.open(mode === "create" ? "new" : "old", mode))).toBe(
      1,
    );
  },
);

it("is not told of a failed read, of a file that is missing, nor of one that is there already", async () => {
  expect(await toldOf("open", (disk) => disk.open("old", "read"))).toBe(0);
  expect(await toldOf(undefined, (disk) => disk.open("missing", "write"))).toBe(0);
  expect(await toldOf(undefined, (disk) => disk.open("old", "create"))).toBe(0);
});
