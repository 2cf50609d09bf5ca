/**
 * The forms that one message can have on the wire, and the forms that are none: cut short, in another
 * order, with fields of a newer peer, packed, larger than the writer's memory, nested too deep. Held against protobufjs
 * where it has an opinion.
 */

import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../services/base/bytes.ts";
import { NESTING_MAX } from "../../../services/base/wire/read.ts";
import { field, message, WireError, type WireMessage } from "../../../services/base/wire.ts";
import { fromReference, REFERENCE_VIEW, toReference, valuesOf } from "../../support/wireValues.ts";

const SCHEMA = `
syntax = "proto3";
package t;
enum Colour { RED = 0; GREEN = 1; BLUE = 2; }
message Leaf { uint64 count = 1; bytes data = 2; string text = 3; }
message Branch { string name = 1; repeated Leaf leaves = 2; repeated uint64 sizes = 40; Colour colour = 3; }
message Tree { uint64 sequence = 1; repeated Branch branches = 2; Leaf leaf = 3; optional uint64 maybe = 4;
  int64 delta = 5; double real = 6; repeated bool flags = 7; int64 id = 8; }`;

const Leaf = message("t.Leaf", {
  count: field.uint64(1),
  data: field.bytes(2),
  text: field.string(3),
});
const Branch = message("t.Branch", {
  name: field.string(1),
  leaves: field.repeated(field.message(2, Leaf)),
  sizes: field.repeated(field.uint64(40)),
  colour: field.choice(3, "t.Colour", ["red", "green", "blue"] as const),
});
const Tree = message("t.Tree", {
  sequence: field.uint64(1),
  branches: field.repeated(field.message(2, Branch)),
  leaf: field.message(3, Leaf),
  maybe: field.optional(field.uint64(4)),
  delta: field.int64(5),
  real: field.double(6),
  flags: field.repeated(field.bool(7)),
  id: field.decimal(8, "int64"),
});
type Tree = ReturnType<typeof Tree.decode>;

const reference = protobuf.parse(SCHEMA, { keepCase: true }).root.resolveAll().lookupType("t.Tree");
const trees = valuesOf(Tree, reference) as fc.Arbitrary<Tree>;
const NONE = Tree.decode(new Uint8Array(0));

/** What protobufjs makes of bytes; `undefined` when it refuses them. */
function theirs(bytes: Uint8Array): unknown {
  try {
    const view = reference.toObject(reference.decode(bytes), REFERENCE_VIEW);
    return fromReference(Tree, reference, view);
  } catch {
    return undefined;
  }
}

/** What we make of bytes; `undefined` when they are refused as WireError. */
function ours<T>(type: WireMessage<T>, bytes: Uint8Array): T | undefined {
  try {
    return type.decode(bytes);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** The outermost fields of a message, each with its tag, as they stand. */
function fieldsOf(value: Tree): Uint8Array[] {
  const alone = (part: Partial<Tree>): Uint8Array => Tree.encode({ ...NONE, ...part });
  return [
    alone({ sequence: value.sequence }),
    ...value.branches.map((branch) => alone({ branches: [branch] })),
    alone({ leaf: value.leaf }),
    alone({ maybe: value.maybe }),
    alone({ delta: value.delta }),
    alone({ real: value.real }),
    ...value.flags.map((flag) => alone({ flags: [flag] })),
    alone({ id: value.id }),
  ].filter((bytes) => bytes.length > 0);
}

/** Fields 900 to 903 of every wire type that has a length. */
const UNKNOWN = [
  [0xa0, 0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xa9, 0x38, 1, 2, 3, 4, 5, 6, 7, 8],
  [0xb2, 0x38, 3, 9, 9, 9],
  [0xbd, 0x38, 1, 2, 3, 4],
].map((bytes) => new Uint8Array(bytes));

describe("a message on the wire", () => {
  it("is refused or taken as protobufjs does when it is cut at any byte (P10)", () => {
    fc.assert(
      fc.property(trees, (value) => {
        const bytes = Tree.encode(value);
        for (let length = 0; length <= bytes.length; length++) {
          const cut = bytes.slice(0, length);
          expect(ours(Tree, cut)).toEqual(theirs(cut));
        }
      }),
      { numRuns: 60 },
    );
  });

  it("means the same in whatever order its fields come, with fields of a newer peer between them", () => {
    const shuffled = trees.chain((value) => {
      const parts = fieldsOf(value);
      const order = fc.shuffledSubarray([...parts.keys()], { minLength: parts.length });
      return fc.tuple(fc.constant(value), fc.constant(parts), order, fc.nat(3));
    });
    fc.assert(
      fc.property(shuffled, ([value, parts, order, first]) => {
        const mixed = order.flatMap((part, index) => [
          UNKNOWN[(index + first) % UNKNOWN.length] ?? new Uint8Array(0),
          parts[part] ?? new Uint8Array(0),
        ]);
        const read = Tree.decode(concatBytes(mixed));
        // Items of a list keep the order in which they came.
        const came = (keep: (part: Tree) => number): Tree[] =>
          order
            .map((part) => Tree.decode(parts[part] ?? new Uint8Array(0)))
            .filter((part) => keep(part) > 0);
        const branches = came((part) => part.branches.length).flatMap((part) => part.branches);
        const flags = came((part) => part.flags.length).flatMap((part) => part.flags);
        expect(read).toEqual({ ...value, branches, flags });
        expect(Object.keys(read)).toEqual(Object.keys(Tree.fields));
      }),
      { numRuns: 200 },
    );
  });

  it("may have its lists of numbers packed, in several pieces, or mixed", () => {
    const one = [0xc0, 0x02, 5];
    const packed = [0xc2, 0x02, 3, 1, 0x80, 0x01];
    const read = Branch.decode(new Uint8Array([...packed, ...one, ...packed, 0xc2, 0x02, 0]));
    expect(read.sizes).toEqual([1, 128, 5, 1, 128]);
    expect(ours(Branch, new Uint8Array([0xc2, 0x02, 1, 0x80]))).toBeUndefined();
  });

  it("is written the same by protobufjs for the smallest and the largest values", () => {
    const numbers = [0, 1, 127, 128, 2 ** 21, 2 ** 28, 2 ** 32, 2 ** 35, 2 ** 49].flatMap(
      (value) => [value, Math.max(0, value - 1)],
    );
    for (const count of [...numbers, Number.MAX_SAFE_INTEGER]) {
      const value: Tree = { ...NONE, sequence: count, delta: -count, maybe: count };
      const bytes = Tree.encode(value);
      const plain = toReference(Tree, reference, value);
      expect(bytes).toEqual(new Uint8Array(reference.encode(reference.fromObject(plain)).finish()));
      expect(Tree.decode(bytes)).toEqual({ ...value, delta: 0 - count });
    }
  });

  it.each(["0", "1", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"])(
    "carries the 64-bit id %s",
    (id) => {
      expect(Tree.decode(Tree.encode({ ...NONE, id })).id).toBe(id);
    },
  );

  it.each(["9223372036854775808", "1.5", "", "0x10", "123456789012345678901"])(
    "refuses the 64-bit id '%s'",
    (id) => {
      expect(() => Tree.encode({ ...NONE, id })).toThrow(WireError);
    },
  );

  it.each([
    ["a byte order mark", "\u{feff}text"],
    ["characters of two, three and four bytes", "aé€\u{1f600}z"],
    ["more characters than the writer has room for", "é".repeat(100_000)],
    ["only ASCII", "x".repeat(200_000)],
  ])("keeps a text with %s", (_what, text) => {
    const bytes = Leaf.encode({ count: 1, data: new Uint8Array(0), text });
    expect(Leaf.decode(bytes).text).toBe(text);
  });
});

describe("the writer", () => {
  /** Around the sizes at which bytes are kept out of the slab, and at which the slab ends. */
  const lengths = fc.oneof(
    fc.nat(40),
    fc.constantFrom(1023, 1024, 1025, 16_383, 16_384, 65_535, 65_536, 70_000),
    fc.nat(9000),
  );
  const filled = lengths.map((length) => new Uint8Array(length).fill(length % 251));
  const leaves = fc.record({
    count: fc.maxSafeNat(),
    data: filled,
    text: fc.oneof(fc.string({ maxLength: 5 }), fc.constant("é".repeat(800))),
  });
  const bulky = fc.array(
    fc.record({
      name: fc.string(),
      leaves: fc.array(leaves, { maxLength: 6 }),
      sizes: fc.array(fc.maxSafeNat(), { maxLength: 3 }),
      colour: fc.constantFrom("red" as const, "blue" as const),
    }),
    { maxLength: 4 },
  );

  it("never writes into a message again that it gave out, small or large, and knows its size before", () => {
    fc.assert(
      fc.property(fc.array(bulky, { minLength: 1, maxLength: 12 }), (values) => {
        const given = values.map((branches) => {
          const value: Tree = { ...NONE, branches };
          const size = Tree.size(value);
          const bytes = Tree.encode(value);
          expect(bytes).toHaveLength(size);
          return { value, bytes, copy: bytes.slice() };
        });
        for (const { value, bytes, copy } of given) {
          expect(Buffer.compare(bytes, copy)).toBe(0);
          expect(Buffer.compare(Tree.encode(Tree.decode(bytes)), copy)).toBe(0);
          expect(Tree.decode(bytes).branches).toHaveLength(value.branches.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("writes as protobufjs does when bulk, lists and texts mix", () => {
    fc.assert(
      fc.property(bulky, (branches) => {
        const value: Tree = { ...NONE, branches };
        const bytes = Tree.encode(value);
        expect(Buffer.compare(Tree.encode(theirs(bytes) as Tree), bytes)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("goes on as if nothing had been after a value that does not fit", () => {
    const good: Tree = { ...NONE, sequence: 7, branches: [] };
    const before = Tree.encode(good).slice();
    const leaf = { count: -1, data: new Uint8Array(70_000), text: "" };
    const bad: Tree = {
      ...NONE,
      branches: [{ name: "", leaves: [leaf], sizes: [], colour: "red" }],
    };
    expect(() => Tree.encode(bad)).toThrow(WireError);
    expect(() => Tree.size(bad)).toThrow(WireError);
    expect(Tree.encode(good)).toEqual(before);
  });
});

describe("the reader", () => {
  /** A message inside as many others as are asked for, each a field 1 of a length. */
  function nested(depth: number): Uint8Array {
    let bytes = new Uint8Array(0);
    for (let i = 0; i < depth; i++) {
      const { length } = bytes;
      bytes = new Uint8Array([
        10,
        ...(length < 128 ? [length] : [length | 128, length >> 7]),
        ...bytes,
      ]);
    }
    return bytes;
  }
  interface Node {
    readonly next: Node | undefined;
  }
  const Node: WireMessage<Node> = message("t.Node", {
    next: field.message<Node>(1, {
      name: "t.Node",
      get fields() {
        return Node.fields;
      },
      encode: (value) => Node.encode(value),
      decode: (bytes) => Node.decode(bytes),
      size: (value) => Node.size(value),
    }),
  });

  it("takes messages in messages up to its limit and refuses more, instead of overflowing (P10)", () => {
    expect(Node.encode(Node.decode(nested(NESTING_MAX)))).toEqual(nested(NESTING_MAX));
    expect(() => Node.decode(nested(NESTING_MAX + 1))).toThrow(WireError);
  });

  it("gives absent fields values that nobody can change for others", () => {
    const value = Tree.decode(new Uint8Array(0));
    expect(Object.isFrozen(value.branches)).toBe(true);
    expect(Leaf.decode(new Uint8Array(0)).data).toHaveLength(0);
    const filled = Branch.decode(
      Branch.encode({ name: "", leaves: [], sizes: [3], colour: "red" }),
    );
    expect(filled.sizes).toEqual([3]);
    expect(Branch.decode(new Uint8Array(0)).sizes).toEqual([]);
  });

  it("gives values that are plain objects", () => {
    expect(Object.getPrototypeOf(Tree.decode(new Uint8Array(0)))).toBe(Object.prototype);
  });
});
