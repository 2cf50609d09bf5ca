/**
 * A disk's content kept in a file while its site still lives, to be compared byte for byte with what
 * the other site serves after the failover.
 */

import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { type NbdClient, readDisk } from "../../guest/index.ts";

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

/** Reads the whole disk into a file; zeros become holes. */
export async function keepCopy(
  client: NbdClient,
  path: string,
  onProgress: (doneBytes: number) => void,
): Promise<DiskDigest> {
  const hash = createHash("sha256");
  const file = await open(path, "w");
  try {
    await file.truncate(client.sizeBytes);
    for await (const piece of readDisk(client, { ...STREAM, onProgress })) {
      hash.update(piece.bytes ?? Buffer.alloc(piece.length));
      if (piece.bytes !== undefined) await file.write(piece.bytes, 0, piece.length, piece.offset);
    }
  } finally {
    await file.close();
  }
  return { bytes: client.sizeBytes, sha256: hash.digest("hex") };
}

/** Reads the whole disk and the copy side by side. */
export async function compareWithCopy(
  client: NbdClient,
  path: string,
  onProgress: (doneBytes: number) => void,
): Promise<DiskComparison> {
  const hash = createHash("sha256");
  const file = await open(path, "r");
  let firstDifference: number | undefined;
  try {
    for await (const piece of readDisk(client, { ...STREAM, onProgress })) {
      const bytes =
        piece.bytes === undefined
          ? Buffer.alloc(piece.length)
          : Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.length);
      hash.update(bytes);
      const expected = await readAt(file, piece.offset, piece.length);
      if (firstDifference === undefined && !bytes.equals(expected))
        firstDifference = piece.offset + bytes.findIndex((byte, i) => byte !== expected[i]);
    }
  } finally {
    await file.close();
  }
  return { bytes: client.sizeBytes, sha256: hash.digest("hex"), firstDifference };
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}
