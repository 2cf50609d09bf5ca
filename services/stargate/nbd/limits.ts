/**
 * Bounds of the NBD front-end. One connection can make the server hold at most
 * `inflightBytesMax` + one payload that is being received + one that tips the sum over:
 * 64 + 32 + 32 MiB; clients in practice use 32 requests of 1 MiB at most.
 */

import { assert } from "../../base/assert.ts";
import { NBD_PAYLOAD_BYTES_MAX } from "../../base/nbd.ts";
import { KIB, MIB } from "../../base/units.ts";

export interface NbdLimits {
  /** Connections at once; one more is closed before a greeting. */
  readonly connectionsMax: number;
  /** Requests of one connection handed to the device and not answered yet. */
  readonly inflightMax: number;
  /** Their bytes of READ and WRITE together. Reading from the client stops above it. */
  readonly inflightBytesMax: number;
  /** A client that has not reached the transmission phase after this is dropped. */
  readonly handshakeTimeoutMs: number;
  /** How long a closed connection may take to read its last replies before it is dropped. */
  readonly lingerMs: number;
}

export const nbdLimits: NbdLimits = {
  connectionsMax: 256,
  inflightMax: 256,
  inflightBytesMax: 64 * MIB,
  handshakeTimeoutMs: 30_000,
  lingerMs: 2_000,
};

/** Options of one handshake; qemu and libnbd send fewer than ten. */
export const OPTIONS_MAX = 256;
/** Data of one option that is looked at; more is skipped and refused with ERR_TOO_BIG. */
export const OPTION_BYTES_MAX = 64 * KIB;
/** An option that announces more than this is garbage: the connection is dropped. */
export const OPTION_BYTES_SKIPPED_MAX = 32 * MIB;
/** Names that LIST offers; the answer is built in memory. */
export const LISTED_EXPORTS_MAX = 65_536;
/**
 * Part of a BLOCK_STATUS request that one answer covers: 16 384 chunks of 16 KiB, so at most as many
 * runs, 128 KiB of reply. The protocol lets an answer cover less than was asked; clients go on from
 * there.
 */
export const STATUS_BYTES_MAX = 256 * MIB;

assert(nbdLimits.inflightBytesMax >= NBD_PAYLOAD_BYTES_MAX, "one largest request fits in flight");
