/** Random values for wire messages, and their form in protobufjs, the reference. */

import fc from "fast-check";
import protobuf from "protobufjs";
import { OP } from "../../services/base/wire/fields.ts";
import type { Field, WireMessage } from "../../services/base/wire.ts";

type AnyField = Field<unknown>;
type Value = Readonly<Record<string, unknown>>;

const NESTING_MAX = 2;
const ITEMS_MAX = 3;

/** Any value of a message type, with at most one member of each oneof. */
export function valuesOf(
  type: WireMessage<unknown>,
  reference: protobuf.Type,
  depth = 0,
): fc.Arbitrary<Value> {
  const parts: Record<string, fc.Arbitrary<unknown>> = {};
  for (const [key, field] of Object.entries(type.fields) as [string, AnyField][]) {
    const one = valuesOfField(field, reference, depth);
    const mayBeAbsent = !field.repeated && field.absent === undefined;
    parts[key] = field.repeated
      ? fc.array(one, { maxLength: ITEMS_MAX })
      : mayBeAbsent
        ? fc.option(one, { nil: undefined })
        : one;
  }
  return fc.record(parts).map((value) => withOneMember(type, reference, value));
}

function withOneMember(type: WireMessage<unknown>, reference: protobuf.Type, value: Value): Value {
  const kept: Record<string, unknown> = { ...value };
  const taken = new Set<protobuf.OneOf>();
  for (const [key, field] of Object.entries(type.fields) as [string, AnyField][]) {
    const oneof = reference.fieldsById[field.number]?.partOf;
    if (!oneof || kept[key] === undefined) continue;
    if (taken.has(oneof)) kept[key] = undefined;
    taken.add(oneof);
  }
  return kept;
}

/** etcd's 64-bit ids are decimal text here, because they use all 64 bits. */
function isDecimal(field: AnyField): boolean {
  return field.op === OP.decimal;
}

function valuesOfField(
  field: AnyField,
  reference: protobuf.Type,
  depth: number,
): fc.Arbitrary<unknown> {
  const resolved = reference.fieldsById[field.number]?.resolvedType;
  if (field.of !== undefined && resolved instanceof protobuf.Type) {
    if (depth < NESTING_MAX) return valuesOf(field.of, resolved, depth + 1);
    return fc.constant(field.of.decode(new Uint8Array(0)));
  }
  if (isDecimal(field))
    return field.kind === "int64"
      ? fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)
      : fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
  const edge = fc.constantFrom(0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31);
  switch (field.kind) {
    case "uint32":
      return fc.oneof(edge, fc.integer({ min: 0, max: 2 ** 32 - 1 }));
    case "uint64":
      return fc.oneof(edge, fc.constantFrom(2 ** 32, Number.MAX_SAFE_INTEGER), fc.maxSafeNat());
    case "int64":
      return fc.oneof(
        edge,
        fc.constantFrom(-1, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
        fc.maxSafeInteger(),
      );
    case "bool":
      return fc.boolean();
    case "double":
      return fc.double({ noNaN: true }).map((value) => value + 0);
    case "bytes":
      return fc.uint8Array({ maxLength: 24 });
    case "string":
      return fc.string({ unit: "binary", maxLength: 12 });
    default:
      return fc.constantFrom(...field.names);
  }
}

/** The value as protobufjs's object, by field number. */
export function toReference(
  type: WireMessage<unknown>,
  reference: protobuf.Type,
  value: Value,
): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(type.fields) as [string, AnyField][]) {
    const name = reference.fieldsById[field.number]?.name;
    if (name === undefined) throw new Error(`${type.name}.${key} is not in its .proto file`);
    const map = (item: unknown): unknown => itemToReference(field, reference, item);
    const given = value[key];
    if (Array.isArray(given)) object[name] = given.map(map);
    else if (given !== undefined) object[name] = map(given);
  }
  return object;
}

function itemToReference(field: AnyField, reference: protobuf.Type, item: unknown): unknown {
  const resolved = reference.fieldsById[field.number]?.resolvedType;
  if (field.of !== undefined && resolved instanceof protobuf.Type)
    return toReference(field.of, resolved, item as Value);
  if (resolved instanceof protobuf.Enum) return field.names.indexOf(String(item));
  return item;
}

/** protobufjs's object, as REFERENCE_VIEW shows it, as our value. */
export function fromReference(
  type: WireMessage<unknown>,
  reference: protobuf.Type,
  object: Value,
): Value {
  const value: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(type.fields) as [string, AnyField][]) {
    const found = object[reference.fieldsById[field.number]?.name ?? ""];
    const map = (item: unknown): unknown => itemFromReference(field, reference, item);
    value[key] = Array.isArray(found)
      ? found.map(map)
      : found === null || found === undefined
        ? undefined
        : map(found);
  }
  return value;
}

function itemFromReference(field: AnyField, reference: protobuf.Type, item: unknown): unknown {
  const resolved = reference.fieldsById[field.number]?.resolvedType;
  if (field.of !== undefined && resolved instanceof protobuf.Type)
    return fromReference(field.of, resolved, item as Value);
  if (resolved instanceof protobuf.Enum) return field.names[Number(item)];
  if (item instanceof Uint8Array) return new Uint8Array(item);
  const is64Bit = field.kind === "int64" || field.kind === "uint64";
  return is64Bit && !isDecimal(field) ? Number(item) : item;
}

/** How protobufjs shall show a message: absent fields with their defaults, 64 bits as text. */
export const REFERENCE_VIEW: protobuf.IConversionOptions = {
  longs: String,
  enums: Number,
  defaults: true,
};
