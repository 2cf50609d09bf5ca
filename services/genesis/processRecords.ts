/**
 * What genesis remembers about processes across its own death: one small file a service with pid and
 * start time, replaced whole. The lab reads them too, to end a lab whose genesis is gone.
 *
 * Writes of one service are in order; a reader sees the old record or the new one.
 */

import { utf8 } from "../base/bytes.ts";
import { checkedJson, type JsonField, parseJson } from "../base/checkedJson.ts";
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

const STATES = ["up", "stopped", "dead"] as const;

function parseRecord(bytes: Uint8Array, file: string): ProcessRecord {
  const value = parseJson(bytes, file, "FORMAT_UNSUPPORTED");
  const record = checkedJson(value, file, "FORMAT_UNSUPPORTED")
    .ofVersion(1)
    .record(["id", "wanted", "autoRestart", "restarts"], ["process"]);
  return {
    version: 1,
    id: record.id.anyText(),
    process: record.process.optional(parseHandle),
    wanted: record.wanted.oneOf(STATES),
    autoRestart: record.autoRestart.flag(),
    restarts: record.restarts.number(),
  };
}

function parseHandle(field: JsonField): ProcessHandle {
  const { pid, startedAt } = field.record(["pid", "startedAt"]);
  return { pid: pid.integer(1), startedAt: startedAt.anyText() };
}
