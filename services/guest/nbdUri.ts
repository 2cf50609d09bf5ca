/**
 * NBD URIs, as `vdisk show` prints them and every block client takes them:
 * nbd://HOST[:PORT]/EXPORT. No TLS and no Unix sockets.
 */

import { AntipodeError } from "../base/errors.ts";
import { NBD_PORT } from "../base/nbd.ts";
import type { Address } from "../platform/net.ts";

/** Where an export is served. */
export interface NbdTarget {
  readonly address: Address;
  readonly exportName: string;
}

const PORT_MAX = 65_535;

/**
 * @param uri e.g. "nbd://127.1.0.1:10809/disk1"
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function parseNbdUri(uri: string): NbdTarget {
  const match = /^nbd:\/\/(\[[0-9a-fA-F:.]+\]|[^/:@?#\s]+)(?::(\d{1,5}))?(?:\/([^?#\s]*))?$/.exec(
    uri,
  );
  const port = match?.[2] === undefined ? NBD_PORT : Number(match[2]);
  if (match?.[1] === undefined || port < 1 || port > PORT_MAX) throw invalid(uri);
  return {
    address: { host: match[1].replace(/^\[|\]$/g, ""), port },
    exportName: decodeExport(match[3] ?? "", uri),
  };
}

/** The URI of a target. */
export function formatNbdUri(target: NbdTarget): string {
  const { host, port } = target.address;
  const name = encodeURIComponent(target.exportName).replaceAll("%40", "@");
  return `nbd://${host.includes(":") ? `[${host}]` : host}:${port}/${name}`;
}

function decodeExport(text: string, uri: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw invalid(uri, cause);
  }
}

function invalid(uri: string, cause?: unknown): AntipodeError {
  return new AntipodeError(
    "INVALID_ARGUMENT",
    `"${uri}" is not an NBD URI such as nbd://127.0.0.1:10809/disk1`,
    { uri },
    cause,
  );
}
