/**
 * Our declarations of etcd's API against proto/etcd, against the .proto files that npm's etcd3
 * carries, and, byte for byte, against another codec.
 */

import { join } from "node:path";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import type { Method, WireMessage } from "../../../services/base/wire.ts";
import * as wire from "../../../services/platform/wire/etcd.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");

function load(folder: string, files: readonly string[]): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    target.startsWith("google/") ? target : join(folder, target.replace(/^(\.\/|etcd\/)/, ""));
  root.loadSync(files.slice(), { keepCase: true });
  return root;
}

const ours = load(join(ROOT, "proto", "etcd"), ["kv.proto", "rpc.proto"]);
const theirs = load(join(ROOT, "node_modules", "etcd3", "proto"), ["kv.proto", "rpc.proto"]);

const isMessage = (value: unknown): value is WireMessage<unknown> =>
  typeof value === "object" && value !== null && "fields" in value && "decode" in value;
const exported: readonly unknown[] = Object.values(wire);
const messages = exported.filter(isMessage);
/** etcd mixes camelCase and snake_case; ours is camelCase throughout. */
const plain = (name: string): string => name.replaceAll("_", "").toLowerCase();

const services: Readonly<Record<string, Readonly<Record<string, Method<unknown, unknown>>>>> = {
  KV: wire.KvService,
  Watch: wire.WatchService,
  Lease: wire.LeaseService,
  Maintenance: wire.Maintenance,
};

/** "bytes key = 1", with enum and message types by their last name. */
function describeFields(type: protobuf.Type): string[] {
  return type.fieldsArray.map(
    (one) =>
      `${one.repeated ? "repeated " : ""}${one.type.split(".").at(-1)} ${plain(one.name)} = ${one.id}`,
  );
}

function describeOurs(type: WireMessage<unknown>): string[] {
  return Object.entries(type.fields).map(
    ([key, one]) =>
      `${one.repeated ? "repeated " : ""}${one.kind.split(".").at(-1)} ${plain(key)} = ${one.number}`,
  );
}

describe("etcd's wire contract", () => {
  it("sees all messages", () => {
    expect(messages.length).toBeGreaterThanOrEqual(30);
  });

  it.each(messages.map((type) => [type.name, type] as const))(
    "%s is as in proto/etcd",
    (name, type) => {
      expect(describeOurs(type).sort()).toEqual(describeFields(ours.lookupType(name)).sort());
    },
  );

  it.each(messages.map((type) => [type.name] as const))("%s is part of etcd's own", (name) => {
    const known = describeFields(theirs.lookupType(name));
    expect(known).toEqual(expect.arrayContaining(describeFields(ours.lookupType(name))));
  });

  it("has etcd's values of every enum", () => {
    const enums = ["mvccpb.Event.EventType", "etcdserverpb.RangeRequest.SortOrder"];
    enums.push("etcdserverpb.RangeRequest.SortTarget", "etcdserverpb.Compare.CompareResult");
    enums.push("etcdserverpb.Compare.CompareTarget", "etcdserverpb.WatchCreateRequest.FilterType");
    const canonical = (values: Record<string, number>): Record<string, number> =>
      Object.fromEntries(
        Object.entries(values).map(([name, value]) => [name.toUpperCase().replace("_", ""), value]),
      );
    for (const name of enums)
      expect(canonical(ours.lookupEnum(name).values)).toEqual(
        canonical(theirs.lookupEnum(name).values),
      );
  });

  it("has etcd's methods", () => {
    for (const [name, methods] of Object.entries(services)) {
      const declared = Object.values(methods).map((one) => [
        one.path,
        one.request.name,
        one.response.name,
        one.kind === "duplex",
      ]);
      const listed = ours
        .lookupService(`etcdserverpb.${name}`)
        .methodsArray.map((one) => [
          `/etcdserverpb.${name}/${one.name}`,
          `etcdserverpb.${one.requestType}`,
          `etcdserverpb.${one.responseType}`,
          one.requestStream === true,
        ]);
      expect(declared.sort()).toEqual(listed.sort());
    }
  });

  it("writes the operand of a compare even when it is zero or empty (reference P8)", () => {
    const Theirs = theirs.lookupType("etcdserverpb.Compare");
    const shown = (given: Partial<wire.Compare>): Record<string, unknown> =>
      Theirs.toObject(Theirs.decode(wire.Compare.encode(wire.make(wire.Compare, given))), {
        oneofs: true,
      });
    const key = utf8("k");
    expect(shown({ key, target: "CREATE", createRevision: 0 })["target_union"]).toBe(
      "create_revision",
    );
    expect(shown({ key, target: "MOD", modRevision: 0 })["target_union"]).toBe("mod_revision");
    expect(shown({ key, target: "VALUE", value: new Uint8Array(0) })["target_union"]).toBe("value");
    expect(shown({ key, target: "LEASE", lease: "0" })["target_union"]).toBe("lease");
    expect(shown({ key, target: "VERSION" })["target_union"]).toBeUndefined();
  });

  it("reads and writes ids of all 64 bits", () => {
    const Theirs = theirs.lookupType("etcdserverpb.LeaseGrantResponse");
    for (const id of ["9223372036854775807", "-9223372036854775808", "-1", "7587869134872905731"]) {
      const bytes = wire.LeaseGrantResponse.encode(
        wire.make(wire.LeaseGrantResponse, { ID: id, TTL: 5 }),
      );
      expect(Theirs.toObject(Theirs.decode(bytes), { longs: String })).toEqual({
        ID: id,
        TTL: "5",
      });
      expect(wire.LeaseGrantResponse.decode(bytes)).toMatchObject({ ID: id, TTL: 5 });
    }
    expect(() => wire.LeaseRevokeRequest.encode({ ID: "9223372036854775808" })).toThrow(
      "does not fit",
    );
  });

  it("writes nested transactions as another codec reads them, and reads what it writes", () => {
    const Theirs = theirs.lookupType("etcdserverpb.TxnRequest");
    const put = wire.make(wire.RequestOp, {
      requestPut: wire.make(wire.PutRequest, { key: utf8("k"), value: utf8("v"), lease: "12" }),
    });
    const inner: wire.TxnRequest = { compare: [], success: [put], failure: [] };
    const outer: wire.TxnRequest = {
      compare: [wire.make(wire.Compare, { key: utf8("k"), target: "CREATE", createRevision: 0 })],
      success: [wire.make(wire.RequestOp, { requestTxn: inner }), put],
      failure: [wire.make(wire.RequestOp, { requestRange: wire.make(wire.RangeRequest, {}) })],
    };
    const bytes = wire.TxnRequest.encode(outer);
    expect(wire.TxnRequest.decode(bytes)).toEqual(outer);
    const reencoded = Theirs.encode(Theirs.decode(bytes)).finish();
    expect(wire.TxnRequest.decode(new Uint8Array(reencoded))).toEqual(outer);
  });
});
