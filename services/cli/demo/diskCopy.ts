/**
 * A disk's content kept in a file while its site still lives, to be compared byte for byte with what
 * the other site serves after the failover.
 */

import { createHash } from "node:crypto";
import { type NbdClient, readDisk } from "../../guest/index.ts";
import type { Disk } from "../../platform/disk.ts";

/** The file that keeps a copy. */
export interface CopyFile {
  readonly disk: Disk;
  readonly path: string;
}

export interface DiskDigest {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface DiskComparison extends DiskDigest {
  /** Offset of the first byte that differs, or `undefined`. */
  readonly firstDifference: number | undefined;
}

const STREAM = { pieceBytes: 1024 * 1024, depth: 8 };

/** Reads the whole disk into a file, in place of what it held; zeros become holes. */
export async function keepCopy(
  client: NbdClient,
  { disk, path }: CopyFile,
  onProgress: (doneBytes: number) => void,
): Promise<DiskDigest> {
  const hash = createHash("sha256");
  await disk.remove(path);
  const file = await disk.open(path, "create");
  try {
    await file.truncate(client.sizeBytes);
    for await (const { bytes, length, offset } of readDisk(client, { ...STREAM, onProgress })) {
      hash.update(bytes ?? new Uint8Array(length));
      if (bytes !== undefined) await file.write(offset, [bytes]);
    }
  } finally {
    await file.close();
  }
  return { bytes: client.sizeBytes, sha256: hash.digest("hex") };
}

/** Reads the whole disk and the copy side by side. */
export async function compareWithCopy(
  client: NbdClient,
  { disk, path }: CopyFile,
  onProgress: (doneBytes: number) => void,
): Promise<DiskComparison> {
  const hash = createHash("sha256");
  const file = await disk.open(path, "read");
  let firstDifference: number | undefined;
  try {
    for await (const piece of readDisk(client, { ...STREAM, onProgress })) {
      const bytes = piece.bytes ?? new Uint8Array(piece.length);
      hash.update(bytes);
      const expected = await file.read(piece.offset, piece.length);
      if (firstDifference === undefined && Buffer.compare(bytes, expected) !== 0)
        firstDifference = piece.offset + bytes.findIndex((byte, i) => byte !== expected[i]);
    }
  } finally {
    await file.close();
  }
  return { bytes: client.sizeBytes, sha256: hash.digest("hex"), firstDifference };
}
