/** A segment file that the journal knows: its handle, its extent and how much of it is still needed. */

import type { DiskFile } from "../../platform/disk.ts";

export interface Segment {
  readonly sequence: number;
  readonly file: DiskFile;
  readonly seed: bigint;
  /** Bytes of the file, written ahead or not. */
  fileBytes: number;
  /** Records in it that some replica still holds. */
  liveRecords: number;
  /** The batch that states that the last of them went; it must be synced before the file may go. */
  releasedInBatch: number;
  /** Reads under way: the file stays until they are done. */
  readers: number;
}
