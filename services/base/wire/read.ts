/**
 * Reads messages. One loop goes over the bytes of a message and calls itself for the messages inside;
 * it makes no object but the values that it gives, and their bytes are views of the frame.
 *
 * proto3 rules: unknown fields are skipped; the last value of a key that comes twice wins; lists of
 * numbers come packed or not. A field that comes in the order of declaration, in which every writer
 * writes, is stored once; in whatever order they come, the properties are made in that order.
 */

import { FIXED32, FIXED64, LENGTH, NO_ITEMS, OP, VARINT, WireError } from "./fields.ts";
import { innerOf, type Plan, type Slot, slotOf, type Values } from "./plan.ts";
import { readVarint, Source, signedNumber, UNSAFE, unsafeText } from "./varint.ts";

/** Messages inside messages, as other codecs bound them: garbage must not exhaust the stack. */
export const NESTING_MAX = 100;

// A byte order mark at the start of a text is part of the text.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const double = new DataView(new ArrayBuffer(8));

/**
 * The value that bytes are, with every field of its plan.
 * @throws WireError on bytes that are no such message
 */
export function readMessage(plan: Plan, bytes: Uint8Array): Values {
  return readFields(plan, new Source(bytes), bytes.length);
}

function readFields(plan: Plan, source: Source, end: number): Values {
  const { slots } = plan;
  const value = new plan.Value();
  /** The properties of slots below this one exist. */
  let made = 0;
  while (source.at < end) {
    const tag = readVarint(source, end);
    if (tag === UNSAFE) throw outOfRange();
    const slot = slotOf(plan, tag);
    if (slot === undefined) {
      skip(source, end, tag % 8);
      continue;
    }
    const { index } = slot;
    if (index >= made) {
      while (made < index) makeAbsent(value, slots[made++]);
      if (slot.repeated) value[slot.key] = NO_ITEMS;
      made += 1;
    }
    if ((tag & 7) !== slot.wireType) readPacked(slot, source, end, tag & 7, listOf(value, slot));
    else if (slot.repeated) listOf(value, slot).push(readItem(slot, source, end));
    else value[slot.key] = readItem(slot, source, end);
  }
  while (made < slots.length) makeAbsent(value, slots[made++]);
  return value;
}

function makeAbsent(value: Values, slot: Slot | undefined): void {
  if (slot !== undefined) value[slot.key] = slot.absent;
}

/** The list that a field's items are added to: made with the first one. */
function listOf(value: Values, slot: Slot): unknown[] {
  const before = value[slot.key];
  if (before !== NO_ITEMS) return before as unknown[];
  const list: unknown[] = [];
  value[slot.key] = list;
  return list;
}

/** Numbers of a list one after the other, without tags. */
function readPacked(
  slot: Slot,
  source: Source,
  end: number,
  wireType: number,
  list: unknown[],
): void {
  if (!slot.repeated || wireType !== LENGTH)
    throw new WireError(`a ${slot.kind} field has wire type ${wireType}`);
  const last = lastOf(source, readVarint(source, end), end);
  while (source.at < last) list.push(readItem(slot, source, last));
}

/**
 * One value of a field, after its tag. All but doubles begin with a varint: the value or its length.
 * It is read in one place, because V8 puts a copy of it into every place, and pays for each.
 */
function readItem(slot: Slot, source: Source, end: number): unknown {
  if (slot.wireType === FIXED64) return readDouble(source, end);
  const number = readVarint(source, end);
  if (slot.wireType === VARINT) return numberItem(slot, source, number);
  const start = source.at;
  const last = lastOf(source, number, end);
  if (slot.op === OP.message) return readInner(slot, source, last);
  source.at = last;
  const bytes = source.bytes.subarray(start, last);
  return slot.op === OP.string ? textOf(bytes) : bytes;
}

/** The value of a field that came as a varint. */
function numberItem(slot: Slot, source: Source, number: number): unknown {
  const { op } = slot;
  if (number === UNSAFE) {
    if (op === OP.int64) return signedNumber(source);
    if (op === OP.decimal) return unsafeText(source, slot.kind);
    throw outOfRange();
  }
  switch (op) {
    case 0: // uint32
      return uint32Of(number);
    case 3: // decimal
      return String(number);
    case 4: // bool
      return number !== 0;
    case 5: // choice
      return nameOf(slot, uint32Of(number));
    case 1: // uint64
    case 2: // int64
    case 6: // double: never here, as all below
    case 7: // bytes
    case 8: // string
    case 9: // message
      return number;
  }
}

const outOfRange = (): WireError => new WireError("a 64-bit field is out of range");

function uint32Of(number: number): number {
  if (number > 0xffff_ffff) throw new WireError("a 32-bit field is out of range");
  return number;
}

function nameOf(slot: Slot, number: number): string {
  const name = slot.names[number];
  if (name === undefined) throw new WireError(`an unknown value of ${slot.kind}`);
  return name;
}

/** Where something of a length ends that begins here. */
function lastOf(source: Source, length: number, end: number): number {
  if (length === UNSAFE) throw outOfRange();
  if (length > end - source.at) throw new WireError("a field is longer than its message");
  return source.at + length;
}

function readDouble(source: Source, end: number): number {
  const { bytes, at } = source;
  if (end - at < 8) throw new WireError("a double ends too early");
  for (let i = 0; i < 8; i++) double.setUint8(i, bytes[at + i] ?? 0);
  source.at = at + 8;
  return double.getFloat64(0, true);
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new WireError("a text field is not UTF-8", { cause });
  }
}

function readInner(slot: Slot, source: Source, last: number): Values {
  source.depth += 1;
  if (source.depth > NESTING_MAX) throw new WireError("messages are nested too deep");
  const value = readFields(innerOf(slot), source, last);
  source.depth -= 1;
  return value;
}

/** Leaves out a field that a newer peer knows. */
function skip(source: Source, end: number, wireType: number): void {
  if (wireType === VARINT) {
    readVarint(source, end); // its value may exceed a safe integer: it is of no interest
    return;
  }
  if (wireType === LENGTH) {
    source.at = lastOf(source, readVarint(source, end), end);
    return;
  }
  const length = wireType === FIXED64 ? 8 : wireType === FIXED32 ? 4 : -1;
  if (length < 0 || source.at + length > end) throw new WireError("a field has an unknown shape");
  source.at += length;
}
