/**
 * The wire: protobuf messages declared once in TypeScript, from which both their type and their
 * codec follow. `proto/` holds the same contract for other languages; a test holds every
 * declaration here against its `.proto` file, by number and by type, and against a reference codec.
 *
 * Why not generated code: 64-bit fields are numbers here, asserted to be safe integers; byte fields
 * are views of the frame they came in, so that bulk data is not copied; and a process starts without
 * parsing schemas (see ADR 0002).
 *
 * proto3 rules: scalar fields with their default value are not written; unknown fields are skipped;
 * the last value of a repeated scalar key wins. Fields that are messages may be `undefined`.
 */

/** Bytes that are not a message of the expected type: a peer that sends garbage. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Turns values into bytes and back. `decode` throws WireError on bytes that are no such value. */
export interface WireCodec<T> {
  /** Full protobuf name, e.g. `antipode.stargate.v1.AppendRequest`. */
  readonly name: string;
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** A message type: a codec that can also be a field of another message. */
export interface WireMessage<T> extends WireCodec<T> {
  readonly fields: Fields;
  size(value: T): number;
  write(value: T, out: Uint8Array, at: number): number;
}

/** Value type of a message declared with `message`. */
export type Infer<M> = M extends WireMessage<infer T> ? T : never;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
type WireType = typeof VARINT | typeof FIXED64 | typeof LENGTH;

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;
}

/** A field's number and kind, and how its values are sized, written and read. */
export interface Field<T> {
  readonly number: number;
  /** As `.proto` files name it: `uint64`, `bytes`, `antipode.x.v1.Y`; `repeated` is separate. */
  readonly kind: string;
  readonly repeated: boolean;
  /** The message type of a message field. */
  readonly of: WireMessage<unknown> | undefined;
  /** The value of an absent field. */
  absent(): T;
  size(value: T): number;
  write(value: T, out: Uint8Array, at: number): number;
  /** Reads one occurrence and merges it into what was read before. */
  read(cursor: Cursor, wireType: number, before: T): T;
}

// biome-ignore lint/suspicious/noExplicitAny: a record of fields of any value type; `unknown` would not accept them
export type Fields = Readonly<Record<string, Field<any>>>; // eslint-disable-line @typescript-eslint/no-explicit-any
type ValueOf<F> = F extends Field<infer T> ? T : never;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function varintSize(value: number): number {
  let size = 1;
  let rest = value;
  while (rest >= 128) {
    rest = Math.floor(rest / 128);
    size += 1;
  }
  return size;
}

function writeVarint(value: number, out: Uint8Array, start: number): number {
  let at = start;
  let rest = value;
  while (rest > 0x7fffffff) {
    out[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    out[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

function readVarint(cursor: Cursor): number {
  let value = 0;
  let scale = 1;
  for (let count = 0; count < 10; count++) {
    if (cursor.at >= cursor.end) throw new WireError("a varint ends too early");
    const byte = cursor.bytes[cursor.at++] ?? 0;
    value += (byte & 127) * scale;
    if (byte < 128) {
      if (!Number.isSafeInteger(value)) throw new WireError("a 64-bit field is out of range");
      return value;
    }
    scale *= 128;
  }
  throw new WireError("a varint is longer than ten bytes");
}

/** Signed 64-bit: negative numbers come as two's complement in ten bytes. */
function readSignedVarint(cursor: Cursor): number {
  let value = 0n;
  let shift = 0n;
  const start = cursor.at;
  for (let count = 0; count < 10; count++) {
    if (cursor.at >= cursor.end) throw new WireError("a varint ends too early");
    const byte = cursor.bytes[cursor.at++] ?? 0;
    if (count < 7 && byte < 128) {
      cursor.at = start;
      return readVarint(cursor);
    }
    value |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) {
      const signed = Number(BigInt.asIntN(64, value));
      if (!Number.isSafeInteger(signed)) throw new WireError("a 64-bit field is out of range");
      return signed;
    }
  }
  throw new WireError("a varint is longer than ten bytes");
}

function writeSignedVarint(value: number, out: Uint8Array, at: number): number {
  if (value >= 0) return writeVarint(value, out, at);
  let rest = BigInt.asUintN(64, BigInt(value));
  for (let i = 0; i < 9; i++) {
    out[at + i] = Number(rest & 127n) | 128;
    rest >>= 7n;
  }
  out[at + 9] = Number(rest);
  return at + 10;
}

function readLength(cursor: Cursor): number {
  const length = readVarint(cursor);
  if (length > cursor.end - cursor.at) throw new WireError("a field is longer than its message");
  return length;
}

function skip(cursor: Cursor, wireType: number): void {
  if (wireType === VARINT) {
    // Ten bytes at most; the value is of no interest, so it may exceed a safe integer.
    for (let i = 0; i < 10; i++) {
      if (cursor.at >= cursor.end) throw new WireError("a varint ends too early");
      if ((cursor.bytes[cursor.at++] ?? 0) < 128) return;
    }
    throw new WireError("a varint is longer than ten bytes");
  }
  const length =
    wireType === FIXED64
      ? 8
      : wireType === FIXED32
        ? 4
        : wireType === LENGTH
          ? readLength(cursor)
          : -1;
  if (length < 0 || cursor.at + length > cursor.end)
    throw new WireError("a field has an unknown shape");
  cursor.at += length;
}

function expectType(actual: number, expected: WireType, kind: string): void {
  if (actual !== expected) throw new WireError(`a ${kind} field has wire type ${actual}`);
}

function checkUnsigned(value: number, kind: string): void {
  const max = kind === "uint32" ? 0xffffffff : Number.MAX_SAFE_INTEGER;
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new WireError(`${value} does not fit a ${kind} field`);
}

function scalar<T>(
  parts: Pick<Field<T>, "number" | "kind" | "absent" | "size" | "write" | "read">,
): Field<T> {
  return { ...parts, repeated: false, of: undefined };
}

const tagOf = (number: number, wireType: WireType): number => number * 8 + wireType;

function unsigned(number: number, kind: "uint32" | "uint64"): Field<number> {
  const tag = tagOf(number, VARINT);
  return scalar<number>({
    number,
    kind,
    absent: () => 0,
    size(value) {
      checkUnsigned(value, kind);
      return value === 0 ? 0 : varintSize(tag) + varintSize(value);
    },
    write: (value, out, at) =>
      value === 0 ? at : writeVarint(value, out, writeVarint(tag, out, at)),
    read(cursor, wireType) {
      expectType(wireType, VARINT, kind);
      const value = readVarint(cursor);
      if (kind === "uint32" && value > 0xffffffff)
        throw new WireError("a 32-bit field is out of range");
      return value;
    },
  });
}

/** Field constructors, named as `.proto` files name the types. */
export const field = {
  uint32: (number: number): Field<number> => unsigned(number, "uint32"),
  uint64: (number: number): Field<number> => unsigned(number, "uint64"),

  int64(number: number): Field<number> {
    const tag = tagOf(number, VARINT);
    return scalar<number>({
      number,
      kind: "int64",
      absent: () => 0,
      size(value) {
        if (!Number.isSafeInteger(value))
          throw new WireError(`${value} does not fit an int64 field`);
        return value === 0 ? 0 : varintSize(tag) + (value < 0 ? 10 : varintSize(value));
      },
      write: (value, out, at) =>
        value === 0 ? at : writeSignedVarint(value, out, writeVarint(tag, out, at)),
      read(cursor, wireType) {
        expectType(wireType, VARINT, "int64");
        return readSignedVarint(cursor);
      },
    });
  },

  /**
   * A 64-bit integer of the full range as decimal text, for foreign ids that are no safe numbers
   * (etcd's leases and members); absent is "0".
   */
  decimal(number: number, kind: "int64" | "uint64"): Field<string> {
    const tag = tagOf(number, VARINT);
    const bitsOf = (text: string): bigint => {
      if (!/^-?\d{1,20}$/.test(text)) throw new WireError(`${text} does not fit an ${kind} field`);
      const value = BigInt(text);
      const fitted = kind === "int64" ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
      if (fitted !== value) throw new WireError(`${text} does not fit an ${kind} field`);
      return BigInt.asUintN(64, value);
    };
    return scalar<string>({
      number,
      kind,
      absent: () => "0",
      size(value) {
        const bits = bitsOf(value);
        return bits === 0n ? 0 : varintSize(tag) + Math.ceil(bits.toString(2).length / 7);
      },
      write(value, out, start) {
        let rest = bitsOf(value);
        if (rest === 0n) return start;
        let at = writeVarint(tag, out, start);
        for (; rest > 127n; rest >>= 7n) out[at++] = Number(rest & 127n) | 128;
        out[at++] = Number(rest);
        return at;
      },
      read(cursor, wireType) {
        expectType(wireType, VARINT, kind);
        let bits = 0n;
        for (let shift = 0n; shift < 70n; shift += 7n) {
          if (cursor.at >= cursor.end) throw new WireError("a varint ends too early");
          const byte = cursor.bytes[cursor.at++] ?? 0;
          bits |= BigInt(byte & 127) << shift;
          if (byte < 128) {
            return (
              kind === "int64" ? BigInt.asIntN(64, bits) : BigInt.asUintN(64, bits)
            ).toString();
          }
        }
        throw new WireError("a varint is longer than ten bytes");
      },
    });
  },

  bool(number: number): Field<boolean> {
    const tag = tagOf(number, VARINT);
    return scalar<boolean>({
      number,
      kind: "bool",
      absent: () => false,
      size: (value) => (value ? varintSize(tag) + 1 : 0),
      write: (value, out, at) => (value ? writeVarint(1, out, writeVarint(tag, out, at)) : at),
      read(cursor, wireType) {
        expectType(wireType, VARINT, "bool");
        return readVarint(cursor) !== 0;
      },
    });
  },

  double(number: number): Field<number> {
    const tag = tagOf(number, FIXED64);
    return scalar<number>({
      number,
      kind: "double",
      absent: () => 0,
      size: (value) => (value === 0 ? 0 : varintSize(tag) + 8),
      write(value, out, start) {
        if (value === 0) return start;
        const at = writeVarint(tag, out, start);
        new DataView(out.buffer, out.byteOffset + at, 8).setFloat64(0, value, true);
        return at + 8;
      },
      read(cursor, wireType) {
        expectType(wireType, FIXED64, "double");
        if (cursor.end - cursor.at < 8) throw new WireError("a double ends too early");
        const view = new DataView(cursor.bytes.buffer, cursor.bytes.byteOffset + cursor.at, 8);
        cursor.at += 8;
        return view.getFloat64(0, true);
      },
    });
  },

  /** Bytes; what `decode` gives is a view of the frame: copy what is kept for long. */
  bytes(number: number): Field<Uint8Array> {
    const tag = tagOf(number, LENGTH);
    return scalar<Uint8Array>({
      number,
      kind: "bytes",
      absent: () => new Uint8Array(0),
      size: (value) =>
        value.length === 0 ? 0 : varintSize(tag) + varintSize(value.length) + value.length,
      write(value, out, start) {
        if (value.length === 0) return start;
        const at = writeVarint(value.length, out, writeVarint(tag, out, start));
        out.set(value, at);
        return at + value.length;
      },
      read(cursor, wireType) {
        expectType(wireType, LENGTH, "bytes");
        const length = readLength(cursor);
        cursor.at += length;
        return cursor.bytes.subarray(cursor.at - length, cursor.at);
      },
    });
  },

  string(number: number): Field<string> {
    const raw = field.bytes(number);
    return scalar<string>({
      number,
      kind: "string",
      absent: () => "",
      size: (value) => raw.size(encoder.encode(value)),
      write: (value, out, at) => raw.write(encoder.encode(value), out, at),
      read(cursor, wireType) {
        const bytes = raw.read(cursor, wireType, raw.absent());
        try {
          return decoder.decode(bytes);
        } catch (cause) {
          throw new WireError("a text field is not UTF-8", { cause });
        }
      },
    });
  },

  /** An enum as one of its names; `names[i]` is the name of value i. Unknown numbers are refused. */
  choice<const N extends readonly string[]>(
    number: number,
    kind: string,
    names: N,
  ): Field<N[number]> {
    const raw = unsigned(number, "uint32");
    const indexOf = (name: N[number]): number => {
      const index = names.indexOf(name);
      if (index < 0) throw new WireError(`${name} is not a ${kind}`);
      return index;
    };
    return scalar<N[number]>({
      number,
      kind,
      absent: () => names[0] ?? "",
      size: (value) => raw.size(indexOf(value)),
      write: (value, out, at) => raw.write(indexOf(value), out, at),
      read(cursor, wireType) {
        const name = names[raw.read(cursor, wireType, 0)];
        if (name === undefined) throw new WireError(`an unknown value of ${kind}`);
        return name;
      },
    });
  },

  /** A message inside a message; `undefined` when absent. */
  message<T>(number: number, type: WireMessage<T>): Field<T | undefined> {
    const tag = tagOf(number, LENGTH);
    return {
      number,
      kind: type.name,
      repeated: false,
      of: type,
      absent: () => undefined,
      size(value) {
        if (value === undefined) return 0;
        const length = type.size(value);
        return varintSize(tag) + varintSize(length) + length;
      },
      write(value, out, start) {
        if (value === undefined) return start;
        const at = writeVarint(type.size(value), out, writeVarint(tag, out, start));
        return type.write(value, out, at);
      },
      read(cursor, wireType) {
        expectType(wireType, LENGTH, type.name);
        const length = readLength(cursor);
        cursor.at += length;
        return type.decode(cursor.bytes.subarray(cursor.at - length, cursor.at));
      },
    };
  },

  /**
   * A scalar with presence, as a member of a oneof has it: written even when it is the default
   * value, `undefined` when absent.
   */
  optional<T>(one: Field<T>): Field<T | undefined> {
    return {
      number: one.number,
      kind: one.kind,
      repeated: false,
      of: one.of,
      absent: () => undefined,
      size: (value) => (value === undefined ? 0 : sizeOfItem(one, value)),
      write: (value, out, at) => (value === undefined ? at : writeItem(one, value, out, at)),
      read: (cursor, wireType) => one.read(cursor, wireType, one.absent()),
    };
  },

  /** Any number of values. Packed scalars are read; they are written unpacked. */
  repeated<T>(one: Field<T>): Field<readonly Exclude<T, undefined>[]> {
    type Item = Exclude<T, undefined>;
    return {
      number: one.number,
      kind: one.kind,
      repeated: true,
      of: one.of,
      absent: () => [],
      size(values) {
        let size = 0;
        for (const value of values) size += sizeOfItem(one, value);
        return size;
      },
      write(values, out, start) {
        let at = start;
        for (const value of values) at = writeItem(one, value, out, at);
        return at;
      },
      read(cursor, wireType, before) {
        const packable = one.of === undefined && !["bytes", "string"].includes(one.kind);
        const itemType = one.kind === "double" ? FIXED64 : VARINT;
        const items = before as Item[];
        if (!packable || wireType !== LENGTH) {
          items.push(one.read(cursor, wireType, one.absent()) as Item);
          return items;
        }
        const length = readLength(cursor);
        const inner: Cursor = { bytes: cursor.bytes, at: cursor.at, end: cursor.at + length };
        while (inner.at < inner.end) items.push(one.read(inner, itemType, one.absent()) as Item);
        cursor.at += length;
        return items;
      },
    };
  },
} as const;

/** Inside a list a default value takes a place of its own: a tag and an empty value. */
function sizeOfItem<T>(one: Field<T>, value: T): number {
  const size = one.size(value);
  return size > 0 ? size : varintSize(tagOf(one.number, LENGTH)) + (one.kind === "double" ? 8 : 1);
}

function writeItem<T>(one: Field<T>, value: T, out: Uint8Array, start: number): number {
  const at = one.write(value, out, start);
  if (at > start) return at;
  const wireType =
    one.kind === "double"
      ? FIXED64
      : one.kind === "bytes" || one.kind === "string" || one.of
        ? LENGTH
        : VARINT;
  const end = writeVarint(tagOf(one.number, wireType), out, start);
  const zeros = wireType === FIXED64 ? 8 : 1;
  out.fill(0, end, end + zeros);
  return end + zeros;
}

/**
 * Declares a message type.
 * @param name full protobuf name
 * @param fields field name in camelCase → field; `.proto` has it in snake_case
 */
export function message<F extends Fields>(
  name: string,
  fields: F,
): WireMessage<{ readonly [K in keyof F]: ValueOf<F[K]> }> {
  type T = { readonly [K in keyof F]: ValueOf<F[K]> };
  const list = Object.entries(fields).map(([key, item]) => ({
    key,
    field: item as Field<unknown>,
  }));
  const byNumber = new Map(list.map((entry) => [entry.field.number, entry]));
  if (byNumber.size !== list.length) throw new WireError(`${name} uses a field number twice`);
  const get = (value: T, key: string): unknown => (value as Record<string, unknown>)[key];

  const type: WireMessage<T> = {
    name,
    fields,
    size(value) {
      let size = 0;
      for (const entry of list) size += entry.field.size(get(value, entry.key));
      return size;
    },
    write(value, out, start) {
      let at = start;
      for (const entry of list) at = entry.field.write(get(value, entry.key), out, at);
      return at;
    },
    encode(value) {
      const out = new Uint8Array(type.size(value));
      type.write(value, out, 0);
      return out;
    },
    decode(bytes) {
      const value: Record<string, unknown> = {};
      for (const entry of list) value[entry.key] = entry.field.absent();
      const cursor: Cursor = { bytes, at: 0, end: bytes.length };
      while (cursor.at < cursor.end) {
        const tag = readVarint(cursor);
        const entry = byNumber.get(Math.floor(tag / 8));
        if (entry === undefined) skip(cursor, tag % 8);
        else value[entry.key] = entry.field.read(cursor, tag % 8, value[entry.key]);
      }
      return value as T;
    },
  };
  return type;
}

/** How many messages flow each way in a call. */
export type MethodKind = "unary" | "clientStream" | "serverStream" | "duplex";

/** One method of a service: what the rpc port needs to call or to serve it. */
export interface Method<Request, Response, Kind extends MethodKind = MethodKind> {
  /** `/antipode.stargate.v1.StargateService/CreateVdisk` */
  readonly path: string;
  readonly kind: Kind;
  readonly request: WireCodec<Request>;
  readonly response: WireCodec<Response>;
}

/** Declares a method of a service, e.g. `method("antipode.x.v1.XService", "DoIt", "unary", A, B)`. */
export function method<Request, Response, Kind extends MethodKind>(
  service: string,
  name: string,
  kind: Kind,
  request: WireCodec<Request>,
  response: WireCodec<Response>,
): Method<Request, Response, Kind> {
  return { path: `/${service}/${name}`, kind, request, response };
}
