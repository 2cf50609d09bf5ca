/**
 * The journal's files: which there are, which are needed, and what becomes of those that are not.
 *
 * A file may go when no replica holds a record of it, when the statement of that (a trim, truncation
 * or reset) is synced, and when every older file may go as well: removing oldest first keeps the
 * log one piece, so that an old record can never come back without the entries that undid it. The
 * promises in it are restated by the checkpoint at the head of every newer segment.
 *
 * A trimmed file is kept as a spare and renamed to the next segment: its space is allocated and its
 * old bytes cannot pass under the new seed.
 */

import { present } from "../../base/assert.ts";
import type { RecoveryOptions } from "./recovery.ts";
import type { Segment } from "./segment.ts";
import { segmentName } from "./segmentHeader.ts";

export class SegmentSpace {
  readonly #options: RecoveryOptions;
  readonly #sparesMax: number;
  /** Oldest first. The last one is the current one, or sealed. */
  readonly #segments: Segment[];
  readonly #spares: Segment[] = [];

  constructor(options: RecoveryOptions, segments: readonly Segment[], sparesMax: number) {
    this.#options = options;
    this.#segments = [...segments];
    this.#sparesMax = sparesMax;
  }

  fileBytes(): number {
    let bytes = 0;
    for (const { fileBytes } of this.#segments) bytes += fileBytes;
    for (const { fileBytes } of this.#spares) bytes += fileBytes;
    return bytes;
  }

  /** Segments that are still needed, oldest first. */
  needed(): readonly Segment[] {
    return this.#segments;
  }

  segmentOf(sequence: number): Segment | undefined {
    return this.#segments.find((segment) => segment.sequence === sequence);
  }

  /**
   * Makes the file of a new segment, with its head; durable with its name when it resolves.
   * @throws AntipodeError `DISK_FULL`, `DISK_FAILED`: then there is no such segment
   */
  async begin(sequence: number, seed: bigint, head: Uint8Array): Promise<Segment> {
    const { disk, folder } = this.#options;
    const path = this.#path(sequence);
    const spare = this.#spares.shift();
    // The new name must be durable before the old content goes, or the old name would lead to it.
    if (spare !== undefined) {
      await disk.rename(this.#path(spare.sequence), path);
      await disk.syncDirectory(folder);
    }
    const file = spare?.file ?? (await disk.open(path, "create"));
    try {
      await file.write(0, [head]);
      await file.sync();
      if (spare === undefined) await disk.syncDirectory(folder);
    } catch (error) {
      await this.#discard(path, file);
      throw error;
    }
    const fileBytes = Math.max(spare?.fileBytes ?? 0, head.length);
    const segment = {
      sequence,
      file,
      seed,
      fileBytes,
      liveRecords: 0,
      releasedInBatch: 0,
      readers: 0,
    };
    this.#segments.push(segment);
    return segment;
  }

  /** Gives up files that are not needed any more. `syncedBatch` is the newest batch that is synced. */
  async removeReleased(syncedBatch: number): Promise<void> {
    while (this.#segments.length > 1) {
      const oldest = present(this.#segments[0], "there is an oldest segment");
      const isNeeded =
        oldest.liveRecords > 0 || oldest.readers > 0 || oldest.releasedInBatch > syncedBatch;
      if (isNeeded) return;
      this.#segments.shift();
      if (this.#spares.length < this.#sparesMax) this.#spares.push(oldest);
      else await this.#discard(this.#path(oldest.sequence), oldest.file);
    }
  }

  async close(): Promise<void> {
    for (const { file } of [...this.#segments, ...this.#spares]) await file.close();
  }

  /** A file that cannot be removed is only space lost: the next start tries again. */
  async #discard(path: string, file: Segment["file"]): Promise<void> {
    try {
      await file.close();
      await this.#options.disk.remove(path);
    } catch (error) {
      this.#options.log.warn(
        { event: "oplog.removeFailed", path, err: error },
        "segment not removed",
      );
    }
  }

  #path(sequence: number): string {
    return `${this.#options.folder}/${segmentName(sequence)}`;
  }
}
