/**
 * One CVM's own extent store: chunks in egroup files, found through an index.
 *
 * Invariants (SPEC.md says which test holds each)
 * X1 A put resolves only when every chunk of it is durable here.
 * X2 What is returned is what was stored under that fingerprint: a copy that fails its check is never
 *    returned, and counts as absent for `has` and `put` from then on (P7).
 * X3 A chunk that is here, or on its way here, is not written again.
 * X4 Recovery never fails for damage: it serves what is sound.
 * X5 After a failed sync nothing is written any more, reads go on. After a full disk nothing of the
 *    put counts, and a later put may succeed.
 */

import { assert } from "../../base/assert.ts";
import { toHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Disk } from "../../platform/disk.ts";
import type { KeyIndexes } from "../../platform/keyIndex.ts";
import type { Log } from "../../platform/log.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { EGROUPS_FOLDER } from "./atlas.ts";
import { ByteGate } from "./byteGate.ts";
import type { ChunkIndex } from "./chunkIndex.ts";
import { EgroupFiles } from "./egroupFiles.ts";
import {
  CHUNK_RAW_BYTES_MAX,
  EGROUP_HEADER_BYTES,
  isStorable,
  recordSpan,
  type StoreIdentity,
} from "./egroupFormat.ts";
import { EgroupWriter, type WriteItem } from "./egroupWriter.ts";
import { type LocalCopy, LocalReader } from "./localReader.ts";
import { type RecoveryReport, recoverStore } from "./recovery.ts";

/** A file of this size costs one descriptor and one create for 4096 chunks of 16 KiB. */
export const EGROUP_BYTES_MAX_DEFAULT = 64 * MIB;
/** Puts that wait for the disk hold at most this much; then they wait to be let in. Eight groups. */
const PUT_BYTES_WAITING_MAX = 64 * MIB;

export interface LocalStoreOptions {
  readonly disk: Disk;
  readonly indexes: KeyIndexes;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  /** Relative to the root of disk and indexes; the store makes `egroups` and `index` in it. */
  readonly folder: string;
  readonly identity: StoreIdentity;
  /** For tests with small files; default `EGROUP_BYTES_MAX_DEFAULT`. */
  readonly egroupBytesMax?: number;
}

export interface PutOutcome {
  /** For each chunk: true when this put wrote it, false when it was here or on its way. */
  readonly isNew: readonly boolean[];
  readonly storedCount: number;
  /** Stored bytes of those that are new. */
  readonly storedBytes: number;
}

/** Counters since the store was opened, for status pages and metrics. */
export interface LocalStoreStats {
  readonly chunkCount: number;
  readonly storedCount: number;
  readonly storedBytes: number;
  readonly dedupedCount: number;
  readonly dedupedBytes: number;
  readonly groupCount: number;
  readonly readCount: number;
  readonly readBytes: number;
  readonly corruptCount: number;
  readonly failedReadCount: number;
}

export interface LocalStore {
  /**
   * Resolves when every chunk is durable here. Stored bytes must not change until it settles.
   * @throws AntipodeError `DISK_FULL`, `DISK_FAILED`: nothing is acknowledged, though some may be stored;
   * `INVALID_ARGUMENT` for lengths that cannot be
   */
  put(chunks: readonly StoredChunk[]): Promise<PutOutcome>;
  /** One answer a fingerprint, in order, verified. Stored bytes are views: copy what is kept for long. */
  get(fingerprints: readonly Fingerprint[]): Promise<readonly LocalCopy[]>;
  /** For each fingerprint: is there a durable copy that is not known to be bad? */
  has(fingerprints: readonly Fingerprint[]): readonly boolean[];
  /** Generation that writes and look-ups stamp their chunks with. */
  readonly generation: number;
  /** Begins a new generation; resolves when it is durable. For garbage collection. */
  raiseGeneration(generation: number): Promise<void>;
  /** `DISK_FAILED` once nothing can be written any more. */
  readonly failure: AntipodeError | undefined;
  readonly recovery: RecoveryReport;
  stats(): LocalStoreStats;
  /** Waits for puts under way, writes the index, closes all files. */
  close(): Promise<void>;
}

/**
 * Opens or creates the store, recovering what a crash left.
 * @throws AntipodeError `FORMAT_UNSUPPORTED`, `DISK_FULL`, `DISK_FAILED`
 */
export async function openLocalStore(options: LocalStoreOptions): Promise<LocalStore> {
  const { disk, codec, log, identity } = options;
  const egroupBytesMax = options.egroupBytesMax ?? EGROUP_BYTES_MAX_DEFAULT;
  assert(
    egroupBytesMax >= EGROUP_HEADER_BYTES + recordSpan(CHUNK_RAW_BYTES_MAX) &&
      egroupBytesMax < 0x1_0000_0000,
    "an egroup holds at least one record, and its offsets fit 32 bits",
  );
  const folder = `${options.folder}/${EGROUPS_FOLDER}`;
  const world = { ...options, folder, indexFolder: `${options.folder}/index` };
  const recovered = await recoverStore(world);
  const { index } = recovered;
  const files = new EgroupFiles(disk, folder);
  const writer = new EgroupWriter({
    ...recovered,
    disk,
    folder,
    codec,
    log,
    identity,
    egroupBytesMax,
  });
  const reader = new LocalReader({ codec, log, identity, index, files });
  return new Store({ index, files, writer, reader, recovery: recovered.report });
}

interface StoreParts {
  readonly index: ChunkIndex;
  readonly files: EgroupFiles;
  readonly writer: EgroupWriter;
  readonly reader: LocalReader;
  readonly recovery: RecoveryReport;
}

class Store implements LocalStore {
  readonly #parts: StoreParts;
  /** Chunks on their way to the disk, and when they are there. */
  readonly #underWay = new Map<FingerprintKey, Promise<void>>();
  readonly #gate = new ByteGate(PUT_BYTES_WAITING_MAX);
  /** Puts and gets that have not settled. */
  readonly #active = new Set<Promise<unknown>>();
  #isClosed = false;
  #storedCount = 0;
  #storedBytes = 0;
  #dedupedCount = 0;
  #dedupedBytes = 0;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  get generation(): number {
    return this.#parts.index.generation;
  }

  get failure(): AntipodeError | undefined {
    return this.#parts.writer.failure;
  }

  get recovery(): RecoveryReport {
    return this.#parts.recovery;
  }

  put(chunks: readonly StoredChunk[]): Promise<PutOutcome> {
    assert(!this.#isClosed, "an open store is written to");
    return this.#track(this.#put(chunks));
  }

  async #put(chunks: readonly StoredChunk[]): Promise<PutOutcome> {
    if (this.failure !== undefined) throw this.failure;
    let bytes = 0;
    for (const chunk of chunks) {
      bytes += chunk.stored.length;
      if (!isStorable(chunk))
        throw new AntipodeError("INVALID_ARGUMENT", "a chunk to store has impossible lengths", {
          fingerprint: toHex(chunk.fingerprint),
          rawLength: chunk.rawLength,
          storedLength: chunk.stored.length,
        });
    }
    await this.#gate.enter(bytes);
    try {
      return await this.#putNow(chunks);
    } finally {
      this.#gate.leave(bytes);
    }
  }

  /** Looks up and enqueues in one turn, so that no chunk is written twice (X3). */
  async #putNow(chunks: readonly StoredChunk[]): Promise<PutOutcome> {
    const { writer } = this.#parts;
    const isNew: boolean[] = [];
    const waits = new Set<Promise<void>>();
    const items: WriteItem[] = [];
    const fresh = new Set<FingerprintKey>();
    let storedBytes = 0;
    for (const chunk of chunks) {
      const key = keyOf(chunk.fingerprint);
      const isHere = this.#touch(chunk.fingerprint, key);
      const underWay = isHere ? undefined : this.#underWay.get(key);
      if (underWay !== undefined) waits.add(underWay);
      const isFresh = !isHere && underWay === undefined && !fresh.has(key);
      isNew.push(isFresh);
      if (!isFresh) {
        this.#dedupedCount += 1;
        this.#dedupedBytes += chunk.stored.length;
        continue;
      }
      fresh.add(key);
      items.push({ chunk, key });
      storedBytes += chunk.stored.length;
    }
    for (const batch of batchesOf(items, writer.batchBytesMax)) waits.add(this.#write(batch));
    await settleAll(waits);
    this.#storedCount += items.length;
    this.#storedBytes += storedBytes;
    assert(isNew.length === chunks.length, "every chunk has its answer");
    return { isNew, storedCount: items.length, storedBytes };
  }

  /** True when there is a copy; its generation is raised to the present one. */
  #touch(fingerprint: Fingerprint, key: FingerprintKey): boolean {
    const { index } = this.#parts;
    const place = index.find(fingerprint, key);
    if (place === undefined) return false;
    const { generation } = index;
    if (place.generation < generation) index.add(fingerprint, key, { ...place, generation });
    return true;
  }

  async #write(batch: readonly WriteItem[]): Promise<void> {
    const durable = this.#parts.writer.write(batch);
    for (const { key } of batch) this.#underWay.set(key, durable);
    try {
      await durable;
    } finally {
      for (const { key } of batch) this.#underWay.delete(key);
    }
  }

  get(fingerprints: readonly Fingerprint[]): Promise<readonly LocalCopy[]> {
    assert(!this.#isClosed, "an open store is read from");
    return this.#track(this.#parts.reader.read(fingerprints));
  }

  async #track<T>(operation: Promise<T>): Promise<T> {
    this.#active.add(operation);
    try {
      return await operation;
    } finally {
      this.#active.delete(operation);
    }
  }

  has(fingerprints: readonly Fingerprint[]): readonly boolean[] {
    const { index, recovery } = this.#parts;
    // What recovery could read but not sync is served, never vouched for.
    if (!recovery.isDurable) return fingerprints.map(() => false);
    return fingerprints.map(
      (fingerprint) => index.find(fingerprint, keyOf(fingerprint)) !== undefined,
    );
  }

  async raiseGeneration(generation: number): Promise<void> {
    this.#parts.index.raiseGeneration(generation);
    await this.#parts.index.flush();
  }

  stats(): LocalStoreStats {
    const { index, reader, writer } = this.#parts;
    return {
      chunkCount: index.count(),
      storedCount: this.#storedCount,
      storedBytes: this.#storedBytes,
      dedupedCount: this.#dedupedCount,
      dedupedBytes: this.#dedupedBytes,
      groupCount: writer.groupCount,
      readCount: reader.readCount,
      readBytes: reader.readBytes,
      corruptCount: reader.corruptCount,
      failedReadCount: reader.failedCount,
    };
  }

  async close(): Promise<void> {
    assert(!this.#isClosed, "a store is closed once");
    this.#isClosed = true;
    await Promise.allSettled(this.#active);
    await this.#parts.writer.close();
    await this.#parts.files.close();
    await this.#parts.index.close();
  }
}

/** Pieces in order that fit a group each. */
function batchesOf(items: readonly WriteItem[], bytesMax: number): WriteItem[][] {
  const batches: WriteItem[][] = [];
  let batch: WriteItem[] = [];
  let bytes = 0;
  for (const item of items) {
    const span = recordSpan(item.chunk.stored.length);
    if (batch.length === 0 || bytes + span > bytesMax) {
      batch = [];
      batches.push(batch);
      bytes = 0;
    }
    batch.push(item);
    bytes += span;
  }
  return batches;
}

/** Waits for all of them, so that no buffer is in use any more, then fails with the first failure. */
async function settleAll(waits: ReadonlySet<Promise<void>>): Promise<void> {
  const results = await Promise.allSettled(waits);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
