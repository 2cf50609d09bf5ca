/** Signatures over Node's crypto. */

import * as crypto from "node:crypto";
import type { Signer } from "../codec.ts";
import { asBuffer, asBytes } from "./buffers.ts";

/** Ed25519 signatures with keys in DER form. */
export function createSigner(): Signer {
  return {
    generate() {
      const pair = crypto.generateKeyPairSync("ed25519", {
        privateKeyEncoding: { type: "pkcs8", format: "der" },
        publicKeyEncoding: { type: "spki", format: "der" },
      });
      return { privateKey: asBytes(pair.privateKey), publicKey: asBytes(pair.publicKey) };
    },
    sign: (privateKey, message) =>
      asBytes(
        crypto.sign(null, message, { key: asBuffer(privateKey), type: "pkcs8", format: "der" }),
      ),
    verify(publicKey, message, signature) {
      const key = publicKeyOf(publicKey);
      return key !== undefined && crypto.verify(null, message, key, signature);
    },
  };
}

/** `undefined` for bytes that are no Ed25519 key: they come from another site. */
function publicKeyOf(bytes: Uint8Array): crypto.KeyObject | undefined {
  try {
    const key = crypto.createPublicKey({ key: asBuffer(bytes), type: "spki", format: "der" });
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}
