/** Real Ed25519 signatures whose keys come from the seed, so that a run can be repeated exactly. */

import { createPrivateKey, createPublicKey } from "node:crypto";
import { concatBytes } from "../../../services/base/bytes.ts";
import type { Prng } from "../../../services/base/prng.ts";
import { createSigner } from "../../../services/platform/adapters/signer.ts";
import type { Signer } from "../../../services/platform/codec.ts";

/** PKCS8 of an Ed25519 key up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32);
const KEY_BYTES = 32;

/** A signer that draws its keys from the generator. */
export function seededSigner(prng: Prng): Signer {
  return {
    ...createSigner(),
    generate() {
      const privateKey = concatBytes([PKCS8_HEAD, prng.fill(new Uint8Array(KEY_BYTES))]);
      const key = createPublicKey(
        createPrivateKey({ key: Buffer.from(privateKey), type: "pkcs8", format: "der" }),
      );
      return { privateKey, publicKey: new Uint8Array(key.export({ type: "spki", format: "der" })) };
    },
  };
}
