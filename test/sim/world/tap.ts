/**
 * What an observer of a world is shown: the calls, streams and transactions of every process, as they
 * cross its border. It sees them in the turn in which they happen and changes nothing, so a run with an
 * observer is the same as one without.
 */

import type { Transaction, TransactionResult } from "../../../services/platform/coordinator.ts";

/** A call or stream between two processes. */
export interface TappedCall {
  /** On whose border it is seen: `stargate-A-1`. */
  readonly process: string;
  /** Host at the other end. */
  readonly peer: string;
  /** Of the method. */
  readonly path: string;
}

/** Messages of one stream, as `process` sees them. */
export interface StreamTap {
  received(message: unknown): void;
  sent(message: unknown): void;
}

/** What becomes of one transaction. */
export interface TransactionTap {
  /** etcd has carried it out or refused it, which nobody has heard yet. */
  carriedOut(result: TransactionResult): void;
  /** The process has the answer. */
  answered(): void;
}

export interface WorldTap {
  /** A process takes a unary request; what this returns is given the answer, if there is a good one. */
  takes(call: TappedCall, request: unknown): ((answer: unknown) => void) | undefined;
  /** A process serves a stream. */
  serves(call: TappedCall): StreamTap | undefined;
  /** A process opens a stream. */
  opens(call: TappedCall): StreamTap | undefined;
  /** A process asks etcd for a transaction. */
  transacts(process: string, transaction: Transaction): TransactionTap;
}
