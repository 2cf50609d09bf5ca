/**
 * A recovery point's signature: Ed25519 over a domain label and the protobuf encoding of the record
 * with an empty signature, fields in order of their numbers. FORMAT.md repeats this for others.
 * The record is written once and never changed (P3), so the signature holds for as long as it lives.
 */

import { concatBytes, fromHex, toHex, utf8 } from "../../base/bytes.ts";
import type { RecoveryPointRecord } from "../../base/siteRecords.ts";
import type { Signer } from "../../platform/codec.ts";
import { RecoveryPoint } from "../../platform/wire/cerebro.ts";

const LABEL = utf8("antipode recovery point v1\n");

/** The bytes that are signed. */
function signedBytes(point: RecoveryPointRecord): Uint8Array {
  return concatBytes([LABEL, RecoveryPoint.encode({ ...point, signature: "" })]);
}

/** The record with its signature. */
export function signPoint(
  signer: Signer,
  privateKey: Uint8Array,
  point: Omit<RecoveryPointRecord, "signature">,
): RecoveryPointRecord {
  const unsigned: RecoveryPointRecord = { ...point, signature: "" };
  return { ...unsigned, signature: toHex(signer.sign(privateKey, signedBytes(unsigned))) };
}

/** Was this record, as it is, signed with the key? Garbage in any field means no. */
export function isSignedBy(
  signer: Signer,
  publicKey: Uint8Array,
  point: RecoveryPointRecord,
): boolean {
  const signature = fromHex(point.signature);
  return (
    signature !== undefined &&
    signature.length > 0 &&
    signer.verify(publicKey, signedBytes(point), signature)
  );
}
