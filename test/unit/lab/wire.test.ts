/** The declarations of wan's and genesis' services are those of their .proto files. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import type { Field, Method, WireMessage } from "../../../services/base/wire.ts";
import * as genesis from "../../../services/platform/wire/genesis.ts";
import * as wan from "../../../services/platform/wire/wan.ts";

const PROTO = join(import.meta.dirname, "..", "..", "..", "proto", "antipode");

/** A field as both sides describe it. */
const described = (number: number, kind: string, repeated: boolean): string =>
  `${number} ${repeated ? "repeated " : ""}${kind}`;

function isMessage(value: unknown): value is WireMessage<unknown> {
  return typeof value === "object" && value !== null && "fields" in value && "encode" in value;
}

function rootOf(name: string): protobuf.Root {
  const text = readFileSync(join(PROTO, name, "v1", `${name}.proto`), "utf8");
  const { root } = protobuf.parse(text);
  root.resolveAll();
  return root;
}

const modules: readonly (readonly [string, string, Readonly<Record<string, unknown>>, string])[] = [
  ["wan", "WanService", wan, "ShowRequest"],
  ["genesis", "GenesisService", genesis, "ListRequest"],
];

describe.each(modules)("the wire of %s", (name, serviceName, module, first) => {
  const root = rootOf(name);
  const messages = Object.values(module).filter(isMessage);

  it("has every message of the .proto file with its fields", () => {
    const namespace = root.lookup(`antipode.${name}.v1`) as protobuf.Namespace;
    const types = namespace.nestedArray.filter((one) => one instanceof protobuf.Type);
    expect(messages.map((one) => one.name).sort()).toEqual(
      types.map((type) => type.fullName.slice(1)).sort(),
    );
    expect(messages.map((one) => one.name)).toContain(`antipode.${name}.v1.${first}`);
    for (const declared of messages) {
      const type = root.lookupType(declared.name);
      const wanted = type.fieldsArray.map((field) => [
        field.name,
        described(field.id, field.resolvedType?.fullName.slice(1) ?? field.type, field.repeated),
      ]);
      const found = Object.entries(declared.fields).map(
        ([key, field]: [string, Field<unknown>]) => [
          key,
          described(field.number, field.kind, field.repeated),
        ],
      );
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(wanted));
    }
  });

  it("has every method of the .proto file with its messages", () => {
    const service = root.lookupService(`antipode.${name}.v1.${serviceName}`);
    const methods = Object.values(
      module[serviceName] as Readonly<Record<string, Method<unknown, unknown>>>,
    );
    const found = methods.map((one) => `${one.path} ${one.request.name} ${one.response.name}`);
    const wanted = service.methodsArray.map((one) => {
      const full = (type: string): string => `antipode.${name}.v1.${type}`;
      return `/${full(serviceName)}/${one.name} ${full(one.requestType)} ${full(one.responseType)}`;
    });
    expect(found.sort()).toEqual(wanted.sort());
  });
});
