/**
 * `run.json`: exists while a lab is meant to run, and names its genesis. `lab down` removes it last.
 */

import { utf8 } from "../base/bytes.ts";
import { checkedJson, parseJson } from "../base/checkedJson.ts";
import { type Disk, readWhole, replaceWhole } from "../platform/disk.ts";
import type { ProcessHandle } from "../platform/processes.ts";

export interface RunFile {
  readonly version: 1;
  readonly genesis: ProcessHandle;
  /** Wall clock, a label. */
  readonly upAtMs: number;
}

const FILE = "run.json";

/**
 * @param disk rooted at the lab's directory
 * @throws AntipodeError `FORMAT_UNSUPPORTED`
 */
export async function readRunFile(disk: Disk): Promise<RunFile | undefined> {
  const bytes = await readWhole(disk, FILE);
  if (bytes === undefined) return undefined;
  const value = parseJson(bytes, FILE, "FORMAT_UNSUPPORTED");
  const file = checkedJson(value, FILE, "FORMAT_UNSUPPORTED").ofVersion(1);
  const { genesis, upAtMs } = file.record(["genesis"], ["upAtMs"]);
  const { pid, startedAt } = genesis.record(["pid", "startedAt"]);
  return {
    version: 1,
    genesis: { pid: pid.number(), startedAt: startedAt.anyText() },
    upAtMs: upAtMs.optional((at) => at.number()) ?? 0,
  };
}

export async function writeRunFile(disk: Disk, run: RunFile): Promise<void> {
  await replaceWhole(disk, FILE, utf8(`${JSON.stringify(run)}\n`));
}

export async function removeRunFile(disk: Disk): Promise<void> {
  await disk.remove(FILE);
  await disk.syncDirectory("");
}
