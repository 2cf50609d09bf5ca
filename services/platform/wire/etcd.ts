/**
 * The part of etcd's v3 API that antipode speaks, as a client of real etcd and as the embedded
 * server: package, message and field numbers are etcd's own. proto/etcd/ holds the same contract.
 *
 * Two things differ from our other declarations. Ids of leases, members and clusters use all 64
 * bits, so they are decimal text. And members of a oneof have presence: a compare with "revision 0"
 * or "empty value" must be written, because etcd takes an absent value operand as equal to anything.
 */

import { field, type Infer, message, method, type WireMessage } from "../../base/wire.ts";

const EMPTY = new Uint8Array(0);

/** A message with the given fields, every other one absent. */
export function make<T>(type: WireMessage<T>, given: Partial<T>): T {
  return { ...type.decode(EMPTY), ...given };
}

/** Names a message type before it is declared: transactions nest. */
function later<T>(name: string, type: () => WireMessage<T>): WireMessage<T> {
  return {
    name,
    get fields() {
      return type().fields;
    },
    encode: (value) => type().encode(value),
    decode: (bytes) => type().decode(bytes),
    size: (value) => type().size(value),
  };
}

// mvccpb

export const KeyValue = message("mvccpb.KeyValue", {
  key: field.bytes(1),
  createRevision: field.int64(2),
  modRevision: field.int64(3),
  version: field.int64(4),
  value: field.bytes(5),
  lease: field.decimal(6, "int64"),
});
export type KeyValue = Infer<typeof KeyValue>;

export const Event = message("mvccpb.Event", {
  type: field.choice(1, "mvccpb.Event.EventType", ["PUT", "DELETE"]),
  kv: field.message(2, KeyValue),
  prevKv: field.message(3, KeyValue),
});
export type Event = Infer<typeof Event>;

// etcdserverpb: KV

export const ResponseHeader = message("etcdserverpb.ResponseHeader", {
  clusterId: field.decimal(1, "uint64"),
  memberId: field.decimal(2, "uint64"),
  revision: field.int64(3),
  raftTerm: field.decimal(4, "uint64"),
});
export type ResponseHeader = Infer<typeof ResponseHeader>;

export const RangeRequest = message("etcdserverpb.RangeRequest", {
  key: field.bytes(1),
  rangeEnd: field.bytes(2),
  limit: field.int64(3),
  revision: field.int64(4),
  sortOrder: field.choice(5, "etcdserverpb.RangeRequest.SortOrder", ["NONE", "ASCEND", "DESCEND"]),
  sortTarget: field.choice(6, "etcdserverpb.RangeRequest.SortTarget", [
    "KEY",
    "VERSION",
    "CREATE",
    "MOD",
    "VALUE",
  ]),
  serializable: field.bool(7),
  keysOnly: field.bool(8),
  countOnly: field.bool(9),
  minModRevision: field.int64(10),
  maxModRevision: field.int64(11),
  minCreateRevision: field.int64(12),
  maxCreateRevision: field.int64(13),
});
export type RangeRequest = Infer<typeof RangeRequest>;

export const RangeResponse = message("etcdserverpb.RangeResponse", {
  header: field.message(1, ResponseHeader),
  kvs: field.repeated(field.message(2, KeyValue)),
  more: field.bool(3),
  count: field.int64(4),
});
export type RangeResponse = Infer<typeof RangeResponse>;

export const PutRequest = message("etcdserverpb.PutRequest", {
  key: field.bytes(1),
  value: field.bytes(2),
  lease: field.decimal(3, "int64"),
  prevKv: field.bool(4),
  ignoreValue: field.bool(5),
  ignoreLease: field.bool(6),
});
export type PutRequest = Infer<typeof PutRequest>;

export const PutResponse = message("etcdserverpb.PutResponse", {
  header: field.message(1, ResponseHeader),
  prevKv: field.message(2, KeyValue),
});
export type PutResponse = Infer<typeof PutResponse>;

export const DeleteRangeRequest = message("etcdserverpb.DeleteRangeRequest", {
  key: field.bytes(1),
  rangeEnd: field.bytes(2),
  prevKv: field.bool(3),
});
export type DeleteRangeRequest = Infer<typeof DeleteRangeRequest>;

export const DeleteRangeResponse = message("etcdserverpb.DeleteRangeResponse", {
  header: field.message(1, ResponseHeader),
  deleted: field.int64(2),
  prevKvs: field.repeated(field.message(3, KeyValue)),
});
export type DeleteRangeResponse = Infer<typeof DeleteRangeResponse>;

export const Compare = message("etcdserverpb.Compare", {
  result: field.choice(1, "etcdserverpb.Compare.CompareResult", [
    "EQUAL",
    "GREATER",
    "LESS",
    "NOT_EQUAL",
  ]),
  target: field.choice(2, "etcdserverpb.Compare.CompareTarget", [
    "VERSION",
    "CREATE",
    "MOD",
    "VALUE",
    "LEASE",
  ]),
  key: field.bytes(3),
  version: field.optional(field.int64(4)),
  createRevision: field.optional(field.int64(5)),
  modRevision: field.optional(field.int64(6)),
  value: field.optional(field.bytes(7)),
  lease: field.optional(field.decimal(8, "int64")),
  rangeEnd: field.bytes(64),
});
export type Compare = Infer<typeof Compare>;

/** One operation of a transaction: exactly one member is present. */
export interface RequestOp {
  readonly requestRange: RangeRequest | undefined;
  readonly requestPut: PutRequest | undefined;
  readonly requestDeleteRange: DeleteRangeRequest | undefined;
  readonly requestTxn: TxnRequest | undefined;
}

/** `success` is carried out when all compares hold, else `failure`. */
export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

/** The answer to one operation, of the same member as its request. */
export interface ResponseOp {
  readonly responseRange: RangeResponse | undefined;
  readonly responsePut: PutResponse | undefined;
  readonly responseDeleteRange: DeleteRangeResponse | undefined;
  readonly responseTxn: TxnResponse | undefined;
}

export interface TxnResponse {
  readonly header: ResponseHeader | undefined;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export const RequestOp: WireMessage<RequestOp> = message("etcdserverpb.RequestOp", {
  requestRange: field.message(1, RangeRequest),
  requestPut: field.message(2, PutRequest),
  requestDeleteRange: field.message(3, DeleteRangeRequest),
  requestTxn: field.message(
    4,
    later<TxnRequest>("etcdserverpb.TxnRequest", () => TxnRequest),
  ),
});

export const TxnRequest: WireMessage<TxnRequest> = message("etcdserverpb.TxnRequest", {
  compare: field.repeated(field.message(1, Compare)),
  success: field.repeated(field.message(2, RequestOp)),
  failure: field.repeated(field.message(3, RequestOp)),
});

export const ResponseOp: WireMessage<ResponseOp> = message("etcdserverpb.ResponseOp", {
  responseRange: field.message(1, RangeResponse),
  responsePut: field.message(2, PutResponse),
  responseDeleteRange: field.message(3, DeleteRangeResponse),
  responseTxn: field.message(
    4,
    later<TxnResponse>("etcdserverpb.TxnResponse", () => TxnResponse),
  ),
});

export const TxnResponse: WireMessage<TxnResponse> = message("etcdserverpb.TxnResponse", {
  header: field.message(1, ResponseHeader),
  succeeded: field.bool(2),
  responses: field.repeated(field.message(3, ResponseOp)),
});

export const CompactionRequest = message("etcdserverpb.CompactionRequest", {
  revision: field.int64(1),
  physical: field.bool(2),
});
export type CompactionRequest = Infer<typeof CompactionRequest>;

export const CompactionResponse = message("etcdserverpb.CompactionResponse", {
  header: field.message(1, ResponseHeader),
});
export type CompactionResponse = Infer<typeof CompactionResponse>;

// etcdserverpb: Watch

export const WatchCreateRequest = message("etcdserverpb.WatchCreateRequest", {
  key: field.bytes(1),
  rangeEnd: field.bytes(2),
  startRevision: field.int64(3),
  progressNotify: field.bool(4),
  filters: field.repeated(
    field.choice(5, "etcdserverpb.WatchCreateRequest.FilterType", ["NOPUT", "NODELETE"]),
  ),
  prevKv: field.bool(6),
  watchId: field.decimal(7, "int64"),
  fragment: field.bool(8),
});
export type WatchCreateRequest = Infer<typeof WatchCreateRequest>;

export const WatchCancelRequest = message("etcdserverpb.WatchCancelRequest", {
  watchId: field.decimal(1, "int64"),
});

export const WatchProgressRequest = message("etcdserverpb.WatchProgressRequest", {});

export const WatchRequest = message("etcdserverpb.WatchRequest", {
  createRequest: field.message(1, WatchCreateRequest),
  cancelRequest: field.message(2, WatchCancelRequest),
  progressRequest: field.message(3, WatchProgressRequest),
});
export type WatchRequest = Infer<typeof WatchRequest>;

export const WatchResponse = message("etcdserverpb.WatchResponse", {
  header: field.message(1, ResponseHeader),
  watchId: field.decimal(2, "int64"),
  created: field.bool(3),
  canceled: field.bool(4),
  compactRevision: field.int64(5),
  cancelReason: field.string(6),
  fragment: field.bool(7),
  events: field.repeated(field.message(11, Event)),
});
export type WatchResponse = Infer<typeof WatchResponse>;

// etcdserverpb: Lease

export const LeaseGrantRequest = message("etcdserverpb.LeaseGrantRequest", {
  TTL: field.int64(1),
  ID: field.decimal(2, "int64"),
});
export type LeaseGrantRequest = Infer<typeof LeaseGrantRequest>;

export const LeaseGrantResponse = message("etcdserverpb.LeaseGrantResponse", {
  header: field.message(1, ResponseHeader),
  ID: field.decimal(2, "int64"),
  TTL: field.int64(3),
  error: field.string(4),
});
export type LeaseGrantResponse = Infer<typeof LeaseGrantResponse>;

export const LeaseRevokeRequest = message("etcdserverpb.LeaseRevokeRequest", {
  ID: field.decimal(1, "int64"),
});
export type LeaseRevokeRequest = Infer<typeof LeaseRevokeRequest>;

export const LeaseRevokeResponse = message("etcdserverpb.LeaseRevokeResponse", {
  header: field.message(1, ResponseHeader),
});
export type LeaseRevokeResponse = Infer<typeof LeaseRevokeResponse>;

export const LeaseKeepAliveRequest = message("etcdserverpb.LeaseKeepAliveRequest", {
  ID: field.decimal(1, "int64"),
});
export type LeaseKeepAliveRequest = Infer<typeof LeaseKeepAliveRequest>;

export const LeaseKeepAliveResponse = message("etcdserverpb.LeaseKeepAliveResponse", {
  header: field.message(1, ResponseHeader),
  ID: field.decimal(2, "int64"),
  TTL: field.int64(3),
});
export type LeaseKeepAliveResponse = Infer<typeof LeaseKeepAliveResponse>;

export const LeaseTimeToLiveRequest = message("etcdserverpb.LeaseTimeToLiveRequest", {
  ID: field.decimal(1, "int64"),
  keys: field.bool(2),
});
export type LeaseTimeToLiveRequest = Infer<typeof LeaseTimeToLiveRequest>;

export const LeaseTimeToLiveResponse = message("etcdserverpb.LeaseTimeToLiveResponse", {
  header: field.message(1, ResponseHeader),
  ID: field.decimal(2, "int64"),
  TTL: field.int64(3),
  grantedTTL: field.int64(4),
  keys: field.repeated(field.bytes(5)),
});
export type LeaseTimeToLiveResponse = Infer<typeof LeaseTimeToLiveResponse>;

export const LeaseLeasesRequest = message("etcdserverpb.LeaseLeasesRequest", {});
export const LeaseStatus = message("etcdserverpb.LeaseStatus", { ID: field.decimal(1, "int64") });
export const LeaseLeasesResponse = message("etcdserverpb.LeaseLeasesResponse", {
  header: field.message(1, ResponseHeader),
  leases: field.repeated(field.message(2, LeaseStatus)),
});
export type LeaseLeasesResponse = Infer<typeof LeaseLeasesResponse>;

// etcdserverpb: Maintenance

export const StatusRequest = message("etcdserverpb.StatusRequest", {});
export const StatusResponse = message("etcdserverpb.StatusResponse", {
  header: field.message(1, ResponseHeader),
  version: field.string(2),
  dbSize: field.int64(3),
  leader: field.decimal(4, "uint64"),
  raftIndex: field.decimal(5, "uint64"),
  raftTerm: field.decimal(6, "uint64"),
});
export type StatusResponse = Infer<typeof StatusResponse>;

const KV = "etcdserverpb.KV";
const LEASE = "etcdserverpb.Lease";

/** `etcdserverpb.KV`: keys and transactions. */
export const KvService = {
  range: method(KV, "Range", "unary", RangeRequest, RangeResponse),
  put: method(KV, "Put", "unary", PutRequest, PutResponse),
  deleteRange: method(KV, "DeleteRange", "unary", DeleteRangeRequest, DeleteRangeResponse),
  txn: method(KV, "Txn", "unary", TxnRequest, TxnResponse),
  compact: method(KV, "Compact", "unary", CompactionRequest, CompactionResponse),
} as const;

/** `etcdserverpb.Watch`: changes as they happen, or from a revision on. */
export const WatchService = {
  watch: method("etcdserverpb.Watch", "Watch", "duplex", WatchRequest, WatchResponse),
} as const;

/** `etcdserverpb.Lease`: keys that live only as long as somebody renews. */
export const LeaseService = {
  grant: method(LEASE, "LeaseGrant", "unary", LeaseGrantRequest, LeaseGrantResponse),
  revoke: method(LEASE, "LeaseRevoke", "unary", LeaseRevokeRequest, LeaseRevokeResponse),
  keepAlive: method(
    LEASE,
    "LeaseKeepAlive",
    "duplex",
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
  ),
  timeToLive: method(
    LEASE,
    "LeaseTimeToLive",
    "unary",
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
  ),
  leases: method(LEASE, "LeaseLeases", "unary", LeaseLeasesRequest, LeaseLeasesResponse),
} as const;

/** `etcdserverpb.Maintenance`: whether the server is there and well. */
export const Maintenance = {
  status: method("etcdserverpb.Maintenance", "Status", "unary", StatusRequest, StatusResponse),
} as const;
