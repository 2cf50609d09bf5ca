/**
 * The protobuf codec, by field kind, against protobufjs with a schema of every kind; and the rules of
 * proto3 that matter between versions: unknown fields, packed lists, defaults, presence.
 */

import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { concatBytes, toHex } from "../../../services/base/bytes.ts";
import { field, message, method, WireError } from "../../../services/base/wire.ts";
import { fromReference, REFERENCE_VIEW, toReference, valuesOf } from "../../support/wireValues.ts";

const SCHEMA = `
syntax = "proto3";
package t;
enum Colour { RED = 0; GREEN = 1; BLUE = 2; }
message Inner { uint64 a = 1; string b = 200; }
message All {
  uint32 u32 = 1; uint64 u64 = 2; int64 i64 = 3; bool flag = 4; double real = 5;
  bytes data = 6; string text = 7; Colour colour = 8; Inner inner = 9;
  repeated uint32 u32s = 11; repeated uint64 u64s = 12; repeated int64 i64s = 13; repeated bool flags = 14;
  repeated double reals = 15; repeated bytes datas = 16; repeated string texts = 17; repeated Colour colours = 18;
  repeated Inner inners = 19; int64 id = 20; optional uint64 maybe = 21; uint64 last = 536870911;
}`;

const colours = ["red", "green", "blue"] as const;
const Inner = message("t.Inner", { a: field.uint64(1), b: field.string(200) });
const All = message("t.All", {
  u32: field.uint32(1),
  u64: field.uint64(2),
  i64: field.int64(3),
  flag: field.bool(4),
  real: field.double(5),
  data: field.bytes(6),
  text: field.string(7),
  colour: field.choice(8, "t.Colour", colours),
  inner: field.message(9, Inner),
  u32s: field.repeated(field.uint32(11)),
  u64s: field.repeated(field.uint64(12)),
  i64s: field.repeated(field.int64(13)),
  flags: field.repeated(field.bool(14)),
  reals: field.repeated(field.double(15)),
  datas: field.repeated(field.bytes(16)),
  texts: field.repeated(field.string(17)),
  colours: field.repeated(field.choice(18, "t.Colour", colours)),
  inners: field.repeated(field.message(19, Inner)),
  id: field.decimal(20, "int64"),
  maybe: field.optional(field.uint64(21)),
  last: field.uint64(536_870_911),
});
const reference = protobuf.parse(SCHEMA, { keepCase: true }).root.resolveAll().lookupType("t.All");
const bytesOf = (...values: number[]): Uint8Array => new Uint8Array(values);

describe("wire codec", () => {
  it("agrees with protobufjs on every kind of field, both ways", () => {
    fc.assert(
      fc.property(valuesOf(All, reference), (value) => {
        const typed = value as ReturnType<typeof All.decode>;
        const bytes = All.encode(typed);
        expect(All.decode(bytes)).toEqual(value);
        expect(
          fromReference(
            All,
            reference,
            reference.toObject(reference.decode(bytes), REFERENCE_VIEW),
          ),
        ).toEqual(value);
        const theirs = reference
          .encode(reference.fromObject(toReference(All, reference, value)))
          .finish();
        expect(All.decode(new Uint8Array(theirs))).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it("throws nothing but WireError on any bytes (P10)", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          All.decode(bytes);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });

  it("writes nothing for default values and gives them back for nothing", () => {
    const empty = All.decode(new Uint8Array(0));
    expect(All.encode(empty)).toHaveLength(0);
    expect([
      empty.u64,
      empty.text,
      empty.colour,
      empty.inner,
      empty.u64s,
      empty.id,
      empty.maybe,
    ]).toEqual([0, "", "red", undefined, [], "0", undefined]);
  });

  it("writes an optional field's default value, and an empty inner message, because they are present", () => {
    const none = All.decode(new Uint8Array(0));
    const bytes = All.encode({ ...none, maybe: 0, inner: Inner.decode(new Uint8Array(0)) });
    expect(toHex(bytes)).toBe("4a00a80100");
    expect(All.decode(bytes)).toMatchObject({ maybe: 0, inner: { a: 0, b: "" } });
  });

  it("skips unknown fields of every wire type, as a newer peer sends them", () => {
    const known = Inner.encode({ a: 5, b: "x" });
    // Fields 100 to 103: varint of ten bytes, 64 bits, length-delimited, 32 bits.
    const unknown = bytesOf(
      0xa0,
      0x06,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0x01,
      0xa9,
      0x06,
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      0xb2,
      0x06,
      3,
      9,
      9,
      9,
      0xbd,
      0x06,
      1,
      2,
      3,
      4,
    );
    expect(Inner.decode(concatBytes([unknown, known, unknown]))).toEqual({ a: 5, b: "x" });
  });

  it("takes the last value of a field that comes twice", () => {
    expect(Inner.decode(bytesOf(8, 1, 8, 2)).a).toBe(2);
  });

  it.each([
    ["a varint that ends too early", bytesOf(8, 0x80)],
    ["a varint of eleven bytes", bytesOf(8, ...Array.from({ length: 10 }, () => 0x80), 1)],
    [
      "a number beyond the safe integers",
      bytesOf(8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
    ],
    ["a length beyond the message", bytesOf(0xc2, 0x0c, 5, 65)],
    ["a wrong wire type", bytesOf(0x0a, 1, 65)],
    ["a group", bytesOf(0x0b)],
    ["text that is no UTF-8", bytesOf(0xc2, 0x0c, 1, 0xff)],
  ])("refuses %s (P10)", (_what, bytes) => {
    expect(() => Inner.decode(bytes)).toThrow(WireError);
  });

  it("refuses an enum value it does not know rather than guess", () => {
    expect(() => All.decode(bytesOf(64, 3))).toThrow(WireError);
  });

  it.each([
    ["a negative number", { a: -1, b: "" }],
    ["a fraction", { a: 0.5, b: "" }],
    ["an unsafe integer", { a: 2 ** 53, b: "" }],
    ["not a number", { a: Number.NaN, b: "" }],
  ])("refuses to encode %s", (_what, value) => {
    expect(() => Inner.encode(value)).toThrow(WireError);
  });

  it("refuses a uint32 beyond 32 bits, to write and to read", () => {
    const Small = message("t.Small", { n: field.uint32(1) });
    expect(() => Small.encode({ n: 2 ** 32 })).toThrow(WireError);
    expect(() => Small.decode(bytesOf(8, 0x80, 0x80, 0x80, 0x80, 0x10))).toThrow(WireError);
  });

  it("gives bytes as views of the frame, without a copy", () => {
    const Blob = message("t.Blob", { data: field.bytes(1) });
    const frame = Blob.encode({ data: new Uint8Array(1000).fill(7) });
    expect(Blob.decode(frame).data.buffer).toBe(frame.buffer);
  });

  it("refuses a declaration that uses a number twice", () => {
    expect(() => message("t.Twice", { a: field.bool(1), b: field.bool(1) })).toThrow(WireError);
  });

  it("names a method's path as gRPC does", () => {
    expect(method("t.Service", "Do", "unary", Inner, All).path).toBe("/t.Service/Do");
  });
});
