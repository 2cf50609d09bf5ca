/**
 * Where the sound records of a Stargate's egroups lie, read from its files as they are: for whoever must
 * know which copies exist without asking the process, as a chaos run does before it makes one rot. Records
 * that are written while it reads may be missing.
 */

import { toHex } from "../../base/bytes.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Disk } from "../../platform/disk.ts";
import {
  EGROUP_HEADER_BYTES,
  egroupOfFileName,
  egroupSeed,
  RECORD_HEADER_BYTES,
  type StoreIdentity,
} from "./egroupFormat.ts";
import { scanEgroup } from "./egroupScan.ts";

/** Folder of a Stargate's extent store below its own. */
export const EXTENTS_FOLDER = "extents";
/** Where the store keeps its egroups below that. */
export const EGROUPS_FOLDER = "egroups";

/** One good copy of a chunk. */
export interface ChunkCopy {
  /** Hexadecimal. */
  readonly fingerprint: string;
  /** On the Stargate's disk. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * All good copies.
 * @param disk rooted at the Stargate's folder
 * @throws AntipodeError `DISK_FAILED`
 */
export async function listChunkCopies(
  disk: Disk,
  codec: Codec,
  identity: StoreIdentity,
): Promise<readonly ChunkCopy[]> {
  const copies: ChunkCopy[] = [];
  const folder = `${EXTENTS_FOLDER}/${EGROUPS_FOLDER}`;
  for (const name of await disk.list(folder)) {
    const egroup = egroupOfFileName(name);
    if (egroup === undefined) continue;
    const path = `${folder}/${name}`;
    const file = await disk.open(path, "read");
    try {
      await scanEgroup({
        file,
        codec,
        seed: egroupSeed(codec, identity, egroup),
        fromOffset: EGROUP_HEADER_BYTES,
        onRecord: ({ fingerprint, storedLength }, offset) => {
          const length = RECORD_HEADER_BYTES + storedLength;
          copies.push({ fingerprint: toHex(fingerprint), path, offset, length });
        },
      });
    } finally {
      await file.close();
    }
  }
  return copies;
}
