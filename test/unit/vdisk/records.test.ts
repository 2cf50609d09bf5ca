/** P10: a record of etcd is read as it was written, or refused by name; it is never half a disk. */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { codeOf, messageOf } from "../../../services/base/errors.ts";
import {
  decodeContainer,
  decodeMap,
  decodeOwner,
  decodeRecoveryPoint,
  decodeVdisk,
  encodeRecord,
} from "../../../services/stargate/vdisk/records.ts";

const container = { name: "c", replicationFactor: 2, compression: true };
const owner = { owner: 1, epoch: 4, peers: [1, 2], served: true };
const map = { root: "", drainedLsn: 0 };
const vdisk = { ...container, id: "ab", container: "c", sizeBytes: 512, createdAtMs: 1 };
const disk = { vdiskId: "ab", vdiskName: "d", sizeBytes: 512, root: "", lsn: 3 };
const point = {
  id: "ef",
  name: "rp-1",
  protectionDomain: "p",
  generation: 1,
  sourceSite: "A",
  createdAtMs: 1,
  parentId: "",
  disks: [disk],
  holdMs: 0.5,
  signature: "00",
};

const kinds: readonly [string, (bytes: Uint8Array) => object, object][] = [
  ["container", decodeContainer, container],
  ["vDisk", decodeVdisk, vdisk],
  ["owner", decodeOwner, owner],
  ["map", decodeMap, map],
  ["recovery point", decodeRecoveryPoint, point],
];

describe.each(kinds)("a %s record", (name, decode, record) => {
  it("is read as it was written, without what a newer version added", () => {
    expect(decode(encodeRecord({ ...record, added: 1 }))).toEqual(record);
  });

  it.each(Object.keys(record))("is refused by name without its %s, or with a wrong one", (key) => {
    const refusalOf = (value: unknown): string => {
      try {
        decode(encodeRecord({ ...record, [key]: value }));
      } catch (error) {
        if (codeOf(error) === "FORMAT_UNSUPPORTED") return messageOf(error);
        throw error;
      }
      return "none";
    };
    const named = new RegExp(`^the ${name} record in etcd is wrong: .*${key}`);
    expect(refusalOf(undefined)).toMatch(named);
    expect(refusalOf({ wrong: 1 })).toMatch(named);
  });

  it("is refused when it is no JSON", () => {
    expect(() => decode(utf8("{"))).toThrow(`the ${name} record in etcd is not JSON`);
  });
});

it("refuses peers and disks that are none", () => {
  expect(() => decodeOwner(encodeRecord({ ...owner, peers: [1, "2"] }))).toThrow("peers[1]");
  const disks = [disk, { ...disk, sizeBytes: -1 }];
  expect(() => decodeRecoveryPoint(encodeRecord({ ...point, disks }))).toThrow(
    "disks[1].sizeBytes",
  );
});
