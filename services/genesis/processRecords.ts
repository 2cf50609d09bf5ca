/**
 * What genesis remembers about processes across its own death: one small file a service with pid and
 * start time, replaced whole. The lab reads them too, to end a lab whose genesis is gone.
 *
 * Writes of one service are in order; a reader sees the old record or the new one.
 */

import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { type Disk, readWhole, replaceWhole } from "../platform/disk.ts";
import type { ProcessHandle } from "../platform/processes.ts";

export interface ProcessRecord {
  readonly version: 1;
  readonly id: string;
  /** `undefined` when there is no process. */
  readonly process: ProcessHandle | undefined;
  /** "up": wanted; "stopped": ended by an operator; "dead": died and is left dead. */
  readonly wanted: "up" | "stopped" | "dead";
  readonly autoRestart: boolean;
  readonly restarts: number;
}

/** File name of a service's record: `stargate@A/1` → `stargate@A.1.json`. */
function recordFile(id: string): string {
  return `${id.replaceAll("/", ".")}.json`;
}

/** Writes the record; the disk's root is the layout's state folder. */
export async function writeRecord(disk: Disk, record: ProcessRecord): Promise<void> {
  await replaceWhole(disk, recordFile(record.id), utf8(`${JSON.stringify(record)}\n`));
}

/** The record of a service, or `undefined` when there is none. */
export async function readRecord(disk: Disk, id: string): Promise<ProcessRecord | undefined> {
  const bytes = await readWhole(disk, recordFile(id));
  return bytes === undefined ? undefined : parseRecord(bytes, recordFile(id));
}

/** All records in the folder. */
export async function readRecords(disk: Disk): Promise<readonly ProcessRecord[]> {
  const records: ProcessRecord[] = [];
  for (const name of await disk.list("")) {
    if (!name.endsWith(".json")) continue;
    const bytes = await readWhole(disk, name);
    if (bytes !== undefined) records.push(parseRecord(bytes, name));
  }
  return records;
}

function parseRecord(bytes: Uint8Array, file: string): ProcessRecord {
  const broken = (cause?: unknown): AntipodeError =>
    new AntipodeError("FORMAT_UNSUPPORTED", `${file} is no record of a process`, { file }, cause);
  let value: Partial<ProcessRecord> | null;
  try {
    value = JSON.parse(fromUtf8(bytes)) as Partial<ProcessRecord> | null;
  } catch (cause) {
    throw broken(cause);
  }
  if (
    value?.version !== 1 ||
    typeof value.id !== "string" ||
    typeof value.autoRestart !== "boolean" ||
    typeof value.restarts !== "number" ||
    (value.wanted !== "up" && value.wanted !== "stopped" && value.wanted !== "dead") ||
    !isHandle(value.process)
  )
    throw broken();
  return {
    version: 1,
    id: value.id,
    process: value.process,
    wanted: value.wanted,
    autoRestart: value.autoRestart,
    restarts: value.restarts,
  };
}

function isHandle(value: ProcessHandle | undefined): boolean {
  if (value === undefined) return true;
  return Number.isInteger(value.pid) && value.pid > 0 && typeof value.startedAt === "string";
}
