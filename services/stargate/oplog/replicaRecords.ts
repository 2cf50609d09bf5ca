/**
 * A record of an oplog in its forms: as the contract gives it, as an entry of the journal, and as a
 * replica holds it. Pure; written out field by field, like all objects of the write path.
 */

import { assert } from "../../base/assert.ts";
import type { Epoch } from "../../base/ids.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import type { OplogRecord, RecordKind } from "./contracts.ts";
import type { NewEntry } from "./entry.ts";
import type { Held } from "./held.ts";
import type { Located } from "./replay.ts";
import type { Segment } from "./segment.ts";

const EMPTY = new Uint8Array(0);
const MARKER_BYTES = 16;

/** A record that recovery found. */
export function heldIn(segment: Segment, record: Located): Held {
  return {
    lsn: record.lsn,
    epoch: record.epoch,
    kind: record.kind,
    offsetBytes: record.offsetBytes,
    lengthBytes: record.lengthBytes,
    dataLength: record.dataLength,
    data: record.dataLength === 0 ? EMPTY : undefined,
    segment,
    position: record.position,
    isReleased: false,
  };
}

/** As an entry; spreading would cost more than the rest of it. */
export function entryOf(record: OplogRecord, idBytes: Uint8Array): NewEntry {
  return {
    kind: record.kind,
    epoch: record.epoch,
    lsn: record.lsn,
    offsetBytes: record.offsetBytes,
    lengthBytes: record.lengthBytes,
    damaged: false,
    idBytes,
    data: record.data,
  };
}

/** The same as the replica holds it, not in a segment yet. */
export function hold(record: OplogRecord): Held {
  return {
    lsn: record.lsn,
    epoch: record.epoch,
    kind: record.kind,
    offsetBytes: record.offsetBytes,
    lengthBytes: record.lengthBytes,
    dataLength: record.data.length,
    data: record.data,
    segment: undefined,
    position: 0,
    isReleased: false,
  };
}

/** What is about to be acknowledged must be what the contract says. */
export function checkRecord(record: OplogRecord, by: Epoch): void {
  assert(record.epoch <= by, "a record is not younger than the epoch that appends it");
  const expected = dataLengthOf(record.kind, record.lengthBytes);
  assert(record.data.length === expected, "a record's data have the length of its kind");
}

function dataLengthOf(kind: RecordKind, lengthBytes: number): number {
  switch (kind) {
    case "write":
      return lengthBytes;
    case "zero":
      return 0;
    case "chunks":
      return (lengthBytes / CHUNK_SIZE_BYTES) * FINGERPRINT_SIZE_BYTES;
    case "marker":
      return MARKER_BYTES;
  }
}
