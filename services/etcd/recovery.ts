/**
 * What is in the folder after a stop of any kind. Files: `snapshot-N` is the state before frame N;
 * `log-N` holds frames N, N+1, …
 *
 * A rotation makes `log-N`, then `snapshot-N`, then removes what is older, each step durable before
 * the next; so one of these is found:
 *
 *   nothing                              a new server
 *   log-1 [log-N …]                      no snapshot finished yet
 *   snapshot-N, log-N [log-M …]          M: the snapshot of a later rotation did not finish
 *   … and older logs and snapshots       the removal did not finish; they are removed now
 *
 * Only the last log may have a torn end. Anything else is `COORDINATOR_CORRUPT`.
 */

import { AntipodeError, messageOf } from "../base/errors.ts";
import { WireError } from "../base/wire.ts";
import { type Disk, readWhole } from "../platform/disk.ts";
import { type Checksum, encodeFrame, scanFrames } from "./frames.ts";
import { decodeBatch, encodeBatch, type LogRecord } from "./records.ts";

const NAME = /^(log|snapshot)-(\d{16})$/;
const TEMPORARY = /^snapshot-\d{16}\.new$/;
/** Records in one frame of a snapshot. */
const SNAPSHOT_FRAME_RECORDS = 256;

export const logPath = (folder: string, sequence: number): string =>
  `${folder}/log-${String(sequence).padStart(16, "0")}`;
export const snapshotPath = (folder: string, sequence: number): string =>
  `${folder}/snapshot-${String(sequence).padStart(16, "0")}`;

/** The log to go on with, and everything that was durable. */
export interface Recovered {
  readonly records: readonly LogRecord[];
  /** First sequence of the log to append to; `undefined` in an empty folder. */
  readonly logStart: number | undefined;
  /** Where its next frame goes. */
  readonly endBytes: number;
  readonly sequenceNext: number;
  /** Bytes of a torn end to be cut off. */
  readonly tornBytes: number;
  /** Leftovers of a rotation that was interrupted. */
  readonly obsolete: readonly string[];
}

/**
 * Reads the folder and changes nothing.
 * @throws AntipodeError `COORDINATOR_CORRUPT`, `FORMAT_UNSUPPORTED`, `DISK_FAILED`
 */
export async function recover(disk: Disk, folder: string, checksum: Checksum): Promise<Recovered> {
  const names = await disk.list(folder);
  const starts = (kind: string): number[] =>
    names.flatMap((name) => {
      const match = NAME.exec(name);
      return match?.[1] === kind ? [Number(match[2])] : [];
    });
  const snapshots = starts("snapshot").sort((a, b) => a - b);
  const snapshot = snapshots.at(-1);
  const start = snapshot ?? 1;
  const logs = starts("log").sort((a, b) => a - b);
  const obsolete = [
    ...names.filter((name) => TEMPORARY.test(name)).map((name) => `${folder}/${name}`),
    ...snapshots.filter((one) => one < start).map((one) => snapshotPath(folder, one)),
    ...logs.filter((one) => one < start).map((one) => logPath(folder, one)),
  ];
  const records =
    snapshot === undefined
      ? []
      : await readSnapshot(disk, snapshotPath(folder, snapshot), checksum);
  const live = logs.filter((one) => one >= start);
  if (live.length === 0 && snapshot === undefined && logs.length === 0)
    return { records, logStart: undefined, endBytes: 0, sequenceNext: 1, tornBytes: 0, obsolete };
  if (live[0] !== start)
    throw corrupt(logPath(folder, start), "the log after the snapshot is missing");
  return { ...(await readLogs(disk, folder, checksum, live, records)), obsolete };
}

async function readLogs(
  disk: Disk,
  folder: string,
  checksum: Checksum,
  logs: readonly number[],
  before: readonly LogRecord[],
): Promise<Omit<Recovered, "obsolete">> {
  const records = [...before];
  let sequenceNext = logs[0] ?? 1;
  let endBytes = 0;
  let tornBytes = 0;
  for (const [index, start] of logs.entries()) {
    const path = logPath(folder, start);
    if (start !== sequenceNext) throw corrupt(path, "a log before it is missing or cut short");
    const bytes = (await readWhole(disk, path)) ?? new Uint8Array(0);
    const scan = scanFrames(checksum, { path, bytes }, start);
    if (scan.torn && index < logs.length - 1) throw corrupt(path, "it ends too early");
    for (const frame of scan.frames) records.push(...decoded(path, frame.payload));
    sequenceNext = start + scan.frames.length;
    endBytes = scan.endBytes;
    tornBytes = bytes.length - scan.endBytes;
  }
  return { records, logStart: logs.at(-1), endBytes, sequenceNext, tornBytes };
}

/** A snapshot is whole: it was renamed into place after its sync. An empty frame ends it. */
async function readSnapshot(
  disk: Disk,
  path: string,
  checksum: Checksum,
): Promise<readonly LogRecord[]> {
  const bytes = (await readWhole(disk, path)) ?? new Uint8Array(0);
  const { frames, torn } = scanFrames(checksum, { path, bytes }, 0);
  if (torn || frames.at(-1)?.payload.length !== 0) throw corrupt(path, "it is damaged");
  return frames.slice(0, -1).flatMap((frame) => [...decoded(path, frame.payload)]);
}

/** The bytes of a snapshot file. */
export function encodeSnapshot(
  checksum: Checksum,
  records: readonly LogRecord[],
): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  let sequence = 0;
  for (let at = 0; at < records.length; at += SNAPSHOT_FRAME_RECORDS) {
    const payload = encodeBatch(records.slice(at, at + SNAPSHOT_FRAME_RECORDS));
    parts.push(...encodeFrame(checksum, sequence++, payload));
  }
  parts.push(...encodeFrame(checksum, sequence, new Uint8Array(0)));
  return parts;
}

function decoded(path: string, payload: Uint8Array): readonly LogRecord[] {
  let records: readonly LogRecord[] | undefined;
  try {
    records = decodeBatch(payload);
  } catch (cause) {
    if (cause instanceof WireError) throw corrupt(path, messageOf(cause));
    throw cause;
  }
  if (records === undefined)
    throw new AntipodeError("FORMAT_UNSUPPORTED", `${path} holds records of another version`, {
      path,
    });
  return records;
}

function corrupt(path: string, why: string): AntipodeError {
  return new AntipodeError("COORDINATOR_CORRUPT", `${path}: ${why}`, { path });
}
