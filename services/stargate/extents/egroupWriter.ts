/**
 * Group commit: all records that wait are written to the newest egroup with one gathered write and one
 * sync; then they are in the index and their callers go on. One group is under way at a time.
 *
 * Invariants
 * E1 A caller resolves only after the sync that covers its records.
 * E2 Everything before a group's first byte was synced before the group was written; each record says
 *    where its group began, so recovery can tell a torn tail from rot.
 * E3 An egroup is rolled only when all of it is synced; a new one's header and name are synced before
 *    its first record is written.
 * E4 After a failed sync, or any failure but a full disk, nothing is written any more: a second sync
 *    proves nothing about the pages that the first one lost. Reads go on.
 * E5 After a full disk nothing of the group counts; the file is cut back to where the group began.
 */

import { assert } from "../../base/assert.ts";
import { viewOf } from "../../base/bytes.ts";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import type { Log } from "../../platform/log.ts";
import type { FingerprintKey } from "../blockmap/fingerprints.ts";
import type { StoredChunk } from "../chunks.ts";
import type { ChunkIndex } from "./chunkIndex.ts";
import {
  EGROUP_HEADER_BYTES,
  egroupFileName,
  egroupSeed,
  encodeEgroupHeader,
  RECORD_HEADER_BYTES,
  recordSpan,
  type StoreIdentity,
  writeRecordHeader,
} from "./egroupFormat.ts";

/** One sync covers at most this much; larger groups add latency, not throughput. */
const GROUP_BYTES_MAX = 8 * MIB;

/** A chunk on its way to the disk. */
export interface WriteItem {
  readonly chunk: StoredChunk;
  readonly key: FingerprintKey;
}

/** The egroup that is appended to. */
export interface OpenEgroup {
  readonly egroup: number;
  readonly file: DiskFile;
  /** End of the last record. */
  readonly tailOffset: number;
}

export interface EgroupWriterOptions {
  readonly disk: Disk;
  /** Folder of the egroup files. */
  readonly folder: string;
  readonly codec: Codec;
  readonly log: Log;
  readonly identity: StoreIdentity;
  readonly index: ChunkIndex;
  readonly egroupBytesMax: number;
  /** What recovery found fit to go on with. */
  readonly current: OpenEgroup | undefined;
  readonly nextEgroup: number;
  /** Set when recovery could not make the disk fit for writing. */
  readonly failure: AntipodeError | undefined;
}

interface Batch {
  readonly items: readonly WriteItem[];
  readonly spanBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** See the file's header. */
export class EgroupWriter {
  readonly #options: EgroupWriterOptions;
  readonly #queue: Batch[] = [];
  #current: { egroup: number; file: DiskFile; tailOffset: number; seed: bigint } | undefined;
  #nextEgroup: number;
  #failure: AntipodeError | undefined;
  #running: Promise<void> | undefined;
  #groupCount = 0;

  constructor(options: EgroupWriterOptions) {
    this.#options = options;
    this.#nextEgroup = options.nextEgroup;
    this.#failure = options.failure;
    if (options.current !== undefined)
      this.#current = { ...options.current, seed: this.#seedOf(options.current.egroup) };
  }

  /** Span of the largest batch that `write` takes. */
  get batchBytesMax(): number {
    return Math.min(GROUP_BYTES_MAX, this.#options.egroupBytesMax - EGROUP_HEADER_BYTES);
  }

  /** Why nothing can be written any more. */
  get failure(): AntipodeError | undefined {
    return this.#failure;
  }

  /** Groups written so far. */
  get groupCount(): number {
    return this.#groupCount;
  }

  /**
   * Resolves when all items are durable and in the index.
   * @param items spans add up to at most `batchBytesMax`; bytes must not change until it settles
   * @throws AntipodeError `DISK_FULL`, `DISK_FAILED`: none of them counts as stored
   */
  write(items: readonly WriteItem[]): Promise<void> {
    let spanBytes = 0;
    for (const { chunk } of items) spanBytes += recordSpan(chunk.stored.length);
    assert(spanBytes <= this.batchBytesMax, "a batch fits into an egroup");
    return new Promise((resolve, reject) => {
      this.#queue.push({ items, spanBytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Waits for what is under way and closes the file. */
  async close(): Promise<void> {
    await this.#running;
    await this.#current?.file.close();
    this.#current = undefined;
  }

  #seedOf(egroup: number): bigint {
    return egroupSeed(this.#options.codec, this.#options.identity, egroup);
  }

  async #run(): Promise<void> {
    // A turn later, so that all puts of this turn share the first group.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group.flatMap(({ items }) => items));
        for (const batch of group) batch.resolve();
      } catch (error) {
        for (const batch of group) batch.reject(error);
      }
    }
    this.#running = undefined;
  }

  #takeGroup(): Batch[] {
    let bytes = 0;
    let count = 0;
    for (const batch of this.#queue) {
      bytes += batch.spanBytes;
      if (count > 0 && bytes > this.batchBytesMax) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(items: readonly WriteItem[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await this.#options.index.room();
    let spanBytes = 0;
    for (const { chunk } of items) spanBytes += recordSpan(chunk.stored.length);
    const end = (this.#current?.tailOffset ?? 0) + spanBytes;
    if (this.#current === undefined || end > this.#options.egroupBytesMax) await this.#roll();
    const current = this.#current;
    assert(current !== undefined, "an egroup is open after a roll");
    await this.#append(current.file, current.tailOffset, this.#partsOf(items, current));
    this.#groupCount += 1;
    this.#indexGroup(items, current);
  }

  /** Headers and stored bytes in turn; each header's piece begins with the padding of the record before. */
  #partsOf(items: readonly WriteItem[], at: { tailOffset: number; seed: bigint }): Uint8Array[] {
    const { codec, index } = this.#options;
    const stamp = { generation: index.generation, groupOffset: at.tailOffset };
    const heads = new Uint8Array(items.length * (RECORD_HEADER_BYTES + 8) + 8);
    const out = { bytes: heads, view: viewOf(heads) };
    const parts: Uint8Array[] = [];
    let used = 0;
    let padding = 0;
    let offset = at.tailOffset;
    for (const { chunk } of items) {
      const start = used;
      used += padding;
      writeRecordHeader(codec, { seed: at.seed, offset }, chunk, stamp, out, used);
      used += RECORD_HEADER_BYTES;
      parts.push(heads.subarray(start, used), chunk.stored);
      const span = recordSpan(chunk.stored.length);
      padding = span - RECORD_HEADER_BYTES - chunk.stored.length;
      offset += span;
    }
    if (padding > 0) parts.push(heads.subarray(used, used + padding));
    return parts;
  }

  async #append(file: DiskFile, offset: number, parts: readonly Uint8Array[]): Promise<void> {
    try {
      await file.write(offset, parts);
    } catch (error) {
      if (!isDiskFull(error)) throw this.#becomeFailed(error);
      // E5. If even that fails, the disk is not merely full.
      await file.truncate(offset).catch((cause: unknown) => {
        throw this.#becomeFailed(cause);
      });
      throw error;
    }
    try {
      await file.sync();
    } catch (error) {
      throw this.#becomeFailed(error);
    }
  }

  #indexGroup(
    items: readonly WriteItem[],
    current: { readonly egroup: number; tailOffset: number },
  ): void {
    const { index } = this.#options;
    for (const { chunk, key } of items) {
      index.add(chunk.fingerprint, key, {
        egroup: current.egroup,
        offset: current.tailOffset,
        storedLength: chunk.stored.length,
        rawLength: chunk.rawLength,
        generation: index.generation,
      });
      current.tailOffset += recordSpan(chunk.stored.length);
    }
    index.advance(current.egroup, current.tailOffset);
  }

  /** Ends the newest egroup and begins the next. */
  async #roll(): Promise<void> {
    const { disk, folder, codec, identity, index } = this.#options;
    const before = this.#current;
    this.#current = undefined;
    if (before !== undefined) {
      index.seal({ egroup: before.egroup, sizeBytes: before.tailOffset });
      await before.file.close();
    }
    // Ids are never used twice: a half-made file of a failed try stays behind at worst, and is empty.
    const egroup = this.#nextEgroup++;
    const path = `${folder}/${egroupFileName(egroup)}`;
    let file: DiskFile | undefined;
    try {
      file = await disk.open(path, "create");
      await this.#append(file, 0, [encodeEgroupHeader(codec, identity, egroup)]);
      await disk.syncDirectory(folder);
    } catch (error) {
      await this.#dropHalfMade(file, path);
      throw isDiskFull(error) ? error : this.#becomeFailed(error);
    }
    this.#current = { egroup, file, tailOffset: EGROUP_HEADER_BYTES, seed: this.#seedOf(egroup) };
  }

  /** Tidies up after a failed roll; what cannot be tidied is removed by the next recovery. */
  async #dropHalfMade(file: DiskFile | undefined, path: string): Promise<void> {
    try {
      await file?.close();
      await this.#options.disk.remove(path);
    } catch (error) {
      this.#options.log.warn(
        { event: "extents.half-made-egroup", path, err: error },
        "half-made egroup could not be removed",
      );
    }
  }

  #becomeFailed(cause: unknown): AntipodeError {
    if (this.#failure !== undefined) return this.#failure;
    this.#failure = new AntipodeError(
      "DISK_FAILED",
      `the extent store's disk failed and takes no more writes: ${messageOf(cause)}`,
      { folder: this.#options.folder },
      cause,
    );
    this.#options.log.error(
      { event: "extents.disk-failed", err: cause },
      "disk of the extent store failed; it is read only from here",
    );
    return this.#failure;
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof AntipodeError && error.code === "DISK_FULL";
}
