/**
 * The overlay: what the undrained oplog says about a vDisk's address space, as an interval map from
 * byte ranges to where the newest bytes are. It holds references, not data: data stays in memory only
 * while a budget allows (`recent`), else it is read back from the journal by LSN.
 */

import type { Lsn } from "../../base/ids.ts";
import type { OplogRecord } from "../oplog/contracts.ts";

/** The newest source of one run of bytes. */
export type OverlaySource =
  /** Not in the overlay: ask the block map. */
  | { readonly kind: "below" }
  | { readonly kind: "zero"; readonly lsn: Lsn }
  /** `skip` bytes into the data of the `write` record `lsn`. */
  | { readonly kind: "record"; readonly lsn: Lsn; readonly skip: number }
  /** Within the chunk with this fingerprint (from a `chunks` record), `skip` bytes into it. */
  | {
      readonly kind: "chunk";
      readonly lsn: Lsn;
      readonly fingerprint: Uint8Array;
      readonly skip: number;
    };

export interface OverlayRun {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly source: OverlaySource;
}

export interface Overlay {
  /** Applies a record (LSNs ascend). Markers change nothing. */
  apply(record: OplogRecord): void;
  /** Runs that cover exactly the range, in order, each with its newest source. */
  look(offsetBytes: number, lengthBytes: number): readonly OverlayRun[];
  /** Removes what came from records up to `lsn`: it is in the block map now. */
  forget(lsn: Lsn): void;
  /** Number of intervals, for limits and metrics. */
  size(): number;
}
