/**
 * JSON records of the site's etcd as bytes, each checked when it is read: what another version or
 * a broken hand edit left there is a typed error, not a wrong disk. Keys that are not known here are
 * those of a newer version, and are passed over.
 */

import { checkedJson, type JsonField, parseJson } from "../../base/checkedJson.ts";
import type {
  ContainerRecord,
  MapRecord,
  OwnerRecord,
  RecoveryPointDisk,
  RecoveryPointRecord,
  VdiskRecord,
} from "../../base/siteRecords.ts";

export { encodeRecord } from "../../platform/coordination/records.ts";

/** @throws AntipodeError `FORMAT_UNSUPPORTED` that names the record and its field */
function open(bytes: Uint8Array, name: string): JsonField {
  const what = `the ${name} record in etcd`;
  return checkedJson(parseJson(bytes, what, "FORMAT_UNSUPPORTED"), what, "FORMAT_UNSUPPORTED");
}

/** @throws AntipodeError `FORMAT_UNSUPPORTED` */
export function decodeContainer(bytes: Uint8Array): ContainerRecord {
  const keys = ["name", "replicationFactor", "compression"] as const;
  const fields = open(bytes, "container").record(keys);
  return {
    name: fields.name.text(),
    replicationFactor: fields.replicationFactor.integer(1),
    compression: fields.compression.flag(),
  };
}

const VDISK_KEYS = [
  "id",
  "name",
  "container",
  "sizeBytes",
  "replicationFactor",
  "compression",
  "createdAtMs",
] as const;

/** @throws AntipodeError `FORMAT_UNSUPPORTED` */
export function decodeVdisk(bytes: Uint8Array): VdiskRecord {
  const fields = open(bytes, "vDisk").record(VDISK_KEYS);
  return {
    id: fields.id.text(),
    name: fields.name.text(),
    container: fields.container.text(),
    sizeBytes: fields.sizeBytes.integer(),
    replicationFactor: fields.replicationFactor.integer(1),
    compression: fields.compression.flag(),
    createdAtMs: fields.createdAtMs.number(),
  };
}

/** @throws AntipodeError `FORMAT_UNSUPPORTED` */
export function decodeOwner(bytes: Uint8Array): OwnerRecord {
  const fields = open(bytes, "owner").record(["owner", "epoch", "peers", "served"]);
  return {
    owner: fields.owner.integer(),
    epoch: fields.epoch.integer(),
    peers: fields.peers.list().map((peer) => peer.integer()),
    served: fields.served.flag(),
  };
}

/** @throws AntipodeError `FORMAT_UNSUPPORTED` */
export function decodeMap(bytes: Uint8Array): MapRecord {
  const { root, drainedLsn } = open(bytes, "map").record(["root", "drainedLsn"]);
  return { root: root.anyText(), drainedLsn: drainedLsn.integer() };
}

const POINT_KEYS = [
  "id",
  "name",
  "protectionDomain",
  "generation",
  "sourceSite",
  "createdAtMs",
  "parentId",
  "disks",
  "holdMs",
  "signature",
] as const;

/** @throws AntipodeError `FORMAT_UNSUPPORTED` */
export function decodeRecoveryPoint(bytes: Uint8Array): RecoveryPointRecord {
  const fields = open(bytes, "recovery point").record(POINT_KEYS);
  return {
    id: fields.id.text(),
    name: fields.name.text(),
    protectionDomain: fields.protectionDomain.text(),
    generation: fields.generation.integer(),
    sourceSite: fields.sourceSite.anyText(),
    createdAtMs: fields.createdAtMs.number(),
    parentId: fields.parentId.anyText(),
    disks: fields.disks.list().map(readDisk),
    holdMs: fields.holdMs.number(),
    signature: fields.signature.anyText(),
  };
}

function readDisk(field: JsonField): RecoveryPointDisk {
  const disk = field.record(["vdiskId", "vdiskName", "sizeBytes", "root", "lsn"]);
  return {
    vdiskId: disk.vdiskId.text(),
    vdiskName: disk.vdiskName.text(),
    sizeBytes: disk.sizeBytes.integer(),
    root: disk.root.anyText(),
    lsn: disk.lsn.integer(),
  };
}
