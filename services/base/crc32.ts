/**
 * CRC-32 as in zlib and Ethernet (reflected 0xEDB88320), eight bytes at a time. Only for formats that
 * name it (self-verifying blocks, journals); the extent store uses XXH64, which is faster.
 */

import { viewOf } from "./bytes.ts";

const SLICES = 8;

/** Table k maps a byte to its remainder after k further zero bytes. */
const TABLES: readonly Int32Array[] = makeTables();

/**
 * CRC-32 of bytes.
 * @param previous CRC of what comes before these bytes, to go on from
 * @returns an unsigned 32-bit integer
 */
export function crc32(bytes: Uint8Array, previous = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as unknown as readonly [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  const view = viewOf(bytes);
  const whole = bytes.length - (bytes.length % SLICES);
  let crc = ~previous;
  let at = 0;
  for (; at < whole; at += SLICES) {
    const low = crc ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    crc =
      (t7[low & 255] ?? 0) ^
      (t6[(low >>> 8) & 255] ?? 0) ^
      (t5[(low >>> 16) & 255] ?? 0) ^
      (t4[low >>> 24] ?? 0) ^
      (t3[high & 255] ?? 0) ^
      (t2[(high >>> 8) & 255] ?? 0) ^
      (t1[(high >>> 16) & 255] ?? 0) ^
      (t0[high >>> 24] ?? 0);
  }
  for (; at < bytes.length; at++) crc = (t0[(crc ^ (bytes[at] ?? 0)) & 255] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeTables(): readonly Int32Array[] {
  const tables = Array.from({ length: SLICES }, () => new Int32Array(256));
  const first = tables[0] ?? new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    first[byte] = crc;
  }
  for (let k = 1; k < SLICES; k++) {
    for (let byte = 0; byte < 256; byte++) {
      const crc = tables[k - 1]?.[byte] ?? 0;
      const table = tables[k];
      if (table !== undefined) table[byte] = (crc >>> 8) ^ (first[crc & 255] ?? 0);
    }
  }
  return tables;
}
