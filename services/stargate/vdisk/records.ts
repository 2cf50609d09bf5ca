/**
 * JSON records of the site's etcd as bytes, each checked when it is read: what another version or
 * a broken hand edit left there is a typed error, not a wrong disk.
 */

import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import type {
  ContainerRecord,
  MapRecord,
  OwnerRecord,
  RecoveryPointRecord,
  VdiskRecord,
} from "../../base/siteRecords.ts";

type Shape = Readonly<Record<string, "string" | "number" | "boolean" | "object">>;

export function encodeRecord(record: object): Uint8Array {
  return utf8(JSON.stringify(record));
}

function decode(bytes: Uint8Array, what: string, shape: Shape): unknown {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw new AntipodeError(
      "FORMAT_UNSUPPORTED",
      `the ${what} record in etcd is not JSON`,
      {},
      cause,
    );
  }
  if (typeof value !== "object" || value === null)
    throw new AntipodeError("FORMAT_UNSUPPORTED", `the ${what} record in etcd is not an object`);
  for (const [key, type] of Object.entries(shape))
    if (typeof (value as Record<string, unknown>)[key] !== type)
      throw new AntipodeError("FORMAT_UNSUPPORTED", `the ${what} record in etcd lacks ${key}`);
  return value;
}

export const decodeContainer = (bytes: Uint8Array): ContainerRecord =>
  decode(bytes, "container", {
    name: "string",
    replicationFactor: "number",
    compression: "boolean",
  }) as ContainerRecord;

export const decodeVdisk = (bytes: Uint8Array): VdiskRecord =>
  decode(bytes, "vDisk", {
    id: "string",
    name: "string",
    container: "string",
    sizeBytes: "number",
    replicationFactor: "number",
    compression: "boolean",
    createdAtMs: "number",
  }) as VdiskRecord;

export const decodeOwner = (bytes: Uint8Array): OwnerRecord =>
  decode(bytes, "owner", {
    owner: "number",
    epoch: "number",
    peers: "object",
    served: "boolean",
  }) as OwnerRecord;

export const decodeMap = (bytes: Uint8Array): MapRecord =>
  decode(bytes, "map", { root: "string", drainedLsn: "number" }) as MapRecord;

export const decodeRecoveryPoint = (bytes: Uint8Array): RecoveryPointRecord =>
  decode(bytes, "recovery point", {
    id: "string",
    name: "string",
    protectionDomain: "string",
    disks: "object",
  }) as RecoveryPointRecord;
