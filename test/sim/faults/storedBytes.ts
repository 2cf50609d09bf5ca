/**
 * What lies on the disks of a simulated site, read with the formats' own decoders: copies of chunks in
 * egroups and entries of oplogs. Only durable bytes count: what a loss of power takes was never a copy.
 */

import { toHex, viewOf } from "../../../services/base/bytes.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import {
  EGROUP_HEADER_BYTES,
  egroupOfFileName,
  egroupSeed,
  isStoredSound,
  RECORD_ALIGN_BYTES,
  RECORD_HEADER_BYTES,
  readRecordHeader,
  recordSpan,
} from "../../../services/stargate/extents/egroupFormat.ts";
import {
  ENTRY_ALIGN_BYTES,
  ENTRY_HEADER_BYTES,
  entryBytes,
  isDataIntact,
  readEntryHeader,
} from "../../../services/stargate/oplog/entry.ts";
import {
  SEGMENT_HEADER_BYTES,
  segmentSeed,
  sequenceOf,
} from "../../../services/stargate/oplog/segmentHeader.ts";
import { incarnationOf, type SimCvm, type SimSite } from "../world/site.ts";

const EGROUPS = "extents/egroups/";
const OPLOG = "oplog/";
const codec = await createCodec();

/** Bytes of one record, chunk or entry. */
export interface StoredPlace {
  readonly cvm: SimCvm;
  readonly path: string;
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** An entry of a journal. */
export interface StoredEntry extends StoredPlace {
  readonly vdiskId: string;
  /** Of a record; 0 for what is none. */
  readonly lsn: number;
}

export interface StoredCopy extends StoredPlace {
  /** Hexadecimal. */
  readonly fingerprint: string;
}

/** Every sound copy of a chunk or node on the CVM's disk. */
export function storedCopies(site: SimSite, cvm: SimCvm): readonly StoredCopy[] {
  const identity = { siteIncarnation: incarnationOf(site.name), cvm: cvm.cvm };
  const copies: StoredCopy[] = [];
  for (const { path, bytes } of durableFiles(cvm, EGROUPS)) {
    const egroup = egroupOfFileName(path.slice(EGROUPS.length));
    if (egroup === undefined) continue;
    const seed = egroupSeed(codec, identity, egroup);
    const file = { bytes, view: viewOf(bytes) };
    for (let at = EGROUP_HEADER_BYTES; at + RECORD_HEADER_BYTES <= bytes.length; ) {
      const place = { seed, offset: at };
      const header = readRecordHeader(codec, place, file, at);
      const from = at + RECORD_HEADER_BYTES;
      const stored = header && bytes.subarray(from, from + header.storedLength);
      if (
        header === undefined ||
        stored === undefined ||
        !isStoredSound(codec, place, header, stored)
      ) {
        at += RECORD_ALIGN_BYTES;
        continue;
      }
      const fingerprint = toHex(header.fingerprint);
      const whole = bytes.subarray(at, from + header.storedLength);
      copies.push({ cvm, path, position: at, bytes: whole, fingerprint });
      at += recordSpan(header.storedLength);
    }
  }
  return copies;
}

/**
 * Entries of the CVM's journal that rot is told from a torn end in: all but those of the newest segment's
 * last batch (oplog/SPEC.md, Limits).
 */
export function settledEntries(site: SimSite, cvm: SimCvm): readonly StoredEntry[] {
  const identity = `${incarnationOf(site.name)}/${cvm.cvm}`;
  const bySegment = durableFiles(cvm, OPLOG).map(({ path, bytes }) => {
    const sequence = sequenceOf(path.slice(OPLOG.length)) ?? 0;
    return { sequence, ...entriesOf({ cvm, path, bytes }, segmentSeed(codec, identity, sequence)) };
  });
  const newest = Math.max(
    0,
    ...bySegment.filter(({ places }) => places.length > 0).map((one) => one.sequence),
  );
  return bySegment.flatMap(({ sequence, places, lastBatch }) =>
    sequence < newest ? places : places.filter(({ position }) => position < lastBatch),
  );
}

function entriesOf(
  { cvm, path, bytes }: { readonly cvm: SimCvm; readonly path: string; readonly bytes: Uint8Array },
  seed: bigint,
): { readonly places: readonly StoredEntry[]; readonly lastBatch: number } {
  const places: StoredEntry[] = [];
  let lastBatch = 0;
  for (let at = SEGMENT_HEADER_BYTES; at + ENTRY_HEADER_BYTES <= bytes.length; ) {
    const place = { position: at, seed };
    const header = readEntryHeader(codec, bytes.subarray(at), place);
    const from = at + ENTRY_HEADER_BYTES;
    const data = header && bytes.subarray(from, from + header.dataLength);
    if (header === undefined || data === undefined || !isDataIntact(codec, header, data, place)) {
      at += ENTRY_ALIGN_BYTES;
      continue;
    }
    lastBatch = Math.max(lastBatch, header.batchStart);
    const entry = bytes.subarray(at, from + header.dataLength);
    const { vdiskId, lsn } = header;
    places.push({ cvm, path, position: at, bytes: entry, vdiskId, lsn });
    at += entryBytes(header.dataLength);
  }
  return { places, lastBatch };
}

function durableFiles(
  { disk }: SimCvm,
  folder: string,
): readonly { readonly path: string; readonly bytes: Uint8Array }[] {
  return disk.paths().flatMap((path) => {
    const bytes = path.startsWith(folder) ? disk.durableContent(path) : undefined;
    return bytes === undefined ? [] : [{ path, bytes }];
  });
}
