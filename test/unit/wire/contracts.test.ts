/**
 * Holds every message and method declared in services/platform/wire against the `.proto` files, and
 * both codecs, ours and protobufjs, against each other. A module that is added is found by itself.
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import type { Field, Method, WireMessage } from "../../../services/base/wire.ts";
import { WireError } from "../../../services/base/wire.ts";
import { camelCase, everythingIn, loadProtos, nameOf } from "../../support/protoFiles.ts";
import { fromReference, REFERENCE_VIEW, toReference, valuesOf } from "../../support/wireValues.ts";

type AnyField = Field<unknown>;
type AnyMessage = WireMessage<unknown>;

const WIRE_FOLDER = join(import.meta.dirname, "..", "..", "..", "services", "platform", "wire");
const SCALARS = new Set(["uint32", "uint64", "int64", "bool", "double", "bytes", "string"]);
const RUNS = 12;

const root = loadProtos();
const messages = new Map<string, AnyMessage>();
const methods = new Map<string, Method<unknown, unknown>>();
for (const name of readdirSync(WIRE_FOLDER))
  collect((await import(/* @vite-ignore */ join(WIRE_FOLDER, name))) as object);

/** Finds messages and methods among a module's exports, one level of grouping deep. */
function collect(exports: object, depth = 0): void {
  for (const value of Object.values(exports) as unknown[]) {
    if (typeof value !== "object" || value === null) continue;
    if ("fields" in value && "encode" in value) addMessage(value as AnyMessage);
    else if ("path" in value && "request" in value) {
      const method = value as Method<unknown, unknown>;
      methods.set(method.path, method);
      for (const type of [method.request, method.response])
        if ("fields" in type) addMessage(type as AnyMessage);
    } else if (depth === 0) collect(value, 1);
  }
}

function addMessage(type: AnyMessage): void {
  if (messages.get(type.name) === type) return;
  messages.set(type.name, type);
  for (const field of Object.values(type.fields) as AnyField[])
    if (field.of !== undefined) addMessage(field.of);
}

const referenceOf = (type: AnyMessage): protobuf.Type => root.lookupType(type.name);
const all = [...messages.values()].sort((a, b) => (a.name < b.name ? -1 : 1));

/** A field as one line: number, name, type, repetition. */
const oursAsLines = (type: AnyMessage): readonly string[] =>
  (Object.entries(type.fields) as [string, AnyField][])
    .map(
      ([key, field]) => `${field.number} ${key} ${field.kind}${field.repeated ? " repeated" : ""}`,
    )
    .sort();
const theirsAsLines = (type: protobuf.Type): readonly string[] =>
  type.fieldsArray
    .map((field) => {
      const kind = field.resolvedType === null ? field.type : nameOf(field.resolvedType);
      return `${field.id} ${camelCase(field.name)} ${kind}${field.repeated ? " repeated" : ""}`;
    })
    .sort();

describe("wire contracts", () => {
  it("sees the modules at all", () => {
    expect(all.length).toBeGreaterThan(50);
    expect(methods.size).toBeGreaterThan(20);
  });

  it("declares every message and method of our own .proto files", () => {
    const items = everythingIn(root).filter((item) => nameOf(item).startsWith("antipode."));
    const types = items.filter((item) => item instanceof protobuf.Type).map(nameOf);
    expect(types.filter((name) => !messages.has(name))).toEqual([]);
    const paths = items
      .filter((item) => item instanceof protobuf.Service)
      .flatMap((service) =>
        service.methodsArray.map((method) => `/${nameOf(service)}/${method.name}`),
      );
    expect(paths.filter((path) => !methods.has(path))).toEqual([]);
  });

  it.each([...methods.keys()].sort())("declares %s as its .proto file does", (path) => {
    const [, service = "", name = ""] = path.split("/");
    const theirs = root.lookupService(service).methods[name];
    const ours = methods.get(path);
    const up = theirs?.requestStream === true;
    const down = theirs?.responseStream === true;
    const kind = up ? (down ? "duplex" : "clientStream") : down ? "serverStream" : "unary";
    expect(ours?.kind).toBe(kind);
    expect([ours?.request.name, ours?.response.name]).toEqual(
      [theirs?.resolvedRequestType, theirs?.resolvedResponseType].map((type) =>
        type ? nameOf(type) : "",
      ),
    );
  });
});

describe.each(all.map((type) => [type.name, type] as const))("message %s", (_name, type) => {
  it("has the fields of its .proto file, by number, name, type and repetition", () => {
    const theirs = theirsAsLines(referenceOf(type));
    // Of etcd's messages only what is used is declared; the rest is skipped as unknown.
    if (type.name.startsWith("antipode.")) expect(oursAsLines(type)).toEqual(theirs);
    else expect(theirs).toEqual(expect.arrayContaining([...oursAsLines(type)]));
  });

  it("has the values of its enums, in order", () => {
    for (const field of Object.values(type.fields) as AnyField[]) {
      if (field.of !== undefined || SCALARS.has(field.kind)) continue;
      const theirs = root.lookupEnum(field.kind);
      const ours = field.names;
      expect(Object.values(theirs.values).sort((a, b) => a - b)).toEqual(
        ours.map((_, index) => index),
      );
      for (const [index, name] of ours.entries()) {
        const full = plain(theirs.valuesById[index] ?? "");
        if (full.endsWith("unspecified")) continue;
        expect(full).toBe(
          full.startsWith(plain(theirs.name)) ? plain(theirs.name) + plain(name) : plain(name),
        );
      }
    }
  });

  it("is read by protobufjs as it was written here, and the other way round", () => {
    const reference = referenceOf(type);
    fc.assert(
      fc.property(valuesOf(type, reference), (value) => {
        const bytes = type.encode(value);
        expect(type.decode(bytes)).toEqual(value);
        expect(bytes).toHaveLength(type.size(value));
        const theirs = reference.toObject(reference.decode(bytes), REFERENCE_VIEW);
        expect(fromReference(type, reference, theirs)).toEqual(value);
        const theirBytes = reference
          .encode(reference.fromObject(toReference(type, reference, value)))
          .finish();
        expect(type.decode(new Uint8Array(theirBytes))).toEqual(value);
      }),
      { numRuns: RUNS },
    );
  });

  it("throws nothing but WireError on garbage and on damaged messages (P10)", () => {
    const damaged = fc
      .tuple(valuesOf(type, referenceOf(type)), fc.nat(), fc.nat(255), fc.nat())
      .map(([value, at, byte, cut]) => {
        const bytes = type.encode(value);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes.subarray(0, bytes.length - (cut % 3));
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), (bytes) => {
        try {
          type.decode(bytes);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
        }
      }),
      { numRuns: RUNS },
    );
  });
});

/** Letters and digits only: `STALE_EPOCH` and `staleEpoch` are one name. */
function plain(name: string): string {
  return name.replace(/[^A-Za-z0-9]/g, "").toLowerCase();
}
