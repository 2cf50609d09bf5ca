/**
 * The client's input of NBD's transmission phase as a pure machine: bytes in, finished operations
 * out. Takes simple and structured replies; data is placed where it belongs as it arrives, and is a
 * view of the chunk it came in when it came whole.
 */

import type { ByteQueue } from "../base/byteQueue.ts";
import { fromUtf8 } from "../base/bytes.ts";
import {
  isNbdChunkError,
  NBD_CHUNK_FLAG_DONE,
  NBD_CHUNK_HEADER_BYTES,
  NBD_SIMPLE_REPLY_BYTES,
  nbdAllocation,
  nbdChunk,
  nbdCommand,
  nbdMagic,
} from "../base/nbd.ts";
import { MIB } from "../base/units.ts";

/** A run of bytes that holds data, or reads as zero. */
export interface NbdRun {
  readonly lengthBytes: number;
  readonly kind: "data" | "zero";
}

/** An operation that was sent, and what has arrived for it. */
export interface SentOperation {
  readonly command: number;
  readonly offset: number;
  readonly length: number;
  data: Uint8Array | undefined;
  receivedBytes: number;
  runs: NbdRun[];
  errno: number;
  message: string;
}

/** Status and error chunks are gathered whole; ours is at most 128 KiB, qemu's 1 MiB. */
const CONTROL_BYTES_MAX = 2 * MIB;

export class NbdReplyReader<O extends SentOperation> {
  readonly input: ByteQueue;
  readonly #find: (cookie: number) => O | undefined;
  /** Data being received: into which operation, from where to where, finished after it? */
  #receiving: { operation: O; at: number; end: number; last: boolean } | undefined;

  /** @param find the operation of a cookie, `undefined` when none is outstanding */
  constructor(input: ByteQueue, find: (cookie: number) => O | undefined) {
    this.input = input;
    this.#find = find;
  }

  /** The next operation that is finished; "garbage" when the server does not speak NBD. */
  next(): O | "starved" | "garbage" {
    for (;;) {
      const step = this.#receiving === undefined ? this.#readHeader() : this.#receive();
      if (step !== "more") return step;
    }
  }

  #readHeader(): O | "starved" | "garbage" | "more" {
    if (!this.input.ensure(4)) return "starved";
    const magic = this.input.u32(0);
    if (magic === nbdMagic.simpleReply) return this.#readSimple();
    return magic === nbdMagic.structuredReply ? this.#readChunk() : "garbage";
  }

  #readSimple(): O | "starved" | "garbage" | "more" {
    if (!this.input.ensure(NBD_SIMPLE_REPLY_BYTES)) return "starved";
    const operation = this.#find(this.input.u32(12));
    if (operation === undefined || this.input.u32(8) !== 0) return "garbage";
    operation.errno = this.input.u32(4);
    this.input.skip(NBD_SIMPLE_REPLY_BYTES);
    if (operation.errno !== 0 || operation.command !== nbdCommand.read) return operation;
    return this.#expectData(operation, { start: 0, length: operation.length, last: true });
  }

  #readChunk(): O | "starved" | "garbage" | "more" {
    if (!this.input.ensure(NBD_CHUNK_HEADER_BYTES)) return "starved";
    const type = this.input.u16(6);
    const length = this.input.u32(16);
    const operation = this.#find(this.input.u32(12));
    if (operation === undefined || this.input.u32(8) !== 0) return "garbage";
    const last = (this.input.u16(4) & NBD_CHUNK_FLAG_DONE) !== 0;
    if (type === nbdChunk.offsetData) return this.#readData(operation, length, last);
    if (length > CONTROL_BYTES_MAX) return "garbage";
    if (!this.input.ensure(NBD_CHUNK_HEADER_BYTES + length)) return "starved";
    this.input.skip(NBD_CHUNK_HEADER_BYTES);
    if (!applyControl(operation, type, this.input.take(length))) return "garbage";
    return last ? finished(operation) : "more";
  }

  #readData(operation: O, length: number, last: boolean): O | "starved" | "garbage" | "more" {
    if (operation.command !== nbdCommand.read || length <= 8) return "garbage";
    if (!this.input.ensure(NBD_CHUNK_HEADER_BYTES + 8)) return "starved";
    const at = NBD_CHUNK_HEADER_BYTES;
    const offset = this.input.u32(at) * 0x1_0000_0000 + this.input.u32(at + 4);
    const start = offset - operation.offset;
    if (start < 0 || start + length - 8 > operation.length) return "garbage";
    this.input.skip(NBD_CHUNK_HEADER_BYTES + 8);
    return this.#expectData(operation, { start, length: length - 8, last });
  }

  #expectData(
    operation: O,
    range: { start: number; length: number; last: boolean },
  ): O | "starved" | "garbage" | "more" {
    const { start, length, last } = range;
    if (length === operation.length && this.input.isWhole(length)) {
      operation.data = this.input.take(length);
      operation.receivedBytes += length;
      return last ? finished(operation) : "more";
    }
    operation.data ??= new Uint8Array(operation.length);
    this.#receiving = { operation, at: start, end: start + length, last };
    return "more";
  }

  #receive(): O | "starved" | "garbage" | "more" {
    const receiving = this.#receiving;
    if (receiving === undefined) return "more";
    const { operation, end, last } = receiving;
    const target = operation.data?.subarray(0, end) ?? new Uint8Array(0);
    const count = this.input.copyInto(target, receiving.at);
    receiving.at += count;
    operation.receivedBytes += count;
    if (receiving.at < end) return "starved";
    this.#receiving = undefined;
    return last ? finished(operation) : "more";
  }
}

/** A read that succeeded must have all its bytes: fewer means that the server lies. */
function finished<O extends SentOperation>(operation: O): O | "garbage" {
  const short =
    operation.command === nbdCommand.read &&
    operation.errno === 0 &&
    operation.receivedBytes !== operation.length;
  return short ? "garbage" : operation;
}

/** Takes in a chunk without data; false when it is malformed. */
function applyControl(operation: SentOperation, type: number, payload: Uint8Array): boolean {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (isNbdChunkError(type)) return applyError(operation, view, payload);
  switch (type) {
    case nbdChunk.none:
      return payload.length === 0;
    case nbdChunk.offsetHole: {
      if (payload.length !== 12 || operation.command !== nbdCommand.read) return false;
      const offset = view.getUint32(0) * 0x1_0000_0000 + view.getUint32(4);
      const start = offset - operation.offset;
      const length = view.getUint32(8);
      if (start < 0 || start + length > operation.length) return false;
      operation.data ??= new Uint8Array(operation.length);
      operation.receivedBytes += length;
      return true;
    }
    case nbdChunk.blockStatus:
      return applyStatus(operation, view);
    default:
      return false;
  }
}

function applyError(operation: SentOperation, view: DataView, payload: Uint8Array): boolean {
  if (payload.length < 6 || payload.length < 6 + view.getUint16(4)) return false;
  const errno = view.getUint32(0);
  if (errno === 0) return false;
  operation.errno = errno;
  try {
    operation.message = fromUtf8(payload.subarray(6, 6 + view.getUint16(4)));
  } catch {
    return false;
  }
  return true;
}

function applyStatus(operation: SentOperation, view: DataView): boolean {
  const bytes = view.byteLength;
  if (operation.command !== nbdCommand.blockStatus || bytes < 12 || bytes % 8 !== 4) return false;
  for (let at = 4; at < bytes; at += 8) {
    const lengthBytes = view.getUint32(at);
    if (lengthBytes === 0) return false;
    const kind = (view.getUint32(at + 4) & nbdAllocation.zero) !== 0 ? "zero" : "data";
    operation.runs.push({ lengthBytes, kind });
  }
  return true;
}
