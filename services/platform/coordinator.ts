/**
 * Port: the site's etcd: a small, linearizable, transactional store with leases and watches. Real
 * etcd and our own embedded server are behind the same adapter (adapters/coordinator.ts).
 *
 * What may be relied on: a transaction is atomic and linearizable. What may not (measured, see
 * FAULT_MODEL.md): a lease can vanish although it was renewed, a renewal can succeed although the
 * lease is gone, a watch can be late. So leases and watches are hints, transactions decide, and
 * whoever waits on a watch also polls.
 *
 * Errors: `COORDINATOR_UNAVAILABLE` (no answer in time: a transaction may still have happened);
 * `COORDINATOR_CONFLICT` with `reason: "leaseGone"` (a put under a lease that is gone; nothing was
 * done); `INVALID_ARGUMENT` (a transaction that etcd refuses: a key put twice, too large, more than
 * 128 operations); `CANCELLED` after `close`.
 */

/** A stored key with etcd's bookkeeping. */
export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision at which the key was created; order of creation. */
  readonly createRevision: number;
  /** Revision of the last change. */
  readonly modRevision: number;
  /** Changes since creation, from 1. */
  readonly version: number;
  /** Lease that holds the key, as a decimal text, or "" when none does. */
  readonly lease: string;
}

/** A condition on one key. A key that does not exist has revision 0 and no value. */
export type Compare =
  | { readonly kind: "createRevision"; readonly key: string; readonly equals: number }
  | { readonly kind: "modRevision"; readonly key: string; readonly equals: number }
  | { readonly kind: "value"; readonly key: string; readonly equals: Uint8Array };

export type Operation =
  | {
      readonly kind: "put";
      readonly key: string;
      readonly value: Uint8Array;
      readonly lease?: string;
    }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "deletePrefix"; readonly prefix: string }
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "list"; readonly prefix: string };

export interface Transaction {
  /** All must hold for `then`; otherwise `otherwise` is carried out. */
  readonly when: readonly Compare[];
  readonly then: readonly Operation[];
  readonly otherwise?: readonly Operation[];
}

export interface TransactionResult {
  readonly succeeded: boolean;
  /** The store's revision after the transaction. */
  readonly revision: number;
  /** One entry an operation of the branch taken: what a `get` or `list` found, else empty. */
  readonly found: readonly (readonly KeyValue[])[];
}

export interface Snapshot {
  readonly entries: readonly KeyValue[];
  /** The revision that was read; a watch from `revision + 1` misses nothing. */
  readonly revision: number;
}

export type WatchEvent =
  | { readonly kind: "put"; readonly entry: KeyValue }
  | { readonly kind: "delete"; readonly key: string; readonly revision: number };

export interface WatchHandlers {
  /** Changes in order of revision, all of one revision in one call. */
  readonly onEvents: (events: readonly WatchEvent[], revision: number) => void;
  /** The asked revision was compacted away: list again, then watch from there. */
  readonly onCompacted: (compactRevision: number) => void;
}

export interface Watch {
  cancel(): void;
}

export interface Lease {
  /** Decimal text. */
  readonly id: string;
  /** What the server granted, which can be more than was asked. */
  readonly ttlMs: number;
}

export interface Coordinator {
  get(key: string): Promise<KeyValue | undefined>;
  /** All keys that begin with the prefix, in order of the key. */
  list(prefix: string): Promise<Snapshot>;
  transact(transaction: Transaction): Promise<TransactionResult>;
  /** Follows a prefix from a revision, across reconnections, without gap or repetition. */
  watch(prefix: string, fromRevision: number, handlers: WatchHandlers): Watch;
  grantLease(ttlMs: number): Promise<Lease>;
  /**
   * Renews once.
   * @returns the new TTL in ms, or `undefined` when the lease is gone
   */
  renewLease(id: string): Promise<number | undefined>;
  revokeLease(id: string): Promise<void>;
  close(): Promise<void>;
}
