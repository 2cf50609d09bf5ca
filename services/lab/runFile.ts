/**
 * `run.json`: exists while a lab is meant to run, and names its genesis. `lab down` removes it last.
 */

import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { type Disk, readWhole, replaceWhole } from "../platform/disk.ts";
import type { ProcessHandle } from "../platform/processes.ts";

export interface RunFile {
  readonly version: 1;
  readonly genesis: ProcessHandle;
  /** Wall clock, a label. */
  readonly upAtMs: number;
}

const FILE = "run.json";

/** @param disk rooted at the lab's directory */
export async function readRunFile(disk: Disk): Promise<RunFile | undefined> {
  const bytes = await readWhole(disk, FILE);
  if (bytes === undefined) return undefined;
  try {
    const value = JSON.parse(fromUtf8(bytes)) as Partial<RunFile> | null;
    const pid = value?.genesis?.pid;
    const startedAt = value?.genesis?.startedAt;
    if (value?.version === 1 && typeof pid === "number" && typeof startedAt === "string")
      return { version: 1, genesis: { pid, startedAt }, upAtMs: value.upAtMs ?? 0 };
  } catch (cause) {
    throw new AntipodeError("FORMAT_UNSUPPORTED", `${FILE} is not JSON`, {}, cause);
  }
  throw new AntipodeError("FORMAT_UNSUPPORTED", `${FILE} is not of version 1`);
}

export async function writeRunFile(disk: Disk, run: RunFile): Promise<void> {
  await replaceWhole(disk, FILE, utf8(`${JSON.stringify(run)}\n`));
}

export async function removeRunFile(disk: Disk): Promise<void> {
  await disk.remove(FILE);
  await disk.syncDirectory("");
}
