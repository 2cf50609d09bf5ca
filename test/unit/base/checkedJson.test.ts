/** P10: JSON of others is taken as it should be, or refused with its code and the path of what is wrong. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { checkedJson, type JsonField, parseJson } from "../../../services/base/checkedJson.ts";
import { AntipodeError, codeOf } from "../../../services/base/errors.ts";

const SEED = Number(process.env["ANTIPODE_SEED"] ?? 20_260_101);

/** What a reader refuses a value with. */
function refusal(value: unknown, read: (top: JsonField) => unknown): AntipodeError {
  try {
    read(checkedJson(value, "the file", "FORMAT_UNSUPPORTED"));
  } catch (error) {
    if (error instanceof AntipodeError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

const at = (value: unknown): JsonField => checkedJson(value, "the file").record(["x"]).x;

describe("a checked JSON value", () => {
  it("gives what is right", () => {
    const top = checkedJson(
      {
        a: "t",
        e: "",
        n: -1.5,
        i: 3,
        f: false,
        l: [1, 2],
        at: { host: "h", port: 0 },
        env: { K: "v" },
      },
      "the file",
    ).object(["a", "e", "n", "i", "f", "l", "at", "env"], ["gone"]);
    expect(top.a.text()).toBe("t");
    expect(top.e.anyText()).toBe("");
    expect(top.n.number()).toBe(-1.5);
    expect(top.i.integer(3, 3)).toBe(3);
    expect(top.f.flag()).toBe(false);
    expect(top.l.list(2, 2).map((one) => one.integer())).toEqual([1, 2]);
    expect(top.at.address(0)).toEqual({ host: "h", port: 0 });
    expect(top.env.entries().map(([key, one]) => [key, one.text()])).toEqual([["K", "v"]]);
    expect(top.gone.optional((one) => one.text())).toBeUndefined();
    expect(top.a.oneOf(["s", "t"])).toBe("t");
  });

  it("names the way to what is wrong, in the message and as a detail", () => {
    const error = refusal({ sites: [{ at: { host: "h", port: 0 } }] }, (top) =>
      top.object(["sites"]).sites.list()[0]?.object(["at"]).at.address(),
    );
    expect(error.message).toBe(
      "the file is wrong: sites[0].at.port is not an integer from 1 to 65535",
    );
    expect(error.code).toBe("FORMAT_UNSUPPORTED");
    expect(error.details).toEqual({ key: "sites[0].at.port" });
  });

  it.each<[string, unknown, (top: JsonField) => unknown, string]>([
    ["a list for an object", [], (top) => top.record([]), "it is not an object"],
    ["null for an object", null, (top) => top.record([]), "it is not an object"],
    ["an unknown key", { y: 1 }, (top) => top.object([]), 'it has an unknown key "y"'],
    ["a missing key", {}, (top) => top.object(["x"]), 'it lacks "x"'],
    ["an inherited key", {}, (top) => top.record(["toString"]), 'it lacks "toString"'],
    ["an object for a list", {}, (top) => top.list(), "it is not a list"],
    ["too few entries", [], (top) => top.list(1), "less than 1"],
    ["too many entries", [1, 2], (top) => top.list(0, 1), "more than 1"],
    ["an empty text", "", (top) => top.text(), "it is empty"],
    ["a number for a text", 1, (top) => top.anyText(), "it is not a text"],
    ["a relative path", "a/b", (top) => top.absolutePath(), "it is not an absolute path"],
    ["another word", "c", (top) => top.oneOf(["a", "b"]), "it is none of a, b"],
    ["a text for a flag", "true", (top) => top.flag(), "neither true nor false"],
    ["NaN", Number.NaN, (top) => top.number(), "it is not a number that is finite"],
    ["a number out of range", 2, (top) => top.number(0, 1), "it is not a number from 0 to 1"],
    ["a fraction", 1.5, (top) => top.integer(), "it is not an integer of at least 0"],
    ["an unsafe integer", 2 ** 53, (top) => top.integer(), "it is not an integer of at least 0"],
    ["another version", { version: 2 }, (top) => top.ofVersion(1), "not of version 1"],
    ["no version", [], (top) => top.ofVersion(1), "not of version 1"],
  ])("refuses %s", (_what, value, read, named) => {
    expect(refusal(value, read).message).toContain(named);
  });

  it("passes over unknown keys where a newer version may have written them", () => {
    expect(checkedJson({ x: 1, y: 2 }, "the file").record(["x"]).x.integer()).toBe(1);
  });

  it(`is total: it takes any value apart or refuses it with its code (seed ${SEED})`, () => {
    const readers: readonly ((field: JsonField) => unknown)[] = [
      (field) => field.text(),
      (field) => field.integer(),
      (field) => field.number(0, 1),
      (field) => field.flag(),
      (field) => field.list(1, 2).map((one) => one.anyText()),
      (field) => field.entries().map(([, one]) => one.list()),
      (field) => field.address(),
      (field) => field.optional((one) => one.object(["a"], ["b"]).a.oneOf(["z"])),
      (field) => field.ofVersion(1).record(["version"]).version.integer(1, 1),
    ];
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom(...readers), (value, read) => {
        try {
          read(at({ x: value }));
        } catch (error) {
          expect(codeOf(error)).toMatch(/INVALID_ARGUMENT|FORMAT_UNSUPPORTED/);
        }
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe("JSON text", () => {
  it("is parsed from text and from bytes", () => {
    expect([parseJson("[1]", "f"), parseJson(utf8("[1]"), "f")]).toEqual([[1], [1]]);
  });

  it.each<[string, string | Uint8Array]>([
    ["no JSON", "{"],
    ["no UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["nothing", ""],
  ])("is refused with its code and name when it is %s", (_what, content) => {
    const read = (): unknown => parseJson(content, "lab.json", "FORMAT_UNSUPPORTED");
    expect(read).toThrow(/^lab\.json is not JSON: /);
    expect(read).toThrow(expect.objectContaining({ code: "FORMAT_UNSUPPORTED" }));
  });
});
