/**
 * Replies of the transmission phase, gathered until they are sent together. Headers are cut from one
 * slab, because an allocation a reply costs more than the reply. Small data is copied behind its
 * header so that a burst of 4 KiB replies leaves as few, large parts.
 */

import { utf8 } from "../../base/bytes.ts";
import {
  NBD_CHUNK_FLAG_DONE,
  NBD_CHUNK_HEADER_BYTES,
  NBD_SIMPLE_REPLY_BYTES,
  NBD_STRING_BYTES_MAX,
  nbdAllocation,
  nbdChunk,
  nbdMagic,
  writeU64be,
} from "../../base/nbd.ts";
import { KIB } from "../../base/units.ts";
import type { BlockRun } from "./blockDevice.ts";
import { ALLOCATION_CONTEXT_ID } from "./handshake.ts";
import type { NbdRequest } from "./requests.ts";

const SLAB_BYTES = 256 * KIB;
/** Of a connection that has just begun: many ask little. */
const FIRST_SLAB_BYTES = 4 * KIB;
/** Data up to this is copied into the slab; a copy of 16 KiB costs less than a further part. */
const COPIED_BYTES_MAX = 16 * KIB;

export class NbdReplies {
  readonly #structured: boolean;
  #parts: Uint8Array[] = [];
  #slab = new Uint8Array(0);
  #view = new DataView(this.#slab.buffer);
  /** The slab's bytes from `#start` to `#end` are not in `#parts` yet. */
  #start = 0;
  #end = 0;

  constructor(structured: boolean) {
    this.#structured = structured;
  }

  /** Everything gathered, in order; leaves nothing behind. Parts are never written again. */
  take(): readonly Uint8Array[] {
    this.#seal();
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }

  /** Success of a request that returns nothing. */
  ok(request: NbdRequest): void {
    this.#simple(request, 0);
  }

  /** Data of a READ: `parts` hold exactly the length that was asked for. */
  data(request: NbdRequest, parts: readonly Uint8Array[]): void {
    if (!this.#structured) this.#simple(request, 0);
    else {
      const at = this.#chunk(request, nbdChunk.offsetData, 8 + request.length, 8);
      writeU64be(this.#view, at, request.offset);
    }
    for (const part of parts) this.#append(part);
  }

  /** Runs of a BLOCK_STATUS, in order from the request's offset. */
  status(request: NbdRequest, runs: readonly BlockRun[]): void {
    const payload = 4 + 8 * runs.length;
    let at = this.#chunk(request, nbdChunk.blockStatus, payload, payload);
    this.#view.setUint32(at, ALLOCATION_CONTEXT_ID);
    at += 4;
    for (const run of runs) {
      this.#view.setUint32(at, run.lengthBytes);
      const flags = run.kind === "zero" ? nbdAllocation.hole | nbdAllocation.zero : 0;
      this.#view.setUint32(at + 4, flags);
      at += 8;
    }
  }

  /** Failure; the message reaches clients that negotiated structured replies. */
  error(request: NbdRequest, errno: number, message: string): void {
    if (!this.#structured) {
      this.#simple(request, errno);
      return;
    }
    const text = utf8(message).subarray(0, NBD_STRING_BYTES_MAX);
    const payload = 6 + text.length;
    const at = this.#chunk(request, nbdChunk.error, payload, payload);
    this.#view.setUint32(at, errno);
    this.#view.setUint16(at + 4, text.length);
    this.#slab.set(text, at + 6);
  }

  #simple(request: NbdRequest, errno: number): void {
    const at = this.#reserve(NBD_SIMPLE_REPLY_BYTES);
    const view = this.#view;
    view.setUint32(at, nbdMagic.simpleReply);
    view.setUint32(at + 4, errno);
    view.setUint32(at + 8, request.cookieHigh);
    view.setUint32(at + 12, request.cookieLow);
  }

  /** Header of the only chunk of a structured reply; returns where its payload begins. */
  #chunk(request: NbdRequest, type: number, payloadBytes: number, reservedBytes: number): number {
    const at = this.#reserve(NBD_CHUNK_HEADER_BYTES + reservedBytes);
    const view = this.#view;
    view.setUint32(at, nbdMagic.structuredReply);
    view.setUint16(at + 4, NBD_CHUNK_FLAG_DONE);
    view.setUint16(at + 6, type);
    view.setUint32(at + 8, request.cookieHigh);
    view.setUint32(at + 12, request.cookieLow);
    view.setUint32(at + 16, payloadBytes);
    return at + NBD_CHUNK_HEADER_BYTES;
  }

  #append(part: Uint8Array): void {
    if (part.length <= COPIED_BYTES_MAX) {
      const at = this.#reserve(part.length);
      this.#slab.set(part, at);
    } else {
      this.#seal();
      this.#parts.push(part);
    }
  }

  /** Room for `count` bytes in the slab, behind what is there. */
  #reserve(count: number): number {
    if (this.#end + count > this.#slab.length) {
      this.#seal();
      const isFirst = this.#slab.length === 0;
      this.#slab = new Uint8Array(Math.max(isFirst ? FIRST_SLAB_BYTES : SLAB_BYTES, count));
      this.#view = new DataView(this.#slab.buffer);
      this.#start = 0;
      this.#end = 0;
    }
    const at = this.#end;
    this.#end += count;
    return at;
  }

  #seal(): void {
    if (this.#end > this.#start) this.#parts.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}
