/**
 * Finds every sound record of an egroup file from an offset on, and what is damaged between them.
 *
 * Damage never ends a scan: after a bad place the search goes on, 8 bytes at a time, for the next
 * header that is sound at exactly its offset (checksums are bound to the place, so old bytes and data
 * that look like a header are not mistaken for one). SPEC.md says what a caller makes of the damage.
 */

import { viewOf } from "../../base/bytes.ts";
import { MIB } from "../../base/units.ts";
import type { Codec } from "../../platform/codec.ts";
import type { DiskFile } from "../../platform/disk.ts";
import {
  isStoredSound,
  RECORD_ALIGN_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  type RecordHeader,
  readRecordHeader,
  recordSpan,
} from "./egroupFormat.ts";

/** Read at a time: large enough for the disk, small beside a process's memory. */
const WINDOW_BYTES = 4 * MIB;

/** A run of bytes without a sound record. */
export interface DamagedSpan {
  readonly offset: number;
  readonly length: number;
}

export interface EgroupScan {
  readonly recordCount: number;
  /** End of the last sound record, or where the scan began. */
  readonly tailOffset: number;
  readonly sizeBytes: number;
  readonly damage: readonly DamagedSpan[];
  /** Everything before was synced once: the highest `groupOffset` of any sound record. */
  readonly syncedOffset: number;
}

export interface ScanRequest {
  readonly file: DiskFile;
  readonly codec: Codec;
  readonly seed: bigint;
  /** A multiple of 8, known to be the end of a record or of the header. */
  readonly fromOffset: number;
  readonly onRecord: (header: RecordHeader, offset: number) => void;
}

/** Scans to the end of the file. Errors: what reading the file throws. */
export async function scanEgroup(request: ScanRequest): Promise<EgroupScan> {
  const { file, codec, seed, fromOffset } = request;
  const sizeBytes = await file.sizeBytes();
  const window = createWindow(file);
  const damage: DamagedSpan[] = [];
  let offset = fromOffset;
  let tailOffset = fromOffset;
  let syncedOffset = fromOffset;
  let recordCount = 0;

  while (offset + RECORD_HEADER_BYTES <= sizeBytes) {
    const place = { seed, offset };
    const head = await window.bytes(offset, RECORD_HEADER_BYTES);
    const header = readRecordHeader(codec, place, { bytes: head, view: viewOf(head) }, 0);
    const stored =
      header && (await window.bytes(offset + RECORD_HEADER_BYTES, header.storedLength));
    if (
      header === undefined ||
      stored === undefined ||
      !isStoredSound(codec, place, header, stored)
    ) {
      offset = await window.nextMagic(offset + RECORD_ALIGN_BYTES, sizeBytes);
      continue;
    }
    if (offset > tailOffset) damage.push({ offset: tailOffset, length: offset - tailOffset });
    request.onRecord(header, offset);
    recordCount += 1;
    syncedOffset = Math.max(syncedOffset, header.groupOffset);
    offset += recordSpan(header.storedLength);
    tailOffset = offset;
  }
  if (sizeBytes > tailOffset) damage.push({ offset: tailOffset, length: sizeBytes - tailOffset });
  return { recordCount, tailOffset, sizeBytes, damage, syncedOffset };
}

/** A moving piece of the file in memory. */
function createWindow(file: DiskFile): {
  bytes(offset: number, length: number): Promise<Uint8Array>;
  nextMagic(offset: number, end: number): Promise<number>;
} {
  let start = 0;
  let content: Uint8Array = new Uint8Array(0);

  /** Fewer bytes than asked only at the end of the file. */
  const bytes = async (offset: number, length: number): Promise<Uint8Array> => {
    if (offset < start || offset + length > start + content.length) {
      start = offset;
      content = await file.read(offset, Math.max(WINDOW_BYTES, length));
    }
    return content.subarray(offset - start, offset - start + length);
  };

  /** The next aligned offset that holds the magic of a record, or `end`. */
  const nextMagic = async (offset: number, end: number): Promise<number> => {
    let at = offset;
    while (at + RECORD_HEADER_BYTES <= end) {
      if (at < start || at + RECORD_HEADER_BYTES > start + content.length)
        await bytes(at, RECORD_HEADER_BYTES);
      const view = viewOf(content);
      const last = start + content.length - RECORD_HEADER_BYTES;
      if (at > last) return end;
      for (; at <= last; at += RECORD_ALIGN_BYTES)
        if (view.getUint32(at - start, true) === RECORD_MAGIC) return at;
    }
    return end;
  };
  return { bytes, nextMagic };
}
