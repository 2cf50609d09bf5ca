/**
 * Whole disks as streams: read with many pieces in flight, write from any source of bytes. Memory is
 * bounded by `depth` pieces. Parts of a disk that read as zero are neither read nor written.
 */

import { isAllZero } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import type { NbdClient } from "./nbdConnection.ts";

export interface StreamOptions {
  /** Bytes of one request. */
  readonly pieceBytes: number;
  /** Requests in flight. */
  readonly depth: number;
  /** Called with the bytes done so far. */
  readonly onProgress?: (doneBytes: number) => void;
}

const streamDefaults: StreamOptions = { pieceBytes: 512 * KIB, depth: 8 };
/** Range of one BLOCK_STATUS; its answer is small even when every chunk differs. */
const STATUS_BYTES = 64 * MIB;

/** A piece of a disk, in order from 0. `bytes` is `undefined` where all of it reads as zero. */
export interface DiskPiece {
  readonly offset: number;
  readonly length: number;
  readonly bytes: Uint8Array | undefined;
}

/**
 * Reads a whole disk in order.
 * @throws AntipodeError of the first read that fails
 */
export async function* readDisk(
  client: NbdClient,
  options: Partial<StreamOptions> = {},
): AsyncGenerator<DiskPiece> {
  const { depth, pieceBytes, onProgress } = { ...streamDefaults, ...options };
  const ahead: Promise<DiskPiece>[] = [];
  const planned = planPieces(client, pieceBytes);
  let more = true;
  try {
    while (more || ahead.length > 0) {
      while (more && ahead.length < depth) {
        const next = await planned.next();
        if (next.done === true) more = false;
        else ahead.push(supervised(readPiece(client, next.value)));
      }
      const piece = await ahead.shift();
      if (piece === undefined) continue;
      onProgress?.(piece.offset + piece.length);
      yield piece;
    }
  } finally {
    // Whoever stops early leaves no read behind.
    await Promise.allSettled(ahead);
  }
}

/**
 * Writes a source of bytes to a disk from its start; zeros are not sent but zeroed where the disk
 * holds data.
 * @returns bytes taken from the source
 * @throws AntipodeError `OUT_OF_RANGE` when the source is longer than the disk
 */
export async function writeDisk(
  client: NbdClient,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: Partial<StreamOptions> = {},
): Promise<number> {
  const { depth, pieceBytes, onProgress } = { ...streamDefaults, ...options };
  const inflight = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let offset = 0;
  for await (const piece of regroup(source, pieceBytes)) {
    if (offset + piece.length > client.sizeBytes)
      throw new AntipodeError(
        "OUT_OF_RANGE",
        `the source is longer than the disk's ${client.sizeBytes} bytes`,
        { sizeBytes: client.sizeBytes },
      );
    const work: Promise<void> = writePiece(client, offset, piece)
      .catch((error: unknown) => {
        failures.push(error);
      })
      .finally(() => inflight.delete(work));
    inflight.add(work);
    offset += piece.length;
    onProgress?.(offset);
    // The oldest first: a set keeps the order of insertion.
    while (inflight.size >= depth) await inflight.values().next().value;
    if (failures.length > 0) break;
  }
  await Promise.all(inflight);
  if (failures.length > 0) throw failures[0];
  return offset;
}

/** A rejection that nobody has asked for yet is no crash; it is thrown when the piece is. */
function supervised<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

async function readPiece(client: NbdClient, planned: DiskPiece): Promise<DiskPiece> {
  if (planned.bytes === undefined) return planned;
  return { ...planned, bytes: await client.read(planned.offset, planned.length) };
}

const TO_READ = new Uint8Array(0);

/** Pieces in order, those to read marked with empty bytes. */
async function* planPieces(client: NbdClient, pieceBytes: number): AsyncGenerator<DiskPiece> {
  for (let at = 0; at < client.sizeBytes; ) {
    const runs = await client.blockStatus(at, Math.min(STATUS_BYTES, client.sizeBytes - at));
    for (const run of runs) {
      for (let left = run.lengthBytes; left > 0; ) {
        const length = Math.min(left, pieceBytes);
        yield { offset: at, length, bytes: run.kind === "zero" ? undefined : TO_READ };
        at += length;
        left -= length;
      }
    }
  }
}

async function writePiece(client: NbdClient, offset: number, piece: Uint8Array): Promise<void> {
  if (isAllZero(piece)) await client.zero(offset, piece.length);
  else await client.write(offset, piece);
}

/** Chunks of any size as pieces of one size; the last may be shorter. */
async function* regroup(
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  pieceBytes: number,
): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(pieceBytes);
  let filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      const count = Math.min(chunk.length - at, pieceBytes - filled);
      piece.set(chunk.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled < pieceBytes) continue;
      yield piece;
      piece = new Uint8Array(pieceBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
