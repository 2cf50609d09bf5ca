/** Which directories a lab takes, on this machine's own file system. */

import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { requireNewDirectory, requireUsableDirectory } from "../../services/cli/labFolder.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "antipode-folder-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

it("takes a directory that is there, and one that is to be made below it", async () => {
  await requireUsableDirectory(folder);
  await requireUsableDirectory(join(folder, "a", "b"));
  await requireNewDirectory(folder);
  await requireNewDirectory(join(folder, "a", "b"));
});

it("P10: refuses a file, and what would lie below a file", async () => {
  const file = join(folder, "file");
  await writeFile(file, "x");
  await expect(requireUsableDirectory(file)).rejects.toThrow("is a file, not a folder");
  await expect(requireUsableDirectory(join(file, "lab"))).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
  });
});

it.runIf(existsSync("/proc/self"))(
  "P10: refuses a file system that takes no folder, at once, and leaves nothing behind",
  async () => {
    for (const directory of ["/proc/antipode", "/proc/antipode/lab"])
      await expect(requireUsableDirectory(directory)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    await requireUsableDirectory(join(folder, "a", "b"));
    expect(readdirSync(folder)).toEqual([]);
  },
);

it("P10: a lab that is deleted at its end takes no directory that holds anything", async () => {
  await writeFile(join(folder, "lab.json"), "{}");
  await expect(requireNewDirectory(folder)).rejects.toThrow("not empty");
});
