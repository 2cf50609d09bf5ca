/**
 * etcd's own statuses and messages, word for word: clients such as npm's etcd3 and Go's clientv3
 * tell errors apart by these texts.
 */

import { grpcStatus } from "../base/errors.ts";
import { RpcStatusError } from "../platform/rpc.ts";

/** What a request can be refused with; every call makes a new error. */
export const refusal = {
  emptyKey: () => new RpcStatusError(grpcStatus.invalidArgument, "etcdserver: key is not provided"),
  keyNotFound: () => new RpcStatusError(grpcStatus.invalidArgument, "etcdserver: key not found"),
  valueProvided: () =>
    new RpcStatusError(grpcStatus.invalidArgument, "etcdserver: value is provided"),
  leaseProvided: () =>
    new RpcStatusError(grpcStatus.invalidArgument, "etcdserver: lease is provided"),
  tooManyOps: () =>
    new RpcStatusError(
      grpcStatus.invalidArgument,
      "etcdserver: too many operations in txn request",
    ),
  duplicateKey: () =>
    new RpcStatusError(
      grpcStatus.invalidArgument,
      "etcdserver: duplicate key given in txn request",
    ),
  requestTooLarge: () =>
    new RpcStatusError(grpcStatus.invalidArgument, "etcdserver: request is too large"),
  compacted: () =>
    new RpcStatusError(
      grpcStatus.outOfRange,
      "etcdserver: mvcc: required revision has been compacted",
    ),
  futureRevision: () =>
    new RpcStatusError(
      grpcStatus.outOfRange,
      "etcdserver: mvcc: required revision is a future revision",
    ),
  noSpace: () =>
    new RpcStatusError(grpcStatus.resourceExhausted, "etcdserver: mvcc: database space exceeded"),
  leaseNotFound: () =>
    new RpcStatusError(grpcStatus.notFound, "etcdserver: requested lease not found"),
  leaseExists: () =>
    new RpcStatusError(grpcStatus.failedPrecondition, "etcdserver: lease already exists"),
  leaseTooLong: () => new RpcStatusError(grpcStatus.outOfRange, "etcdserver: too large lease TTL"),
  tooManyRequests: () =>
    new RpcStatusError(grpcStatus.resourceExhausted, "etcdserver: too many requests"),
  stopped: () => new RpcStatusError(grpcStatus.unavailable, "etcdserver: server stopped"),
} as const;
