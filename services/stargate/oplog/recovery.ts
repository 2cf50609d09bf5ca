/**
 * Opens what is on the disk: finds the segments that belong together, replays them in order and says
 * where every replica stands. The journal then begins a new segment: nothing is ever appended to one
 * that was found, so a torn end can never be confused with later entries.
 *
 * The last batch found is written again and synced before anybody relies on it: the process that
 * wrote it may have been killed before its sync, or its sync may have failed, and then the system
 * shows bytes that a loss of power would take away.
 *
 * SPEC.md holds the decision table of recovery (rows R1 to R14) and the test of each row.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { VdiskId } from "../../base/ids.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import type { Log } from "../../platform/log.ts";
import { type Replayed, VdiskReplay } from "./replay.ts";
import type { Segment } from "./segment.ts";
import {
  decodeSegmentHeader,
  identityChecksum,
  OPLOG_FORMAT_VERSION,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
  segmentSeed,
  sequenceOf,
} from "./segmentHeader.ts";
import {
  believeNewest,
  believeSealed,
  endOfScan,
  type ScanItem,
  scanSegment,
  syncedEndOf,
} from "./segmentScan.ts";

export interface RecoveryOptions {
  readonly disk: Disk;
  readonly codec: Codec;
  readonly log: Log;
  readonly folder: string;
  readonly identity: string;
}

/** What was found. */
export interface Recovered {
  /** Oldest first; open for reading. */
  readonly segments: readonly Segment[];
  /** Highest sequence in any file's name: the next segment takes a higher one. */
  readonly highestSequence: number;
  /** The newest segment's sequence and where its entries end; undefined when there is none. */
  readonly tail: { readonly sequence: number; readonly end: number } | undefined;
  readonly vdisks: ReadonlyMap<VdiskId, Replayed>;
  /** Places at which bytes that had been synced were unreadable. */
  readonly lostCount: number;
}

/** The first segment of a journal; it has no checkpoint. */
const FIRST_SEQUENCE = 1;

interface Found {
  readonly sequence: number;
  readonly file: DiskFile;
  readonly fileBytes: number;
  readonly header: SegmentHeader | undefined;
  readonly items: readonly ScanItem[];
}

/**
 * Reads the folder.
 * @throws AntipodeError `FORMAT_UNSUPPORTED` for a segment of another version or another CVM,
 *   `DISK_FAILED` when a file cannot be read
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { disk, folder } = options;
  const sequences = (await disk.list(folder))
    .map(sequenceOf)
    .filter((sequence) => sequence !== undefined);
  const chain: Found[] = [];
  const replay = new Replay();
  try {
    for (let unread = sequences; unread.length > 0; ) {
      const newer = chain[0];
      if (newer?.header?.previousSequence === 0) break;
      const isNamed = unread.includes(newer?.header?.previousSequence ?? 0);
      const wanted = (isNamed ? newer?.header?.previousSequence : unread.at(-1)) ?? 0;
      unread = unread.filter((sequence) => sequence < wanted);
      const found = await readSegment(options, wanted);
      if (isInterruptedStart(found) && !isNamed) await found.file.close();
      else chain.unshift(found);
    }
    checkOldest(chain[0], sequences);
    await removeOthers(options, sequences, chain);
  } catch (error) {
    for (const found of chain) await found.file.close();
    throw error;
  }
  let end = 0;
  for (const [index, found] of chain.entries()) end = replay.read(found, chain[index + 1]);
  const newest = chain.at(-1);
  if (newest !== undefined) await makeDurable(newest, end);
  return describe(options, { chain, replay, end, highestSequence: sequences.at(-1) ?? 0 });
}

async function readSegment(options: RecoveryOptions, sequence: number): Promise<Found> {
  const { disk, codec, folder, identity } = options;
  const path = `${folder}/${segmentName(sequence)}`;
  const file = await disk.open(path, "write");
  try {
    const fileBytes = await file.sizeBytes();
    const header = decodeSegmentHeader(codec, await file.read(0, SEGMENT_HEADER_BYTES), sequence);
    if (header !== undefined) checkHeader(options, header, path);
    const seed = segmentSeed(codec, identity, sequence);
    const from = SEGMENT_HEADER_BYTES;
    const items = await scanSegment({ codec, file, seed, from, end: fileBytes });
    return { sequence, file, fileBytes, header, items };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function checkHeader(options: RecoveryOptions, header: SegmentHeader, path: string): void {
  if (header.version !== OPLOG_FORMAT_VERSION)
    throw new AntipodeError("FORMAT_UNSUPPORTED", `"${path}" has an unknown format version`, {
      path,
      version: header.version,
    });
  if (header.identityXxh64 !== identityChecksum(options.codec, options.identity))
    throw new AntipodeError("FORMAT_UNSUPPORTED", `"${path}" belongs to another CVM`, { path });
}

/** Header and checkpoint are synced before anything else is written, so without them there is nothing. */
function isInterruptedStart({ header, items }: Found): boolean {
  const beyondHead = items.some(
    (item) => item.kind === "entry" && item.header.batchStart > SEGMENT_HEADER_BYTES,
  );
  if (beyondHead) return false;
  return !isHeadWhole({ header, items });
}

function isHeadWhole({ header, items }: Pick<Found, "header" | "items">): boolean {
  return header !== undefined && checkpointsOf(items) >= header.checkpointCount;
}

/**
 * Everything older is gone, so the oldest head is the only word on replicas that have no entry since.
 * Without it nobody can tell which those are: better no replica than one that forgot its promise.
 */
function checkOldest(oldest: Found | undefined, sequences: readonly number[]): void {
  const sequence = oldest?.sequence ?? sequences.at(-1) ?? FIRST_SEQUENCE;
  const isWhole = oldest !== undefined && isHeadWhole(oldest);
  if (isWhole || sequence === FIRST_SEQUENCE) return;
  throw new AntipodeError(
    "OPLOG_CORRUPT",
    "the oldest segment's head is damaged: no replica of this CVM can be trusted",
    { sequence },
  );
}

function checkpointsOf(items: readonly ScanItem[]): number {
  const other = items.findIndex(
    (item) => item.kind === "lost" || item.header.kind !== "checkpoint",
  );
  return other < 0 ? items.length : other;
}

/** Writes the last batch again, with the head when it is the only one, and syncs it. */
async function makeDurable({ file, items }: Found, end: number): Promise<void> {
  const syncedEnd = syncedEndOf(items);
  const from = syncedEnd <= SEGMENT_HEADER_BYTES ? 0 : syncedEnd;
  await file.write(from, [await file.read(from, Math.max(0, end - from))]);
  await file.sync();
}

/** Files that no chain leads to: interrupted starts, and what was trimmed but came back. */
async function removeOthers(
  { disk, folder }: RecoveryOptions,
  sequences: readonly number[],
  chain: readonly Found[],
): Promise<void> {
  const kept = new Set(chain.map((found) => found.sequence));
  for (const sequence of sequences)
    if (!kept.has(sequence)) await disk.remove(`${folder}/${segmentName(sequence)}`);
}

/** All vDisks' replays, fed segment by segment. */
class Replay {
  readonly vdisks = new Map<VdiskId, VdiskReplay>();
  lostCount = 0;

  /** Replays one segment; returns where its believed entries end. */
  read(found: Found, next: Found | undefined): number {
    const from = SEGMENT_HEADER_BYTES;
    const isNamed = next?.header?.previousSequence === found.sequence;
    const sealedEnd = isNamed ? next.header.previousEnd : undefined;
    const items =
      next === undefined
        ? believeNewest(found.items)
        : believeSealed(found.items, from, sealedEnd ?? endOfScan(found.items, from));
    if (isHeadWhole(found)) this.#keepOnly(found.items.slice(0, found.header?.checkpointCount));
    for (const item of items) {
      if (item.kind === "lost") this.#onLost();
      else this.#onEntry(found.sequence, item);
    }
    // Where it ended is not known, or a whole segment is missing behind it.
    if (next !== undefined && !isNamed) this.#onLost();
    return endOfScan(items, from);
  }

  /** A whole checkpoint names every replica: others were forgotten, in a segment that is gone. */
  #keepOnly(checkpoint: readonly ScanItem[]): void {
    const named = new Set(
      checkpoint.map((item) => (item.kind === "entry" ? item.header.vdiskId : undefined)),
    );
    for (const id of this.vdisks.keys()) if (!named.has(id)) this.vdisks.delete(id);
  }

  #onLost(): void {
    this.lostCount += 1;
    for (const vdisk of this.vdisks.values()) vdisk.suspect();
  }

  #onEntry(sequence: number, item: Extract<ScanItem, { kind: "entry" }>): void {
    const { header, position, intact } = item;
    if (header.kind === "close") return;
    if (header.kind === "forget") {
      this.vdisks.delete(header.vdiskId);
      return;
    }
    if (!intact) this.lostCount += 1;
    const vdisk = this.vdisks.get(header.vdiskId) ?? new VdiskReplay();
    this.vdisks.set(header.vdiskId, vdisk);
    vdisk.apply(header, { sequence, position, intact });
  }
}

function describe(
  options: RecoveryOptions,
  state: { chain: readonly Found[]; replay: Replay; end: number; highestSequence: number },
): Recovered {
  const { codec, identity, log } = options;
  const newest = state.chain.at(-1);
  const vdisks = new Map<VdiskId, Replayed>();
  for (const [id, vdisk] of state.replay.vdisks) vdisks.set(id, vdisk.finish());
  const segments = state.chain.map(({ sequence, file, fileBytes }) => ({
    sequence,
    file,
    seed: segmentSeed(codec, identity, sequence),
    fileBytes,
    liveRecords: 0,
    releasedInBatch: 0,
    readers: 0,
  }));
  for (const [id, replayed] of vdisks)
    if (replayed.unknownFrom !== undefined)
      log.error(
        { event: "oplog.damaged", vdiskId: id, unknownFromLsn: replayed.unknownFrom },
        "oplog of a vdisk is damaged",
      );
  return {
    segments,
    highestSequence: state.highestSequence,
    tail: newest === undefined ? undefined : { sequence: newest.sequence, end: state.end },
    vdisks,
    lostCount: state.replay.lostCount,
  };
}
