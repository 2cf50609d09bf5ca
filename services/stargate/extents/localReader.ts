/**
 * Reads stored copies from egroups. Neighbours in a file are read together; every record is checked
 * against its header, its place and its fingerprint. A bad copy is taken out of the index, so that it
 * counts as absent and can be written again; it is never returned (P7).
 */

import { equalBytes, toHex, viewOf } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { KIB, MIB } from "../../base/units.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import type { ChunkIndex } from "./chunkIndex.ts";
import type { EgroupFiles } from "./egroupFiles.ts";
import {
  egroupSeed,
  isStoredSound,
  RECORD_HEADER_BYTES,
  type RecordBytes,
  readRecordHeader,
  type StoreIdentity,
} from "./egroupFormat.ts";
import type { ChunkPlace } from "./indexFormat.ts";

/** Records this close are read in one go: two reads cost more than the bytes between. */
const GAP_BYTES_MAX = 16 * KIB;
/** One read, and so what a view of it keeps alive. */
const RUN_BYTES_MAX = MIB;
/** Reads under way for one call; libuv has four threads a process. */
const RUNS_AT_ONCE_MAX = 4;

/** What a CVM's own store has for a fingerprint. */
export type LocalCopy =
  | { readonly kind: "found"; readonly chunk: StoredChunk }
  | { readonly kind: "absent" }
  /** It was here, failed its check, and counts as absent now. `CHUNK_CORRUPT`. */
  | { readonly kind: "corrupt"; readonly error: AntipodeError }
  /** The disk could not be read; the copy may be good. `DISK_FAILED`. */
  | { readonly kind: "failed"; readonly error: AntipodeError };

const ABSENT: LocalCopy = { kind: "absent" };

interface Wanted {
  readonly slot: number;
  readonly fingerprint: Fingerprint;
  readonly key: FingerprintKey;
  readonly place: ChunkPlace;
}

export interface LocalReaderOptions {
  readonly codec: Codec;
  readonly log: Log;
  readonly identity: StoreIdentity;
  readonly index: ChunkIndex;
  readonly files: EgroupFiles;
}

/** See the file's header. */
export class LocalReader {
  readonly #options: LocalReaderOptions;
  /** Copies that failed their check, since the store was opened. */
  corruptCount = 0;
  /** Copies that could not be read. */
  failedCount = 0;
  readCount = 0;
  readBytes = 0;

  constructor(options: LocalReaderOptions) {
    this.#options = options;
  }

  /** One answer a fingerprint, in order. Stored bytes are views of what was read: copy what is kept. */
  async read(fingerprints: readonly Fingerprint[]): Promise<readonly LocalCopy[]> {
    const copies: LocalCopy[] = fingerprints.map(() => ABSENT);
    const wanted: Wanted[] = [];
    for (const [slot, fingerprint] of fingerprints.entries()) {
      const key = keyOf(fingerprint);
      const place = this.#options.index.find(fingerprint, key);
      if (place !== undefined) wanted.push({ slot, fingerprint, key, place });
    }
    const runs = runsOf(wanted);
    const work = async (): Promise<void> => {
      for (let run = runs.shift(); run !== undefined; run = runs.shift())
        await this.#readRun(run, copies);
    };
    await Promise.all(Array.from({ length: Math.min(RUNS_AT_ONCE_MAX, runs.length) }, work));
    return copies;
  }

  async #readRun(run: readonly Wanted[], copies: LocalCopy[]): Promise<void> {
    const first = run[0];
    if (first === undefined) return;
    const { egroup, offset } = first.place;
    const length = Math.max(...run.map(({ place }) => endOf(place))) - offset;
    let bytes: Uint8Array | "missing";
    try {
      bytes = await this.#options.files.lend(egroup, (file) => file.read(offset, length));
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      for (const { slot } of run) copies[slot] = { kind: "failed", error };
      this.failedCount += run.length;
      return;
    }
    if (bytes === "missing") {
      for (const want of run) copies[want.slot] = this.#condemn(want, "the file is gone");
      return;
    }
    const seed = egroupSeed(this.#options.codec, this.#options.identity, egroup);
    const read = { bytes, view: viewOf(bytes) };
    for (const want of run)
      copies[want.slot] = this.#check(want, seed, read, want.place.offset - offset);
  }

  #check(want: Wanted, seed: bigint, read: RecordBytes, at: number): LocalCopy {
    const { codec } = this.#options;
    const { fingerprint, place: indexed } = want;
    const place = { seed, offset: indexed.offset };
    const header = readRecordHeader(codec, place, read, at);
    if (header === undefined) return this.#condemn(want, "its header is damaged");
    if (!equalBytes(header.fingerprint, fingerprint))
      return this.#condemn(want, "another chunk lies at its place");
    const start = at + RECORD_HEADER_BYTES;
    const stored = read.bytes.subarray(start, start + header.storedLength);
    if (!isStoredSound(codec, place, header, stored))
      return this.#condemn(want, "its bytes are damaged");
    this.readCount += 1;
    this.readBytes += stored.length;
    const { codec: codecId, rawLength } = header;
    return { kind: "found", chunk: { fingerprint, codec: codecId, rawLength, stored } };
  }

  #condemn(want: Wanted, reason: string): LocalCopy {
    const { egroup, offset } = want.place;
    const now = this.#options.index.find(want.fingerprint, want.key);
    // Meanwhile another reader may have condemned it, and a repair written it anew elsewhere.
    if (now?.egroup === egroup && now.offset === offset)
      this.#options.index.remove(want.fingerprint, want.key);
    this.corruptCount += 1;
    const details = { fingerprint: toHex(want.fingerprint), egroup, offset, reason };
    this.#options.log.warn(
      { event: "extents.chunk-corrupt", ...details },
      "copy of a chunk failed its check and is not used",
    );
    return {
      kind: "corrupt",
      error: new AntipodeError("CHUNK_CORRUPT", `a copy of a chunk is bad: ${reason}`, details),
    };
  }
}

const endOf = (place: ChunkPlace): number =>
  place.offset + RECORD_HEADER_BYTES + place.storedLength;

/** Groups what lies close together in a file, in order of place. */
function runsOf(wanted: readonly Wanted[]): Wanted[][] {
  const sorted = wanted.toSorted(
    (a, b) => a.place.egroup - b.place.egroup || a.place.offset - b.place.offset,
  );
  const runs: Wanted[][] = [];
  let run: Wanted[] = [];
  let start = 0;
  let end = 0;
  for (const want of sorted) {
    const { place } = want;
    const joins =
      run[0]?.place.egroup === place.egroup &&
      place.offset - end <= GAP_BYTES_MAX &&
      endOf(place) - start <= RUN_BYTES_MAX;
    if (!joins) {
      run = [];
      runs.push(run);
      start = place.offset;
      end = 0;
    }
    run.push(want);
    end = Math.max(end, endOf(place));
  }
  return runs;
}
