/**
 * Writes messages, from their end to their start: so the length of a message inside, which stands
 * before it, is known when it is written, and one pass over the fields is enough.
 *
 * Small messages are written where they stay, into a slab that they share, each before the one
 * before it: memory of its own would cost a small message more than all else. Bulk is not copied into the
 * slab: the writer keeps where it belongs, and a message with bulk gets memory of its own in which
 * everything is put together, copied once.
 *
 * Invariants: bytes of the slab from `top` on belong to messages that were given out, and are never
 * written again; bytes from `at` to `top` are the end of the message that is being written.
 */

import { LENGTH, NO_BYTES, OP, WireError } from "./fields.ts";
import { innerOf, type Plan, type Slot, type Values } from "./plan.ts";
import {
  decimalHalves,
  type Halves,
  numberHalves,
  varintBytes,
  writeHalvesAt,
  writeVarintAt,
} from "./varint.ts";

/** Large enough that its allocation vanishes among its messages, small enough to live while one is kept. */
const SLAB_BYTES = 64 * 1024;
/** A tag of five bytes, and a value of ten. */
const SCALAR_BYTES_MAX = 16;
/** A message of up to so many bytes lies in the slab whole; of larger ones, no bulk does. */
const IN_SLAB_BYTES_MAX = 16 * 1024;
/** Shorter bytes are no bulk: copying them twice is cheaper than keeping where they belong. */
const BULK_BYTES_MIN = 1024;

/** Instead of a number: the value stands there already. */
const WRITTEN = -1;

const encoder = new TextEncoder();
const scratch = new Uint8Array(SCALAR_BYTES_MAX);
const double = new DataView(new ArrayBuffer(8));

/** Only one message is written at a time, and no code of others runs meanwhile. */
let slab = new Uint8Array(0);
let top = 0;
let at = 0;
/** Bulk that belongs into the message being written, its last first. */
const bulk: Uint8Array[] = [];
/** For each, how many bytes of the slab come after it. */
const bulkAfter: number[] = [];
let bulkBytes = 0;
/** A message that would get larger by them keeps its bulk out of the slab. */
let wholeBytesMax = IN_SLAB_BYTES_MAX;

/**
 * The bytes of a value; they may lie in a larger buffer.
 * @throws WireError when a value does not fit its field
 */
export function writeMessage(plan: Plan, value: Values): Uint8Array {
  begin();
  writeFields(plan, value);
  if (bulk.length > 0) return assemble();
  const bytes = slab.subarray(at, top);
  top = at;
  return bytes;
}

/**
 * How many bytes `writeMessage` would give.
 * @throws WireError as it does
 */
export function sizeOfMessage(plan: Plan, value: Values): number {
  begin();
  wholeBytesMax = 0;
  try {
    writeFields(plan, value);
    return written();
  } finally {
    wholeBytesMax = IN_SLAB_BYTES_MAX;
    begin();
  }
}

/** Forgets what was not given out: a value that did not fit may have left it. */
function begin(): void {
  at = top;
  bulk.length = 0;
  bulkAfter.length = 0;
  bulkBytes = 0;
}

function written(): number {
  return top - at + bulkBytes;
}

/** Puts slab and bulk together, from the end to the start. */
function assemble(): Uint8Array {
  const out = new Uint8Array(written());
  let to = out.length;
  let from = top;
  for (let index = 0; index < bulk.length; index++) {
    const bytes = bulk[index] ?? NO_BYTES;
    const start = top - (bulkAfter[index] ?? 0);
    to -= from - start;
    out.set(slab.subarray(start, from), to);
    to -= bytes.length;
    out.set(bytes, to);
    from = start;
  }
  out.set(slab.subarray(at, from), 0);
  begin();
  return out;
}

/** Makes room for so many bytes before what was written. */
function reserve(count: number): void {
  if (at >= count) return;
  const used = top - at;
  const larger = new Uint8Array(Math.max(SLAB_BYTES, 2 * (used + count)));
  larger.set(slab.subarray(at, top), larger.length - used);
  slab = larger;
  top = slab.length;
  at = top - used;
}

function writeFields(plan: Plan, value: Values): void {
  const { slots } = plan;
  for (let index = slots.length - 1; index >= 0; index--) {
    const slot = slots[index];
    if (slot === undefined) continue;
    const item = value[slot.key];
    if (item === slot.absent) continue;
    if (!slot.repeated && isEmpty(slot, item)) continue;
    const items = slot.repeated ? (item as readonly unknown[]) : undefined;
    for (let left = items === undefined ? 1 : items.length; left > 0; left--)
      writeItem(slot, items === undefined ? item : items[left - 1]);
  }
}

/** Bytes that are absent, though not the one value that stands for that. */
function isEmpty(slot: Slot, item: unknown): boolean {
  return slot.op === OP.bytes && (item as Uint8Array).length === 0 && slot.absent !== undefined;
}

/**
 * A value and the tag before it. Nearly all begin with a varint, the value or its length: it is
 * written in one place, because V8 puts a copy of it into every place, and pays for each.
 */
function writeItem(slot: Slot, item: unknown): void {
  reserve(SCALAR_BYTES_MAX);
  const number = slot.wireType === LENGTH ? writeContent(slot, item) : numberOf(slot, item);
  if (number !== WRITTEN) writeVarint(number);
  writeVarint(slot.tag);
}

/** Writes what has a length; leaves room for that. The casts hold by the field constructors' types. */
function writeContent(slot: Slot, item: unknown): number {
  const { op } = slot;
  if (op === OP.message) return writeInner(slot, item as Values);
  return op === OP.string ? writeText(item as string) : writeBytes(item as Uint8Array);
}

/** The number to write as a varint, or `WRITTEN`. */
function numberOf(slot: Slot, item: unknown): number {
  switch (slot.op) {
    case 0: // uint32
      return checkedUnsigned(item as number, slot.kind, 0xffff_ffff);
    case 1: // uint64
      return checkedUnsigned(item as number, slot.kind, Number.MAX_SAFE_INTEGER);
    case 2: // int64
      return signedOf(item as number);
    case 3: // decimal
      return writeHalves(decimalHalves(item as string, slot.kind));
    case 4: // bool
      return (item as boolean) ? 1 : 0;
    case 5: // choice
      return choiceOf(slot, item as string);
    case 6: // double
    case 7: // bytes: never here, as all below
    case 8: // string
    case 9: // message
      return writeDouble(item as number);
  }
}

/** A non-negative safe integer. */
function writeVarint(value: number): void {
  if (value < 128) {
    at -= 1;
    slab[at] = value;
    return;
  }
  at -= varintBytes(value);
  writeVarintAt(slab, at, value);
}

function checkedUnsigned(value: number, kind: string, max: number): number {
  const isUint32 = value >>> 0 === value;
  if (!isUint32 && !(Number.isInteger(value) && value >= 0 && value <= max))
    throw new WireError(`${value} does not fit a ${kind} field`);
  return value;
}

function signedOf(value: number): number {
  if (!Number.isSafeInteger(value)) throw new WireError(`${value} does not fit an int64 field`);
  return value >= 0 ? value : writeHalves(numberHalves(value));
}

function choiceOf(slot: Slot, name: string): number {
  const index = slot.names.indexOf(name);
  if (index < 0) throw new WireError(`${name} is not a ${slot.kind}`);
  return index;
}

function writeHalves(halves: Halves): number {
  const length = writeHalvesAt(scratch, 0, halves);
  at -= length;
  for (let i = 0; i < length; i++) slab[at + i] = scratch[i] ?? 0;
  return WRITTEN;
}

function writeDouble(value: number): number {
  double.setFloat64(0, value, true);
  at -= 8;
  for (let i = 0; i < 8; i++) slab[at + i] = double.getUint8(i);
  return WRITTEN;
}

function writeBytes(bytes: Uint8Array): number {
  const { length } = bytes;
  if (length >= BULK_BYTES_MIN && written() + length > wholeBytesMax) {
    bulkAfter.push(top - at);
    bulk.push(bytes);
    bulkBytes += length;
    return length;
  }
  reserve(length + SCALAR_BYTES_MAX);
  at -= length;
  slab.set(bytes, at);
  return length;
}

/** A text of ASCII takes as many bytes as it has characters, so that it fits where it is tried. */
function writeText(text: string): number {
  const { length } = text;
  reserve(length + SCALAR_BYTES_MAX);
  const { read } = encoder.encodeInto(text, slab.subarray(at - length, at));
  if (read < length) return writeBytes(encoder.encode(text));
  at -= length;
  return length;
}

function writeInner(slot: Slot, value: Values): number {
  const before = written();
  writeFields(innerOf(slot), value);
  reserve(SCALAR_BYTES_MAX);
  return written() - before;
}
