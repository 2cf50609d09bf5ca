/**
 * Protobuf's varints beyond one byte: seven bits a byte, lowest first, ten bytes at most. Numbers are
 * safe integers everywhere; the full 64 bits, which foreign ids and negative numbers need, come and
 * go as two 32-bit halves, because `bigint` costs ten times as much.
 */

import { WireError } from "./fields.ts";

const VARINT_BYTES_MAX = 10;
const TWO_32 = 0x1_0000_0000;

/** What `readVarint` gives for a number beyond the safe integers: its bits are in the source. */
export const UNSAFE = -1;

/** Bytes that are being read. */
export class Source {
  readonly bytes: Uint8Array;
  /** The byte that is read next. */
  at = 0;
  /** How many messages are around the one that is being read. */
  depth = 0;
  /** The 64 bits of the varint that was `UNSAFE` last. */
  low = 0;
  high = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** 64 bits as two numbers and as one, both ways. */
const bits = new DataView(new ArrayBuffer(8));

/**
 * Reads a varint.
 * @returns a safe integer, or `UNSAFE`
 * @throws WireError when it does not end within ten bytes, or before `end`
 */
export function readVarint(source: Source, end: number): number {
  const { at } = source;
  if (at < end) {
    const byte = source.bytes[at] ?? 0;
    if (byte < 128) {
      source.at = at + 1;
      return byte;
    }
  }
  return readLong(source, end);
}

function readLong(source: Source, end: number): number {
  const { bytes, at: start } = source;
  const last = Math.min(end, start + VARINT_BYTES_MAX);
  let value = 0;
  let scale = 1;
  for (let at = start; at < last; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 127) * scale;
    if (byte < 128) {
      source.at = at + 1;
      if (value <= Number.MAX_SAFE_INTEGER) return value;
      keepBits(source, start);
      return UNSAFE;
    }
    scale *= 128;
  }
  throw new WireError(
    end - start < VARINT_BYTES_MAX
      ? "a varint ends too early"
      : "a varint is longer than ten bytes",
  );
}

/** Bits beyond the 64th, which a tenth byte may carry, are cut off, as other codecs do. */
function keepBits(source: Source, start: number): void {
  let low = 0;
  let high = 0;
  for (let at = start, shift = 0; at < source.at; at++, shift += 7) {
    const part = (source.bytes[at] ?? 0) & 127;
    if (shift < 32) low |= part << shift;
    if (shift === 28) high = part >>> 4;
    else if (shift > 28) high |= part << (shift - 32);
  }
  source.low = low;
  source.high = high;
}

/**
 * The signed number that was `UNSAFE` as an unsigned one.
 * @throws WireError when it is beyond the safe integers as well
 */
export function signedNumber({ low, high }: Source): number {
  const value = (high | 0) * TWO_32 + (low >>> 0);
  if (!Number.isSafeInteger(value)) throw new WireError("a 64-bit field is out of range");
  return value;
}

/** The decimal text of the number that was `UNSAFE`. */
export function unsafeText({ low, high }: Source, kind: string): string {
  bits.setInt32(0, high);
  bits.setInt32(4, low);
  return (kind === "int64" ? bits.getBigInt64(0) : bits.getBigUint64(0)).toString();
}

/** Bytes of a non-negative safe integer as a varint. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  let count = 5;
  for (let rest = value / 0x8_0000_0000; rest >= 1; rest /= 128) count += 1;
  return count;
}

/** Writes a non-negative safe integer, which takes `varintBytes` from `start`. */
export function writeVarintAt(out: Uint8Array, start: number, value: number): void {
  let at = start;
  let rest = value;
  while (rest > 0x7fff_ffff) {
    out[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    out[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  out[at] = rest;
}

/**
 * Writes 64 bits as ten bytes or fewer.
 * @returns where they end
 */
export function writeHalvesAt(out: Uint8Array, start: number, { low, high }: Halves): number {
  let at = start;
  let [lower, upper] = [low >>> 0, high >>> 0];
  while (upper > 0 || lower > 127) {
    out[at++] = (lower & 127) | 128;
    lower = ((lower >>> 7) | (upper << 25)) >>> 0;
    upper >>>= 7;
  }
  out[at++] = lower;
  return at;
}

/** 64 bits as two halves. */
export interface Halves {
  readonly low: number;
  readonly high: number;
}

/**
 * The 64 bits of a decimal text.
 * @throws WireError when the text is no integer of this kind
 */
export function decimalHalves(text: string, kind: string): Halves {
  if (!/^-?\d{1,20}$/.test(text)) throw new WireError(`${text} does not fit an ${kind} field`);
  const value = BigInt(text);
  const fitted = kind === "int64" ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
  if (fitted !== value) throw new WireError(`${text} does not fit an ${kind} field`);
  bits.setBigInt64(0, value);
  return { low: bits.getInt32(4), high: bits.getInt32(0) };
}

/** The 64 bits of a safe integer in two's complement. */
export function numberHalves(value: number): Halves {
  return { low: value | 0, high: Math.floor(value / TWO_32) | 0 };
}
