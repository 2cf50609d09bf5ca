/**
 * Fields of messages as data: what a field is called in `.proto` files, and how its values lie on
 * the wire. No field has code of its own: a process at its start declares some hundred and fifty
 * messages and uses thirty, and one reader and one writer that are shared by all fields get hot,
 * and with that fast, long before one closure a field would.
 *
 * Invariant: an absent value is one shared, immutable value, so that an absent field costs no
 * allocation and the writer recognises most absent fields by identity.
 */

/** Bytes or values that are not a message of the expected type: a peer that sends garbage. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Turns values into bytes and back. `decode` throws WireError on bytes that are no such value. */
export interface WireCodec<T> {
  /** Full protobuf name, e.g. `antipode.stargate.v1.AppendRequest`. */
  readonly name: string;
  /** What it gives may lie in a larger buffer that other messages share: never transfer that. */
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** A message type: a codec that can also be a field of another message. */
export interface WireMessage<T> extends WireCodec<T> {
  readonly fields: Fields;
  /** Length of what `encode` gives, in bytes, without copying the value's bulk. */
  size(value: T): number;
}

/** Value type of a message declared with `message`. */
export type Infer<M> = M extends WireMessage<infer T> ? T : never;

export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH = 2;
export const FIXED32 = 5;

/**
 * What a value is on the wire. Reader and writer switch over the literal numbers, which V8 makes a
 * jump table of; it does not for names.
 */
export const OP = {
  uint32: 0,
  uint64: 1,
  int64: 2,
  decimal: 3,
  bool: 4,
  choice: 5,
  double: 6,
  bytes: 7,
  string: 8,
  message: 9,
} as const;
export type Op = (typeof OP)[keyof typeof OP];

/** A field's number and kind, and the value that it has when it is absent. */
export interface Field<T> {
  readonly number: number;
  /** As `.proto` files name it: `uint64`, `bytes`, `antipode.x.v1.Y`; `repeated` is separate. */
  readonly kind: string;
  readonly op: Op;
  readonly repeated: boolean;
  /** The message type of a message field. */
  readonly of: WireMessage<unknown> | undefined;
  /** Names of a choice by their number; empty for every other field. */
  readonly names: readonly string[];
  /** The value of an absent field. */
  readonly absent: T;
}

// biome-ignore lint/suspicious/noExplicitAny: a record of fields of any value type; `unknown` would not accept them
export type Fields = Readonly<Record<string, Field<any>>>; // eslint-disable-line @typescript-eslint/no-explicit-any
/** Value type of a field. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;

/** Every absent field of bytes: has no bytes to be changed. */
export const NO_BYTES = new Uint8Array(0);
/** Every absent list. */
export const NO_ITEMS: readonly never[] = Object.freeze([]);
const NO_NAMES: readonly string[] = [];

function declare<T>(number: number, kind: string, op: Op, absent: T): Field<T> {
  return { number, kind, op, repeated: false, of: undefined, names: NO_NAMES, absent };
}

/** Field constructors, named as `.proto` files name the types. */
export const field = {
  uint32: (number: number): Field<number> => declare(number, "uint32", OP.uint32, 0),
  uint64: (number: number): Field<number> => declare(number, "uint64", OP.uint64, 0),
  int64: (number: number): Field<number> => declare(number, "int64", OP.int64, 0),

  /**
   * A 64-bit integer of the full range as decimal text, for foreign ids that are no safe numbers
   * (etcd's leases and members); absent is "0".
   */
  decimal: (number: number, kind: "int64" | "uint64"): Field<string> =>
    declare(number, kind, OP.decimal, "0"),

  bool: (number: number): Field<boolean> => declare(number, "bool", OP.bool, false),
  double: (number: number): Field<number> => declare(number, "double", OP.double, 0),

  /** Bytes; what `decode` gives is a view of the frame: copy what is kept for long. */
  bytes: (number: number): Field<Uint8Array> =>
    declare<Uint8Array>(number, "bytes", OP.bytes, NO_BYTES),
  string: (number: number): Field<string> => declare(number, "string", OP.string, ""),

  /** An enum as one of its names; `names[i]` is the name of value i. Unknown numbers are refused. */
  choice: <const N extends readonly string[]>(
    number: number,
    kind: string,
    names: N,
  ): Field<N[number]> => ({
    ...declare<N[number]>(number, kind, OP.choice, names[0] ?? ""),
    names,
  }),

  /** A message inside a message; `undefined` when absent. */
  message: <T>(number: number, type: WireMessage<T>): Field<T | undefined> => ({
    ...declare<T | undefined>(number, type.name, OP.message, undefined),
    of: type,
  }),

  /**
   * A scalar with presence, as a member of a oneof has it: written even when it is the default
   * value, `undefined` when absent.
   */
  optional: <T>(one: Field<T>): Field<T | undefined> => ({ ...one, absent: undefined }),

  /** Any number of values. Packed scalars are read; they are written unpacked. */
  repeated: <T>(one: Field<T>): Field<readonly Exclude<T, undefined>[]> => ({
    ...one,
    repeated: true,
    absent: NO_ITEMS,
  }),
} as const;
