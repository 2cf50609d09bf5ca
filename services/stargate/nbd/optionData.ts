/**
 * The data of NBD options: what a client asks for, read out of untrusted bytes. `undefined` means
 * that the bytes are not such data, which the handshake answers with ERR_INVALID.
 */

import { fromUtf8, viewOf } from "../../base/bytes.ts";
import {
  encodeNbdString,
  NBD_PAYLOAD_BYTES_MAX,
  NBD_STRING_BYTES_MAX,
  nbdInfo,
  writeU64be,
} from "../../base/nbd.ts";
import { KIB } from "../../base/units.ts";

/** INFO and GO: the export, and which further facts the client wants. */
export interface InfoRequest {
  readonly exportName: string;
  readonly infos: readonly number[];
}

/** LIST_META_CONTEXT and SET_META_CONTEXT. */
export interface MetaRequest {
  readonly exportName: string;
  readonly queries: readonly string[];
}

/** What the client must know about an export. */
export interface ExportInfo {
  readonly sizeBytes: number;
  readonly transmissionFlags: number;
}

/** A name in UTF-8 without NUL, as the protocol demands. */
export function decodeName(bytes: Uint8Array): string | undefined {
  if (bytes.length > NBD_STRING_BYTES_MAX || bytes.includes(0)) return undefined;
  try {
    return fromUtf8(bytes);
  } catch {
    return undefined;
  }
}

/** Reads a length and that many bytes of text at `at`. */
function readString(data: Uint8Array, at: number): { text: string; end: number } | undefined {
  if (data.length - at < 4) return undefined;
  const length = viewOf(data).getUint32(at);
  const end = at + 4 + length;
  if (end > data.length) return undefined;
  const text = decodeName(data.subarray(at + 4, end));
  return text === undefined ? undefined : { text, end };
}

export function decodeInfoRequest(data: Uint8Array): InfoRequest | undefined {
  const name = readString(data, 0);
  if (name === undefined || data.length - name.end < 2) return undefined;
  const view = viewOf(data);
  const count = view.getUint16(name.end);
  if (data.length !== name.end + 2 + 2 * count) return undefined;
  const infos = Array.from({ length: count }, (_, i) => view.getUint16(name.end + 2 + 2 * i));
  return { exportName: name.text, infos };
}

export function decodeMetaRequest(data: Uint8Array): MetaRequest | undefined {
  const name = readString(data, 0);
  if (name === undefined || data.length - name.end < 4) return undefined;
  const count = viewOf(data).getUint32(name.end);
  // Every query takes four bytes at least: a larger count is a lie, found before any loop.
  if (count > (data.length - name.end) / 4) return undefined;
  const queries: string[] = [];
  let at = name.end + 4;
  for (let i = 0; i < count; i++) {
    const query = readString(data, at);
    if (query === undefined) return undefined;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { exportName: name.text, queries } : undefined;
}

/** The mandatory fact: size and transmission flags. */
export function encodeExportInfo(info: ExportInfo): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint16(0, nbdInfo.export);
  writeU64be(view, 2, info.sizeBytes);
  view.setUint16(10, info.transmissionFlags);
  return bytes;
}

/** Any byte may be addressed; 4 KiB avoids read-modify-write; 32 MiB is the largest payload. */
export function encodeBlockSizeInfo(): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = viewOf(bytes);
  view.setUint16(0, nbdInfo.blockSize);
  view.setUint32(2, 1);
  view.setUint32(6, 4 * KIB);
  view.setUint32(10, NBD_PAYLOAD_BYTES_MAX);
  return bytes;
}

export function encodeNameInfo(exportName: string): Uint8Array {
  const text = encodeNbdString(exportName).subarray(4);
  const bytes = new Uint8Array(2 + text.length);
  viewOf(bytes).setUint16(0, nbdInfo.name);
  bytes.set(text, 2);
  return bytes;
}

/** META_CONTEXT reply: the context's id and its name. */
export function encodeMetaContext(id: number, name: string): Uint8Array {
  const bytes = encodeNbdString(name);
  viewOf(bytes).setUint32(0, id);
  return bytes;
}
