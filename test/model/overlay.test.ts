/** The overlay against a model that keeps, for every sector, the list of records that touched it. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toHex } from "../../services/base/bytes.ts";
import { epoch, type Lsn, lsn } from "../../services/base/ids.ts";
import { CHUNK_SIZE_BYTES, TIB } from "../../services/base/units.ts";
import type { OplogRecord, RecordKind } from "../../services/stargate/oplog/contracts.ts";
import { createOverlay } from "../../services/stargate/vdisk/overlay.ts";
import type { OverlayRun, OverlaySource } from "../../services/stargate/vdisk/overlayContract.ts";

const UNIT = 2048;
const UNITS_A_CHUNK = CHUNK_SIZE_BYTES / UNIT;
/** Three extents, the last one in part. */
const CHUNKS = 150;
const UNITS = CHUNKS * UNITS_A_CHUNK;
const RUNS = 400;

function record(
  at: number,
  kind: RecordKind,
  offsetBytes: number,
  lengthBytes: number,
): OplogRecord {
  const chunkCount = kind === "chunks" ? lengthBytes / CHUNK_SIZE_BYTES : 0;
  const data = new Uint8Array(
    kind === "write" ? lengthBytes : kind === "chunks" ? 32 * chunkCount : 0,
  );
  // Every third chunk keeps the fingerprint of 32 zero bytes: it is all zero.
  for (let i = 0; i < chunkCount; i++)
    if ((at + i) % 3 > 0) data.fill(((at + i) % 255) + 1, 32 * i, 32 * i + 32);
  return { lsn: lsn(at), epoch: epoch(1), kind, offsetBytes, lengthBytes, data };
}

/** What one unit of address space reads from, as a text. */
function describeSource(source: OverlaySource, inside: number): string {
  switch (source.kind) {
    case "below":
      return "below";
    case "zero":
      return `zero ${source.lsn}`;
    case "record":
      return `record ${source.lsn} ${source.skip + inside}`;
    case "chunk":
      return `chunk ${source.lsn} ${toHex(source.fingerprint.subarray(0, 2))} ${source.skip + inside}`;
  }
}

function expectedSource(records: readonly OplogRecord[], forgotten: Lsn, at: number): string {
  const newest = records.findLast(
    (one) => one.lsn > forgotten && one.offsetBytes <= at && at < one.offsetBytes + one.lengthBytes,
  );
  if (newest === undefined) return "below";
  const inside = at - newest.offsetBytes;
  if (newest.kind === "zero") return `zero ${newest.lsn}`;
  if (newest.kind === "write") return `record ${newest.lsn} ${inside}`;
  const fingerprint = newest.data
    .subarray(32 * Math.floor(inside / CHUNK_SIZE_BYTES))
    .subarray(0, 2);
  if (fingerprint[0] === 0) return `zero ${newest.lsn}`;
  return `chunk ${newest.lsn} ${toHex(fingerprint)} ${inside % CHUNK_SIZE_BYTES}`;
}

function unitsOf(runs: readonly OverlayRun[]): string[] {
  return runs.flatMap(({ lengthBytes, source }) =>
    Array.from({ length: lengthBytes / UNIT }, (_, i) => describeSource(source, i * UNIT)),
  );
}

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("write" as const),
      from: fc.nat(UNITS - 1),
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("zero" as const),
      from: fc.nat(UNITS - 1),
      count: fc.integer({ min: 1, max: UNITS }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("chunks" as const),
      from: fc.nat(CHUNKS - 1),
      count: fc.integer({ min: 1, max: CHUNKS }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant("marker" as const),
      from: fc.constant(0),
      count: fc.constant(0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("forget" as const),
      from: fc.nat(6),
      count: fc.constant(0),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("look" as const),
      from: fc.nat(UNITS - 1),
      count: fc.integer({ min: 1, max: UNITS }),
    }),
  },
);

describe("overlay", () => {
  it("names the newest source of every byte, whatever was applied and forgotten (P2)", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const overlay = createOverlay();
        const records: OplogRecord[] = [];
        let forgotten = lsn(0);
        const check = (from: number, count: number): void => {
          const runs = overlay.look(from * UNIT, count * UNIT);
          const expected = Array.from({ length: count }, (_, i) =>
            expectedSource(records, forgotten, (from + i) * UNIT),
          );
          expect(unitsOf(runs)).toEqual(expected);
        };
        for (const { op, from, count } of operations) {
          const room = Math.min(count, UNITS - from);
          if (op === "forget") {
            forgotten = lsn(Math.max(forgotten, records.length - from));
            overlay.forget(forgotten);
          } else if (op === "look") check(from, room);
          else if (op === "chunks")
            records.push(
              record(
                records.length + 1,
                op,
                from * CHUNK_SIZE_BYTES,
                Math.min(count, CHUNKS - from) * CHUNK_SIZE_BYTES,
              ),
            );
          else records.push(record(records.length + 1, op, from * UNIT, room * UNIT));
          const last = records.at(-1);
          if (last !== undefined && op !== "forget" && op !== "look") overlay.apply(last);
        }
        check(0, UNITS);
        overlay.forget(lsn(records.length));
        expect(overlay.size()).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("overlay of a large vDisk", () => {
  it("keeps a range of 1 TiB as one interval, with small writes before and after it", () => {
    const overlay = createOverlay();
    overlay.apply(record(1, "write", 8192, 4096));
    overlay.apply(record(2, "zero", 0, TIB));
    overlay.apply(record(3, "write", TIB / 2, 4096));
    expect(overlay.size()).toBe(3);
    expect(
      overlay
        .look(0, TIB)
        .map(({ offsetBytes, lengthBytes, source }) => [offsetBytes, lengthBytes, source.kind]),
    ).toEqual([
      [0, TIB / 2, "zero"],
      [TIB / 2, 4096, "record"],
      [TIB / 2 + 4096, TIB / 2 - 4096, "zero"],
    ]);
    overlay.forget(lsn(2));
    expect(overlay.look(0, TIB).map(({ source }) => source.kind)).toEqual([
      "below",
      "record",
      "below",
    ]);
  });
});
