/**
 * Opens what a CVM's extent store left behind, whatever state that is in: SPEC.md has the decision
 * table, whose labels (F.. for files, D.. for damage, I.. for the index) are cited here.
 *
 * Afterwards every sound record is in the index, every indexed record is durable (a killed process may
 * have left records that were never synced), and the newest egroup ends at its last sound record or is
 * not appended to any more. Only an egroup of a format that this version does not know, an index that can
 * be neither written nor kept in memory, or a disk too full to write in place, ends the opening with an error.
 */

import { AntipodeError, messageOf } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { DiskFile } from "../../platform/disk.ts";
import { keyOf } from "../blockmap/fingerprints.ts";
import { ChunkIndex } from "./chunkIndex.ts";
import {
  checkEgroupHeader,
  EGROUP_HEADER_BYTES,
  egroupFileName,
  egroupOfFileName,
  egroupSeed,
  RECORD_ALIGN_BYTES,
} from "./egroupFormat.ts";
import { type EgroupScan, scanEgroup } from "./egroupScan.ts";
import type { OpenEgroup } from "./egroupWriter.ts";
import { type LoadedIndex, loadIndex, rebuildIndex, type StoreWorld } from "./indexLoad.ts";

/** Written again at a time: small beside a process's memory. */
const WRITE_AGAIN_BYTES = 4 * MIB;

/** What was found wrong with a file of the store. */
export interface EgroupDamage {
  readonly egroup: number;
  readonly offset: number;
  readonly length: number;
  /** `EGROUP_CORRUPT`. */
  readonly error: AntipodeError;
}

export interface RecoveryReport {
  /** Why the index was built anew, or `undefined` when it was kept. */
  readonly rebuildReason: string | undefined;
  readonly egroupCount: number;
  readonly scannedRecords: number;
  readonly scannedBytes: number;
  /** Bytes after the last sound record that no acknowledgement covered. */
  readonly tornBytes: number;
  readonly damage: readonly EgroupDamage[];
  /** False when what was found could not be synced: the store is read only and vouches for nothing. */
  readonly isDurable: boolean;
}

export interface Recovered {
  readonly index: ChunkIndex;
  /** The egroup to go on with, or `undefined`: the first put makes one. */
  readonly current: OpenEgroup | undefined;
  readonly nextEgroup: number;
  /** Set when the newest egroup could not be made safe: the store is read only. */
  readonly failure: AntipodeError | undefined;
  readonly report: RecoveryReport;
}

interface Progress {
  readonly damage: EgroupDamage[];
  scannedRecords: number;
  scannedBytes: number;
  tornBytes: number;
}

/** A scanned egroup that may be appended to. */
interface Newest {
  readonly egroup: number;
  readonly scan: EgroupScan;
}

/**
 * Recovers the store in `world.folder`.
 * @throws AntipodeError `FORMAT_UNSUPPORTED` before anything was changed; `DISK_FAILED` when the folder
 * cannot be read; `DISK_FULL` when a rebuilt index, or the last group written again, does not fit
 */
export async function recoverStore(world: StoreWorld): Promise<Recovered> {
  await world.disk.makeFolder(world.folder);
  const egroups = await listEgroups(world);
  await refuseOtherFormats(world, egroups);
  const progress: Progress = { damage: [], scannedRecords: 0, scannedBytes: 0, tornBytes: 0 };
  let loaded = await loadIndex(world);
  const lost = await findLostFiles(world, egroups, loaded);
  progress.damage.push(...lost);
  if (lost.length > 0 && loaded.rebuildReason === undefined)
    loaded = { ...loaded, rebuildReason: "an egroup is missing or shorter than it was" };
  if (loaded.rebuildReason !== undefined) loaded = await rebuildIndex(world, loaded);
  const index = new ChunkIndex({ ...world, ...loaded, index: loaded.keyIndex });

  try {
    const newest = await scanAll({ world, egroups, loaded, index, progress });
    const ready = newest && (await makeSafe(world, newest, index));
    const nextEgroup = Math.max(loaded.watermark.egroup, ...egroups) + 1;
    if (loaded.rebuildReason !== undefined) index.touchAll();
    const report: RecoveryReport = {
      ...progress,
      rebuildReason: loaded.rebuildReason,
      egroupCount: egroups.length,
      isDurable: ready?.failure === undefined,
    };
    reportRecovery(world, report);
    return { index, current: ready?.current, nextEgroup, failure: ready?.failure, report };
  } catch (error) {
    await index.close();
    throw error;
  }
}

async function listEgroups(world: StoreWorld): Promise<readonly number[]> {
  const names = await world.disk.list(world.folder);
  // F1: other names are left alone.
  return names.flatMap((name) => egroupOfFileName(name) ?? []).sort((a, b) => a - b);
}

/** F3: looks at every header before anything is changed. */
async function refuseOtherFormats(world: StoreWorld, egroups: readonly number[]): Promise<void> {
  for (const egroup of egroups) {
    const header = await withEgroup(world, egroup, (file) => file.read(0, EGROUP_HEADER_BYTES));
    if (header instanceof AntipodeError) continue;
    const check = checkEgroupHeader(world.codec, world.identity, egroup, header);
    if (check.kind !== "unsupported") continue;
    throw new AntipodeError(
      "FORMAT_UNSUPPORTED",
      `${egroupFileName(egroup)} has format ${check.version}`,
      { egroup, version: check.version },
    );
  }
}

/** F7, F8: what the index knows of files that do not grow any more, against what is there. */
async function findLostFiles(
  world: StoreWorld,
  egroups: readonly number[],
  loaded: LoadedIndex,
): Promise<readonly EgroupDamage[]> {
  const { watermark, sealed } = loaded;
  const expected = [...sealed, { egroup: watermark.egroup, sizeBytes: watermark.offset }];
  const found = new Set(egroups);
  const lost: EgroupDamage[] = [];
  for (const { egroup, sizeBytes } of expected) {
    if (egroup === 0) continue;
    if (!found.has(egroup)) {
      lost.push(damaged(egroup, 0, sizeBytes, "the file is missing"));
      continue;
    }
    const size = await withEgroup(world, egroup, (file) => file.sizeBytes());
    // F9 is seen again, and counted, when the file is scanned or a chunk of it is read.
    // The padding after the last record may be missing.
    if (size instanceof AntipodeError || size + RECORD_ALIGN_BYTES > sizeBytes) continue;
    lost.push(damaged(egroup, size, sizeBytes - size, "the file is shorter than it was"));
  }
  return lost;
}

interface ScanAll {
  readonly world: StoreWorld;
  readonly egroups: readonly number[];
  readonly loaded: LoadedIndex;
  readonly index: ChunkIndex;
  readonly progress: Progress;
}

/** Brings the index up to date. Returns the newest egroup when it may be appended to. */
async function scanAll(all: ScanAll): Promise<Newest | undefined> {
  const { world, egroups, loaded, index } = all;
  const newestId = egroups.at(-1);
  let newest: Newest | undefined;
  for (const egroup of egroups) {
    if (egroup < loaded.watermark.egroup) continue;
    const isWatermark = egroup === loaded.watermark.egroup;
    const from = isWatermark
      ? Math.max(EGROUP_HEADER_BYTES, loaded.watermark.offset)
      : EGROUP_HEADER_BYTES;
    const scan = await scanOne(all, egroup, from);
    if (scan === undefined) continue;
    if (egroup === newestId) newest = { egroup, scan };
    else index.seal({ egroup, sizeBytes: Math.min(scan.tailOffset, scan.sizeBytes) });
    index.advance(egroup, scan.tailOffset);
    await index.room();
    await world.clock.yield();
  }
  return newest;
}

/** @returns `undefined` when the file must not be appended to */
async function scanOne(
  all: ScanAll,
  egroup: number,
  from: number,
): Promise<EgroupScan | undefined> {
  const { world, index, progress } = all;
  const isNewest = egroup === all.egroups.at(-1);
  const outcome = await withEgroup(world, egroup, async (file) => {
    const header = await file.read(0, EGROUP_HEADER_BYTES);
    const check = checkEgroupHeader(world.codec, world.identity, egroup, header);
    if (check.kind === "foreign") return "foreign";
    const seed = egroupSeed(world.codec, world.identity, egroup);
    const scan = await scanEgroup({
      file,
      codec: world.codec,
      seed,
      fromOffset: from,
      onRecord: (record, offset) => {
        const { storedLength, rawLength, generation } = record;
        index.add(record.fingerprint, keyOf(record.fingerprint), {
          egroup,
          offset,
          storedLength,
          rawLength,
          generation,
        });
        if (generation > index.generation) index.raiseGeneration(generation);
      },
    });
    return { scan, isHeaderSound: check.kind === "ours" };
  });
  if (outcome instanceof AntipodeError) {
    // F9: its records are unknown until a later opening can read it.
    progress.damage.push(damaged(egroup, 0, 0, "the file cannot be read", outcome));
    index.distrust("an egroup cannot be read");
    return undefined;
  }
  if (outcome === "foreign") {
    progress.damage.push(damaged(egroup, 0, 0, "the file belongs to another CVM or site"));
    return undefined;
  }
  const { scan, isHeaderSound } = outcome;
  progress.scannedRecords += scan.recordCount;
  progress.scannedBytes += Math.max(0, scan.sizeBytes - from);
  if (!isHeaderSound && scan.sizeBytes <= EGROUP_HEADER_BYTES) {
    // F5: a creation that was cut short; nothing was ever acknowledged in it.
    await removeHalfMade(world, egroup);
    return undefined;
  }
  if (!isHeaderSound)
    progress.damage.push(damaged(egroup, 0, EGROUP_HEADER_BYTES, "its header is damaged"));
  judgeDamage(progress, egroup, scan, isNewest);
  return isHeaderSound ? scan : undefined;
}

/** D1 to D3: rot where bytes had been synced, a torn group where no acknowledgement covered them. */
function judgeDamage(
  progress: Progress,
  egroup: number,
  scan: EgroupScan,
  isNewest: boolean,
): void {
  for (const { offset, length } of scan.damage) {
    if (isNewest && offset >= scan.syncedOffset) progress.tornBytes += length;
    else progress.damage.push(damaged(egroup, offset, length, "bytes are no sound record"));
  }
}

async function removeHalfMade(world: StoreWorld, egroup: number): Promise<void> {
  try {
    await world.disk.remove(`${world.folder}/${egroupFileName(egroup)}`);
  } catch (error) {
    if (!(error instanceof AntipodeError)) throw error;
    world.log.warn(
      { event: "extents.half-made-egroup", egroup, err: error },
      "half-made egroup could not be removed",
    );
  }
}

/** Cuts the torn tail off and makes durable what a killed process may have left unsynced. */
async function makeSafe(
  world: StoreWorld,
  newest: Newest,
  index: ChunkIndex,
): Promise<{ current: OpenEgroup | undefined; failure: AntipodeError | undefined }> {
  const { egroup, scan } = newest;
  let file: DiskFile | undefined;
  try {
    file = await world.disk.open(`${world.folder}/${egroupFileName(egroup)}`, "write");
    if (scan.sizeBytes !== scan.tailOffset) await file.truncate(scan.tailOffset);
    const isFirstGroup = scan.syncedOffset <= EGROUP_HEADER_BYTES;
    await writeAgain(file, isFirstGroup ? 0 : scan.syncedOffset, scan.tailOffset);
    await file.sync();
    await world.disk.syncDirectory(world.folder);
    return { current: { egroup, file, tailOffset: scan.tailOffset }, failure: undefined };
  } catch (error) {
    if (!(error instanceof AntipodeError)) throw error;
    // Some file systems need room to write in place. Without it nothing is known of the disk: no opening yet.
    if (error.code === "DISK_FULL") {
      await file?.close();
      throw error;
    }
    // F10: reads can go on; what lies after the watermark is served but may not be durable.
    index.distrust("the newest egroup could not be synced");
    world.log.error(
      { event: "extents.disk-failed", egroup, err: error },
      "newest egroup could not be made safe; the extent store is read only",
    );
    await file?.close().catch((cause: unknown) => {
      world.log.warn(
        { event: "extents.close-failed", egroup, err: cause },
        "egroup was not closed",
      );
    });
    const failure = new AntipodeError(
      "DISK_FAILED",
      `the newest egroup could not be made safe: ${messageOf(error)}`,
      { egroup },
      error,
    );
    return { current: undefined, failure };
  }
}

/**
 * The last group may have met a failed sync: then it is in memory only, its pages count as clean, and no
 * later sync writes them. Written again they are dirty like any others.
 */
async function writeAgain(file: DiskFile, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += WRITE_AGAIN_BYTES)
    await file.write(at, [await file.read(at, Math.min(WRITE_AGAIN_BYTES, to - at))]);
}

/** The result of `use`, or the typed failure of opening or reading the file. */
async function withEgroup<T>(
  world: StoreWorld,
  egroup: number,
  use: (file: DiskFile) => Promise<T>,
): Promise<T | AntipodeError> {
  try {
    const file = await world.disk.open(`${world.folder}/${egroupFileName(egroup)}`, "read");
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof AntipodeError) return error;
    throw error;
  }
}

function damaged(
  egroup: number,
  offset: number,
  length: number,
  reason: string,
  cause?: unknown,
): EgroupDamage {
  const error = new AntipodeError(
    "EGROUP_CORRUPT",
    `${egroupFileName(egroup)} is damaged: ${reason}`,
    { egroup, offset, length, reason },
    cause,
  );
  return { egroup, offset, length, error };
}

function reportRecovery(world: StoreWorld, report: RecoveryReport): void {
  for (const { error } of report.damage)
    world.log.error(
      { event: "extents.egroup-corrupt", ...error.details, err: error },
      "egroup is damaged; what is sound in it serves on",
    );
  world.log.info(
    {
      event: "extents.recovered",
      rebuildReason: report.rebuildReason ?? "",
      egroups: report.egroupCount,
      scannedRecords: report.scannedRecords,
      scannedBytes: report.scannedBytes,
      tornBytes: report.tornBytes,
      damagedSpans: report.damage.length,
    },
    "extent store recovered",
  );
}
