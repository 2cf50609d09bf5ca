/**
 * Fingerprint → place of the stored copy, over a KeyIndex that is written lazily behind the egroups.
 *
 * Three layers are looked through, newest first: `pending` (changed since the last batch), `submitted`
 * (the batch under way), the KeyIndex. A batch holds everything that changed up to its watermark and
 * the watermark itself, so whatever prefix of the batches survives a crash, the records that are
 * missing from it lie after the watermark that survived with it. Only records that are synced may be
 * added.
 *
 * One batch is under way at a time. When it fails, its entries become pending again and go with the
 * next one; `pending` is bounded by `ENTRIES_PENDING_MAX`, and writers wait in `room()` before that.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { IndexWrite, KeyIndex } from "../../platform/keyIndex.ts";
import type { Log } from "../../platform/log.ts";
import type { FingerprintKey } from "../blockmap/fingerprints.ts";
import type { Fingerprint } from "../chunks.ts";
import type { StoreIdentity } from "./egroupFormat.ts";
import {
  type ChunkPlace,
  decodePlace,
  encodeMeta,
  encodePlace,
  encodeSealed,
  type IndexMeta,
  metaKey,
  type SealedEgroup,
  sealedKey,
} from "./indexFormat.ts";

/**
 * A batch is worth its transaction, whose sync competes with those of the egroups, from this many
 * entries on: 128 MiB of chunks, which a restart scans in a fifth of a second.
 */
const BATCH_ENTRIES_MIN = 8192;
/** Smaller batches are written after this long, which bounds what a restart scans. */
const BATCH_DELAY_MS = 500;
/** About 10 MB of memory; at 16 KiB a chunk, 1 GiB of egroup not yet indexed. */
const ENTRIES_PENDING_MAX = 65_536;

/** Chunks that are remembered as absent: a window of replication and what its queries run ahead, 2 MB. */
const ABSENT_MAX = 16_384;

assert(BATCH_ENTRIES_MIN * 4 <= ENTRIES_PENDING_MAX, "batches are small beside what may wait");

interface Change {
  readonly fingerprint: Fingerprint;
  /** `undefined`: the chunk was removed. */
  readonly place: ChunkPlace | undefined;
}
type Changes = Map<FingerprintKey, Change>;

export interface ChunkIndexOptions {
  readonly index: KeyIndex;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  readonly identity: StoreIdentity;
  /** State of the index as it was opened, or of a new one. */
  readonly watermark: { readonly egroup: number; readonly offset: number };
  readonly generation: number;
  readonly generationFloor: number;
  readonly sealed: readonly SealedEgroup[];
}

/** See the file's header. One owner: the store that opened it. */
export class ChunkIndex {
  readonly #index: KeyIndex;
  readonly #codec: Codec;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #identity: StoreIdentity;
  #pending: Changes = new Map();
  /** Not in the KeyIndex, as a look-up found: most chunks that are asked for come a moment later. */
  readonly #absent = new Set<FingerprintKey>();
  #submitted: Changes = new Map();
  #watermark: { readonly egroup: number; readonly offset: number };
  #sealed: readonly SealedEgroup[];
  #generation: number;
  #generationFloor: number;
  #isComplete = true;
  #isMetaChanged = false;
  #isSealedChanged = false;
  #isClosed = false;
  /** The last batch failed: only the timer tries again, the disk may be full for long. */
  #isBehind = false;
  #underWay: Promise<AntipodeError | undefined> | undefined;
  #timer: Timer | undefined;

  constructor(options: ChunkIndexOptions) {
    this.#index = options.index;
    this.#codec = options.codec;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#identity = options.identity;
    this.#watermark = options.watermark;
    this.#sealed = options.sealed;
    this.#generation = options.generation;
    this.#generationFloor = options.generationFloor;
  }

  /** The place of the good copy, or `undefined` when there is none. */
  find(fingerprint: Fingerprint, key: FingerprintKey): ChunkPlace | undefined {
    const place = this.#findStored(fingerprint, key);
    if (place === undefined || place.generation >= this.#generationFloor) return place;
    return { ...place, generation: this.#generationFloor };
  }

  #findStored(fingerprint: Fingerprint, key: FingerprintKey): ChunkPlace | undefined {
    const change = this.#pending.get(key) ?? this.#submitted.get(key);
    if (change !== undefined) return change.place;
    if (this.#absent.has(key)) return undefined;
    const value = this.#index.get(fingerprint);
    if (value === undefined) {
      if (this.#absent.size >= ABSENT_MAX) this.#absent.clear();
      this.#absent.add(key);
      return undefined;
    }
    const place = decodePlace(this.#codec, fingerprint, value);
    if (place === undefined) {
      this.distrust("an entry is damaged");
      this.remove(fingerprint, key);
    }
    return place;
  }

  /** Records a synced copy; a later one replaces an earlier one. */
  add(fingerprint: Fingerprint, key: FingerprintKey, place: ChunkPlace): void {
    this.#absent.delete(key);
    // A copy: what comes in may be a view of a large frame.
    this.#pending.set(key, { fingerprint: fingerprint.slice(), place });
    this.#schedule();
  }

  /** The copy is bad: it counts as absent from here. */
  remove(fingerprint: Fingerprint, key: FingerprintKey): void {
    this.#pending.set(key, { fingerprint: fingerprint.slice(), place: undefined });
    this.#schedule();
  }

  /** All sound records before this place have been added. */
  advance(egroup: number, offset: number): void {
    this.#watermark = { egroup, offset };
    this.#isMetaChanged = true;
    this.#schedule();
  }

  /** The egroup will not grow any more. */
  seal(entry: SealedEgroup): void {
    this.#sealed = [...this.#sealed.filter(({ egroup }) => egroup !== entry.egroup), entry];
    this.#isSealedChanged = true;
    this.#isMetaChanged = true;
  }

  get generation(): number {
    return this.#generation;
  }

  raiseGeneration(generation: number): void {
    assert(generation >= this.#generation, "the generation never goes back");
    this.#generation = generation;
    this.#isMetaChanged = true;
    this.#schedule();
  }

  /** Every entry counts as touched in the present generation: earlier touches were forgotten. */
  touchAll(): void {
    this.#generationFloor = this.#generation;
    this.#isMetaChanged = true;
    this.#schedule();
  }

  /** Something was damaged or unreadable, so entries may be missing: the next opening rebuilds all. */
  distrust(reason: string): void {
    if (!this.#isComplete) return;
    this.#log.error(
      { event: "extents.index-incomplete", reason },
      "extent index is incomplete; the next start rebuilds it from the egroups",
    );
    this.#isComplete = false;
    this.#isMetaChanged = true;
    this.#schedule();
  }

  /**
   * Resolves when there is room for more entries, writing batches if need be.
   * @throws AntipodeError `DISK_FULL`, `DISK_FAILED` when the index cannot be written and too much waits
   */
  async room(): Promise<void> {
    // One round for the batch that may be under way, one for what waits behind it.
    for (let round = 0; round < 2 && this.#pending.size >= ENTRIES_PENDING_MAX; round++) {
      const error = await this.#submit();
      if (error !== undefined) throw error;
    }
  }

  /** Number of chunks; may be off by what is pending. */
  count(): number {
    return this.#index.count();
  }

  /**
   * Writes everything that changed; resolves when a power loss would not undo it.
   * @throws AntipodeError `DISK_FULL`, `DISK_FAILED`: nothing is lost, the egroups hold it
   */
  async flush(): Promise<void> {
    if (this.#underWay !== undefined) await this.#underWay;
    if (this.#hasWork()) {
      const error = await this.#submit();
      if (error !== undefined) throw error;
    }
    await this.#index.flush();
  }

  /** Writes what it can, then closes the KeyIndex. What could not be written is found by the next scan. */
  async close(): Promise<void> {
    if (this.#underWay !== undefined) await this.#underWay;
    if (this.#hasWork()) await this.#submit();
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#index.close();
  }

  #hasWork(): boolean {
    return this.#pending.size > 0 || this.#isMetaChanged;
  }

  #schedule(): void {
    if (this.#isClosed || this.#underWay !== undefined || !this.#hasWork()) return;
    if (this.#pending.size >= BATCH_ENTRIES_MIN && !this.#isBehind) void this.#submit();
    else this.#timer ??= this.#clock.after(BATCH_DELAY_MS, () => void this.#submit());
  }

  /** Resolves to why the batch failed, or `undefined`; never rejects. */
  #submit(): Promise<AntipodeError | undefined> {
    this.#underWay ??= this.#writeBatch();
    return this.#underWay;
  }

  async #writeBatch(): Promise<AntipodeError | undefined> {
    this.#timer?.cancel();
    this.#timer = undefined;
    let failure: AntipodeError | undefined;
    try {
      await this.#index.write(this.#takeBatch());
      this.#submitted = new Map();
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      failure = error;
      this.#takeBack();
      this.#log.warn(
        { event: "extents.index-behind", entries: this.#pending.size, err: error },
        "extent index could not be written and will be tried again",
      );
    }
    this.#isBehind = failure !== undefined;
    this.#underWay = undefined;
    this.#schedule();
    return failure;
  }

  #takeBatch(): IndexWrite[] {
    this.#submitted = this.#pending;
    this.#pending = new Map();
    const writes: IndexWrite[] = [];
    for (const { fingerprint, place } of this.#submitted.values())
      writes.push({
        key: fingerprint,
        value: place && encodePlace(this.#codec, fingerprint, place),
      });
    if (this.#isSealedChanged)
      writes.push({ key: sealedKey, value: encodeSealed(this.#codec, this.#sealed) });
    const meta: IndexMeta = {
      identity: this.#identity,
      ...this.#watermark,
      generation: this.#generation,
      generationFloor: this.#generationFloor,
      complete: this.#isComplete,
    };
    writes.push({ key: metaKey, value: encodeMeta(this.#codec, meta) });
    this.#isMetaChanged = false;
    this.#isSealedChanged = false;
    return writes;
  }

  /** What a failed batch held waits again, below what changed meanwhile. */
  #takeBack(): void {
    for (const [key, change] of this.#pending) this.#submitted.set(key, change);
    this.#pending = this.#submitted;
    this.#submitted = new Map();
    this.#isMetaChanged = true;
    this.#isSealedChanged = true;
  }
}
