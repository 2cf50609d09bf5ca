/**
 * The site's signing key, made once. The private key is kept in the site's etcd and not in a file of
 * each CVM: any CVM can become the leader and must sign at once, also one that joined later or lost
 * its disk; and etcd is reached from inside the site only. The public key is what other sites pin.
 */

import { assert, present } from "../../base/assert.ts";
import { fromHex, toHex } from "../../base/bytes.ts";
import type { Signer } from "../../platform/codec.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import { cerebroKeys, type IdentityRecord } from "../state/records.ts";
import { absent, putRecord, readRecord } from "../state/store.ts";

export interface SiteKey {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** Reads the site's key; the first CVM that asks makes it, in a transaction on its absence. */
export async function loadSiteKey(coordinator: Coordinator, signer: Signer): Promise<SiteKey> {
  const found = await readRecord<IdentityRecord>(coordinator, cerebroKeys.identity);
  if (found !== undefined) return decode(found.value);
  const { privateKey, publicKey } = signer.generate();
  const record: IdentityRecord = {
    privateKey: toHex(privateKey),
    publicKey: toHex(publicKey),
  };
  await coordinator.transact({
    when: [absent(cerebroKeys.identity)],
    then: [putRecord(cerebroKeys.identity, record)],
  });
  const written = await readRecord<IdentityRecord>(coordinator, cerebroKeys.identity);
  return decode(present(written, "the site's key is there once it was written").value);
}

function decode(record: IdentityRecord): SiteKey {
  const privateKey = fromHex(record.privateKey);
  const publicKey = fromHex(record.publicKey);
  assert(privateKey !== undefined && publicKey !== undefined, "the site's key is hexadecimal");
  return { privateKey, publicKey };
}
