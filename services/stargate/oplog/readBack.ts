/**
 * Reads records back from the journal. Neighbours in a segment are one disk read; each record's
 * header and data are checked against what the replica knows of it.
 */

import { AntipodeError, codeOf } from "../../base/errors.ts";
import type { Lsn, VdiskId } from "../../base/ids.ts";
import type { Codec } from "../../platform/codec.ts";
import { ENTRY_HEADER_BYTES, entryBytes, isDataIntact, readEntryHeader } from "./entry.ts";
import type { Held } from "./held.ts";
import type { OplogLimits } from "./limits.ts";
import type { Segment } from "./segment.ts";

export interface ReadBackOptions {
  readonly codec: Codec;
  readonly limits: OplogLimits;
  readonly vdiskId: VdiskId;
}

/** `OPLOG_CORRUPT`: a record in the journal fails its check. */
export class CorruptRecord extends AntipodeError {
  readonly lsn: Lsn;

  constructor({ vdiskId }: ReadBackOptions, held: Held) {
    super("OPLOG_CORRUPT", `record ${held.lsn} of the oplog fails its check`, {
      vdiskId,
      lsn: held.lsn,
      segment: held.segment?.sequence ?? 0,
      position: held.position,
    });
    this.lsn = held.lsn;
  }
}

/** `DISK_FAILED`: the journal cannot be read there. */
export class UnreadableRecord extends AntipodeError {
  readonly lsn: Lsn;

  constructor({ vdiskId }: ReadBackOptions, held: Held, cause: unknown) {
    const details = { vdiskId, lsn: held.lsn, segment: held.segment?.sequence ?? 0 };
    super("DISK_FAILED", `record ${held.lsn} of the oplog cannot be read`, details, cause);
    this.lsn = held.lsn;
  }
}

interface Run {
  readonly segment: Segment;
  readonly start: number;
  end: number;
  readonly records: Held[];
}

/**
 * The data of records that lie in the journal.
 * @param records ascending; each has a segment
 * @throws AntipodeError `OPLOG_CORRUPT`, `DISK_FAILED`
 */
export async function readBack(
  options: ReadBackOptions,
  records: readonly Held[],
): Promise<ReadonlyMap<Held, Uint8Array>> {
  const found = new Map<Held, Uint8Array>();
  const runs = planRuns(records, options.limits);
  for (const run of runs) run.segment.readers += 1;
  try {
    for (const run of runs) {
      const bytes = await readRun(options, run);
      for (const held of run.records) found.set(held, extract(options, run, held, bytes));
    }
  } finally {
    for (const run of runs) run.segment.readers -= 1;
  }
  return found;
}

async function readRun(options: ReadBackOptions, run: Run): Promise<Uint8Array> {
  try {
    return await run.segment.file.read(run.start, run.end - run.start);
  } catch (error) {
    const [first] = run.records;
    if (codeOf(error) !== "DISK_FAILED" || first === undefined) throw error;
    throw new UnreadableRecord(options, first, error);
  }
}

/** Records that lie close together in one segment, in ascending order, go into one run. */
function planRuns(records: readonly Held[], limits: OplogLimits): readonly Run[] {
  const runs: Run[] = [];
  for (const held of records) {
    const { segment, position } = held;
    if (segment === undefined) continue;
    const end = position + entryBytes(held.dataLength);
    const run = runs.at(-1);
    const isNear =
      run?.segment === segment &&
      position >= run.end &&
      position - run.end <= limits.readGapBytesMax &&
      end - run.start <= limits.readBytesMax;
    if (run !== undefined && isNear) {
      run.end = end;
      run.records.push(held);
    } else runs.push({ segment, start: position, end, records: [held] });
  }
  return runs;
}

function extract(options: ReadBackOptions, run: Run, held: Held, bytes: Uint8Array): Uint8Array {
  const { codec, vdiskId } = options;
  const at = held.position - run.start;
  const place = { position: held.position, seed: run.segment.seed };
  const header = readEntryHeader(codec, bytes.subarray(at), place);
  const data = bytes.subarray(at + ENTRY_HEADER_BYTES, at + ENTRY_HEADER_BYTES + held.dataLength);
  const isSame =
    header?.vdiskId === vdiskId && header.lsn === held.lsn && header.epoch === held.epoch;
  if (header !== undefined && isSame && isDataIntact(codec, header, data, place)) return data;
  throw new CorruptRecord(options, held);
}
