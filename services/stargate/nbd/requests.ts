/**
 * The transmission phase's input as a pure machine: bytes in, requests out, each already checked
 * against the export. Pulled one at a time, so that its owner can stop between two requests.
 *
 * Invariant N5: after a request that is refused the stream is still in step, because the data of a
 * refused WRITE is skipped without being kept.
 */

import { ByteQueue } from "../../base/byteQueue.ts";
import { nbdErrno } from "../../base/errors.ts";
import {
  NBD_PAYLOAD_BYTES_MAX,
  NBD_REQUEST_BYTES,
  nbdCommand,
  nbdCommandFlag,
  nbdMagic,
} from "../../base/nbd.ts";

/** One request, complete with its data. */
export interface NbdRequest {
  readonly flags: number;
  readonly command: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offset: number;
  readonly length: number;
  /** Data of a WRITE; a view of what arrived where it came in one piece. */
  readonly data: Uint8Array | undefined;
  /** 0, or the errno with which the request must be refused. */
  readonly errno: number;
}

/** What requests are checked against. */
export interface ExportRules {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly structuredReplies: boolean;
  readonly allocationContext: boolean;
}

type Header = Omit<NbdRequest, "data" | "errno">;
type Pending = { header: Header; errno: number };

const NO_DATA = new Uint8Array(0);

export class NbdRequests {
  readonly input: ByteQueue;
  readonly #rules: ExportRules;
  /** A WRITE whose data has not arrived whole. */
  #pending: Pending | undefined;
  #data: Uint8Array = NO_DATA;
  /** Bytes of `#data` that are there; for a refused WRITE, bytes skipped. */
  #filled = 0;

  constructor(rules: ExportRules, input: ByteQueue = new ByteQueue()) {
    this.#rules = rules;
    this.input = input;
  }

  /** True when the connection may end here: no request is half received. */
  get isBetweenRequests(): boolean {
    return this.#pending === undefined && this.input.length === 0;
  }

  /** The next request; "starved" until more bytes come; "garbage" when the stream is out of step. */
  next(): NbdRequest | "starved" | "garbage" {
    if (this.#pending !== undefined) return this.#receiveData(this.#pending);
    const input = this.input;
    if (!input.ensure(NBD_REQUEST_BYTES)) return "starved";
    if (input.u32(0) !== nbdMagic.request) return "garbage";
    const header: Header = {
      flags: input.u16(4),
      command: input.u16(6),
      cookieHigh: input.u32(8),
      cookieLow: input.u32(12),
      offset: input.u32(16) * 0x1_0000_0000 + input.u32(20),
      length: input.u32(24),
    };
    input.skip(NBD_REQUEST_BYTES);
    const errno = checkRequest(header, this.#rules);
    if (header.command !== nbdCommand.write) return complete(header, undefined, errno);
    if (errno === 0 && input.isWhole(header.length))
      return complete(header, input.take(header.length), 0);
    this.#pending = { header, errno };
    this.#data = errno === 0 ? new Uint8Array(header.length) : NO_DATA;
    this.#filled = 0;
    return this.#receiveData(this.#pending);
  }

  #receiveData({ header, errno }: Pending): NbdRequest | "starved" {
    this.#filled +=
      errno === 0
        ? this.input.copyInto(this.#data, this.#filled)
        : this.input.skip(header.length - this.#filled);
    if (this.#filled < header.length) return "starved";
    const data = errno === 0 ? this.#data : undefined;
    this.#pending = undefined;
    this.#data = NO_DATA;
    return complete(header, data, errno);
  }
}

function complete(header: Header, data: Uint8Array | undefined, errno: number): NbdRequest {
  return {
    flags: header.flags,
    command: header.command,
    cookieHigh: header.cookieHigh,
    cookieLow: header.cookieLow,
    offset: header.offset,
    length: header.length,
    data,
    errno,
  };
}

/**
 * The errno for a request that the protocol or the export forbids, else 0.
 * Order: what the request is, whether it may change the export, where it points.
 */
function checkRequest(header: Header, rules: ExportRules): number {
  const allowed = allowedFlags(header.command, rules);
  if (allowed === undefined || (header.flags & ~allowed) !== 0) return nbdErrno.EINVAL;
  if (header.command === nbdCommand.disconnect || header.command === nbdCommand.flush) return 0;
  const carriesData = header.command === nbdCommand.read || header.command === nbdCommand.write;
  if (carriesData && header.length > NBD_PAYLOAD_BYTES_MAX) return nbdErrno.EINVAL;
  const changes = header.command !== nbdCommand.read && header.command !== nbdCommand.blockStatus;
  if (changes && rules.readOnly) return nbdErrno.EPERM;
  if (header.length === 0) return nbdErrno.EINVAL;
  if (header.offset + header.length <= rules.sizeBytes) return 0;
  const grows = header.command === nbdCommand.write || header.command === nbdCommand.writeZeroes;
  return grows ? nbdErrno.ENOSPC : nbdErrno.EINVAL;
}

/** Flags that a command takes; FUA goes with every one. `undefined` for what is not offered. */
function allowedFlags(command: number, rules: ExportRules): number | undefined {
  const { fua, df, noHole, requestOne } = nbdCommandFlag;
  switch (command) {
    case nbdCommand.read:
      return rules.structuredReplies ? fua | df : fua;
    case nbdCommand.writeZeroes:
      return fua | noHole;
    case nbdCommand.write:
    case nbdCommand.flush:
    case nbdCommand.trim:
      return fua;
    case nbdCommand.blockStatus:
      return rules.allocationContext ? fua | requestOne : undefined;
    case nbdCommand.disconnect:
      // A client that leaves is never argued with.
      return 0xffff;
    default:
      return undefined;
  }
}
