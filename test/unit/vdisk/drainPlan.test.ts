/** Merging records per chunk: the plan gives the bytes that replaying the records one by one gives (P1). */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { equalBytes } from "../../../services/base/bytes.ts";
import { CHUNK_SIZE_BYTES, FINGERPRINT_SIZE_BYTES } from "../../../services/base/units.ts";
import type { OplogRecord, RecordKind } from "../../../services/stargate/oplog/contracts.ts";
import { composeChunk, planDrain } from "../../../services/stargate/vdisk/drainPlan.ts";
import { e, l } from "./world.ts";

const CHUNKS = 4;
const SIZE = CHUNKS * CHUNK_SIZE_BYTES;
const SECTOR = 512;

function record(
  kind: RecordKind,
  offsetBytes: number,
  lengthBytes: number,
  data: Uint8Array,
): OplogRecord {
  return { lsn: l(1), epoch: e(1), kind, offsetBytes, lengthBytes, data };
}
const write = (offset: number, length: number, fill: number): OplogRecord =>
  record("write", offset, length, new Uint8Array(length).fill(fill));
const zero = (offset: number, length: number): OplogRecord =>
  record("zero", offset, length, new Uint8Array(0));
const chunks = (first: number, fills: readonly number[]): OplogRecord => {
  const data = new Uint8Array(fills.length * FINGERPRINT_SIZE_BYTES);
  fills.forEach((fill, i) => {
    data.fill(fill, i * FINGERPRINT_SIZE_BYTES, (i + 1) * FINGERPRINT_SIZE_BYTES);
  });
  return record("chunks", first * CHUNK_SIZE_BYTES, fills.length * CHUNK_SIZE_BYTES, data);
};
/** The chunk whose fingerprint is 32 times this byte. */
const stored = (fill: number): Uint8Array => new Uint8Array(CHUNK_SIZE_BYTES).fill(fill ^ 0x80);

/** The vDisk after the records, one by one, over a map of nines. */
function replayed(records: readonly OplogRecord[]): Uint8Array {
  const disk = new Uint8Array(SIZE).fill(9);
  for (const { kind, offsetBytes, lengthBytes, data } of records) {
    if (kind === "write") disk.set(data, offsetBytes);
    if (kind === "zero") disk.fill(0, offsetBytes, offsetBytes + lengthBytes);
    for (let i = 0; kind === "chunks" && i < data.length / FINGERPRINT_SIZE_BYTES; i++) {
      const fill = data[i * FINGERPRINT_SIZE_BYTES] ?? 0;
      disk.set(
        fill === 0 ? new Uint8Array(CHUNK_SIZE_BYTES) : stored(fill),
        offsetBytes + i * CHUNK_SIZE_BYTES,
      );
    }
  }
  return disk;
}

/** The same by way of the plan; a base that the plan says is not needed is not given. */
function drained(records: readonly OplogRecord[]): Uint8Array {
  const disk = new Uint8Array(SIZE).fill(9);
  for (const [index, plan] of planDrain(records)) {
    const base = {
      map: () => new Uint8Array(CHUNK_SIZE_BYTES).fill(9),
      zero: () => undefined,
      fingerprint: () =>
        stored(plan.base.kind === "fingerprint" ? (plan.base.fingerprint[0] ?? 0) : 0),
    }[plan.base.kind]();
    disk.set(composeChunk(plan, base), index * CHUNK_SIZE_BYTES);
  }
  return disk;
}

const offset = fc.integer({ min: 0, max: SIZE / SECTOR - 1 }).map((sector) => sector * SECTOR);
const range = fc
  .tuple(offset, fc.integer({ min: 1, max: 80 }))
  .map(([at, sectors]) => [at, Math.min(sectors * SECTOR, SIZE - at)] as const);
const anyRecord: fc.Arbitrary<OplogRecord> = fc.oneof(
  fc
    .tuple(range, fc.integer({ min: 0, max: 8 }))
    .map(([[at, length], fill]) => write(at, length, fill)),
  range.map(([at, length]) => zero(at, length)),
  fc
    .tuple(
      fc.integer({ min: 0, max: CHUNKS - 1 }),
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: CHUNKS }),
    )
    .map(([first, fills]) => chunks(first, fills.slice(0, CHUNKS - first))),
  fc.constant(record("marker", 0, 0, new Uint8Array(16))),
);

describe("a drain's plan", () => {
  it("gives the bytes of the records replayed in order (P1)", () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { maxLength: 12 }), (records) => {
        return equalBytes(drained(records), replayed(records));
      }),
      { numRuns: 400 },
    );
  });

  it("reads no base under patches that cover all sectors", () => {
    const half = CHUNK_SIZE_BYTES / 2;
    expect(planDrain([write(0, half, 1), write(half, half, 2)]).get(0)?.base.kind).toBe("zero");
    expect(planDrain([write(0, half, 1)]).get(0)?.base.kind).toBe("map");
  });

  it("reads the base under a sector that is written in part only", () => {
    const odd = planDrain([write(0, CHUNK_SIZE_BYTES - 1, 1)]).get(0);
    expect(odd?.base.kind).toBe("map");
  });

  it("needs no patch for whole chunks that are zeroed or stored already", () => {
    const plans = planDrain([write(0, SECTOR, 1), zero(0, 2 * CHUNK_SIZE_BYTES), chunks(1, [3])]);
    expect([...plans].map(([index, plan]) => [index, plan.base.kind, plan.patches.length])).toEqual(
      [
        [0, "zero", 0],
        [1, "fingerprint", 0],
      ],
    );
  });

  it("touches nothing for markers", () => {
    expect(planDrain([record("marker", 0, 0, new Uint8Array(16))]).size).toBe(0);
  });
});
