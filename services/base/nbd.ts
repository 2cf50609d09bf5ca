/**
 * The NBD wire: numbers and fixed layouts that the server (stargate) and the client (guest) share.
 * Source: the NBD project's doc/proto.md. Everything is big-endian.
 *
 * 64-bit fields: offsets and sizes are numbers; one beyond 2^53 loses digits but stays far beyond any
 * size that we accept, so the range check refuses it. A cookie is opaque and kept as two halves,
 * because a bigint a request costs more than the rest of its parsing.
 */

import { utf8 } from "./bytes.ts";
import { KIB, MIB } from "./units.ts";

/** The port that is registered for NBD. */
export const NBD_PORT = 10_809;
/** Data that one READ or WRITE carries at most; 32 MiB is what every known client keeps to. */
export const NBD_PAYLOAD_BYTES_MAX = 32 * MIB;
/** An export's name, a meta context's name and a message, by the protocol. */
export const NBD_STRING_BYTES_MAX = 4 * KIB;
/** TRIM, WRITE_ZEROES and BLOCK_STATUS carry no data: 32 bits, cut to whole sectors for the client. */
export const NBD_RANGE_BYTES_MAX = 0xffff_fe00;

/** Magic numbers, as two halves where they have 64 bits. */
export const nbdMagic = {
  greetingHigh: 0x4e42444d, // "NBDM"
  greetingLow: 0x41474943, // "AGIC"
  optionHigh: 0x49484156, // "IHAV"
  optionLow: 0x454f5054, // "EOPT"
  optionReplyHigh: 0x0003e889,
  optionReplyLow: 0x045565a9,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

/** Handshake flags, the same bits from both sides. */
export const nbdHandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const nbdOption = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

const REPLY_ERROR = 0x8000_0000;
export const nbdReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errorUnsupported: REPLY_ERROR + 1,
  errorPolicy: REPLY_ERROR + 2,
  errorInvalid: REPLY_ERROR + 3,
  errorPlatform: REPLY_ERROR + 4,
  errorTlsRequired: REPLY_ERROR + 5,
  errorUnknown: REPLY_ERROR + 6,
  errorShutdown: REPLY_ERROR + 7,
  errorBlockSizeRequired: REPLY_ERROR + 8,
  errorTooBig: REPLY_ERROR + 9,
} as const;

/** True for the replies that refuse an option. */
export const isNbdReplyError = (type: number): boolean => type >= REPLY_ERROR;

export const nbdInfo = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const nbdTransmissionFlag = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
  sendFastZero: 2048,
} as const;

export const nbdCommand = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const nbdCommandFlag = { fua: 1, noHole: 2, df: 4, requestOne: 8, fastZero: 16 } as const;

export const nbdChunk = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;
/** The last chunk of a structured reply has this flag. */
export const NBD_CHUNK_FLAG_DONE = 1;
/** Bit 15 of a chunk's type marks every error. */
export const isNbdChunkError = (type: number): boolean => (type & 0x8000) !== 0;

/** The only meta context offered: which parts of a disk hold data. */
export const NBD_BASE_ALLOCATION = "base:allocation";
/** Status bits of `base:allocation`. */
export const nbdAllocation = { hole: 1, zero: 2 } as const;

export const NBD_GREETING_BYTES = 18;
export const NBD_CLIENT_FLAGS_BYTES = 4;
export const NBD_OPTION_HEADER_BYTES = 16;
export const NBD_OPTION_REPLY_HEADER_BYTES = 20;
export const NBD_REQUEST_BYTES = 28;
export const NBD_SIMPLE_REPLY_BYTES = 16;
export const NBD_CHUNK_HEADER_BYTES = 20;
/** Unused bytes after EXPORT_NAME's answer, unless both sides agreed on NO_ZEROES. */
export const NBD_EXPORT_NAME_PADDING_BYTES = 124;

const TWO_32 = 0x1_0000_0000;

/** An unsigned 64-bit field as a number; rounded above 2^53. */
export function readU64be(view: DataView, at: number): number {
  return view.getUint32(at) * TWO_32 + view.getUint32(at + 4);
}

/** Writes a safe non-negative number as an unsigned 64-bit field. */
export function writeU64be(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / TWO_32));
  view.setUint32(at + 4, value % TWO_32);
}

/** One request of the transmission phase, without the data of a WRITE. */
export interface NbdRequestHeader {
  readonly flags: number;
  /** One of `nbdCommand`, or a number that we do not know. */
  readonly command: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offset: number;
  readonly length: number;
}

/** 28 bytes. */
export function encodeNbdRequest(header: NbdRequestHeader): Uint8Array {
  const bytes = new Uint8Array(NBD_REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nbdMagic.request);
  view.setUint16(4, header.flags);
  view.setUint16(6, header.command);
  view.setUint32(8, header.cookieHigh);
  view.setUint32(12, header.cookieLow);
  writeU64be(view, 16, header.offset);
  view.setUint32(24, header.length);
  return bytes;
}

/** Magic, option, length, data. */
export function encodeNbdOption(option: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(NBD_OPTION_HEADER_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nbdMagic.optionHigh);
  view.setUint32(4, nbdMagic.optionLow);
  view.setUint32(8, option);
  view.setUint32(12, data.length);
  bytes.set(data, NBD_OPTION_HEADER_BYTES);
  return bytes;
}

/** Magic, option, reply type, length, data. */
export function encodeNbdOptionReply(
  option: number,
  type: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(NBD_OPTION_REPLY_HEADER_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nbdMagic.optionReplyHigh);
  view.setUint32(4, nbdMagic.optionReplyLow);
  view.setUint32(8, option);
  view.setUint32(12, type);
  view.setUint32(16, data.length);
  bytes.set(data, NBD_OPTION_REPLY_HEADER_BYTES);
  return bytes;
}

/** A 32-bit length and the text in UTF-8, as options carry names. */
export function encodeNbdString(text: string): Uint8Array {
  const name = utf8(text);
  const bytes = new Uint8Array(4 + name.length);
  new DataView(bytes.buffer).setUint32(0, name.length);
  bytes.set(name, 4);
  return bytes;
}
