/**
 * Between Stargates of one site: the oplog's stream from an owner to its peers, the calls with which
 * a new owner fences and levels them, and block I/O forwarded to the owner. The contract for other
 * languages is in proto/antipode/stargate/v1/oplog.proto and io.proto.
 */

import { field, type Infer, message, method } from "../../base/wire.ts";

const pkg = (name: string): string => `antipode.stargate.v1.${name}`;

export const OplogRecordMessage = message(pkg("OplogRecord"), {
  lsn: field.uint64(1),
  epoch: field.uint64(2),
  kind: field.choice(3, pkg("RecordKind"), ["write", "zero", "chunks", "marker"] as const),
  offsetBytes: field.uint64(4),
  lengthBytes: field.uint64(5),
  data: field.bytes(6),
});
export type OplogRecordMessage = Infer<typeof OplogRecordMessage>;

/** Records of one vDisk; without records it renews the read lease only. */
export const AppendItem = message(pkg("AppendItem"), {
  vdiskId: field.string(1),
  /** The owner's epoch; the peer promises it. */
  epoch: field.uint64(2),
  /** Everything up to here is in the block map: the peer may trim. */
  drainedLsn: field.uint64(3),
  records: field.repeated(field.message(4, OplogRecordMessage)),
});
export type AppendItem = Infer<typeof AppendItem>;

export const AppendRequest = message(pkg("AppendRequest"), {
  sequence: field.uint64(1),
  items: field.repeated(field.message(2, AppendItem)),
});

/**
 * What became of one item. `appended`: all records are synced, and the peer grants the owner a read
 * lease counted from when the request was sent.
 */
export const AppendItemOutcome = message(pkg("AppendItemOutcome"), {
  kind: field.choice(1, pkg("AppendOutcomeKind"), [
    "appended",
    "staleEpoch",
    "gap",
    "failed",
  ] as const),
  promisedEpoch: field.uint64(2),
  lastLsn: field.uint64(3),
  errorCode: field.string(4),
  errorMessage: field.string(5),
});
export type AppendItemOutcome = Infer<typeof AppendItemOutcome>;

/** Answers come in order of requests; one outcome an item, in order. */
export const AppendResponse = message(pkg("AppendResponse"), {
  sequence: field.uint64(1),
  outcomes: field.repeated(field.message(2, AppendItemOutcome)),
});

export const FenceRequest = message(pkg("FenceRequest"), {
  vdiskId: field.string(1),
  epoch: field.uint64(2),
  /** The asking owner relies on this peer's records: without them it must not promise. */
  reliedOn: field.bool(3),
});
/**
 * `granted`: the peer refuses lower epochs from now on, also after a crash. `copy`: what is left of the
 * records that it acknowledged; "none" also when there never were any.
 */
export const FenceResponse = message(pkg("FenceResponse"), {
  granted: field.bool(1),
  promisedEpoch: field.uint64(2),
  drainedLsn: field.uint64(3),
  lastLsn: field.uint64(4),
  lastEpoch: field.uint64(5),
  copy: field.choice(6, pkg("CopyState"), ["whole", "none", "damaged"] as const),
});
export type FenceResponse = Infer<typeof FenceResponse>;

/** Makes the peer's log end at `lsn`, whose record must have `expectedEpoch`; or begin anew after it. */
export const LevelRequest = message(pkg("LevelRequest"), {
  vdiskId: field.string(1),
  epoch: field.uint64(2),
  action: field.choice(3, pkg("LevelAction"), ["truncate", "reset"] as const),
  lsn: field.uint64(4),
  expectedEpoch: field.uint64(5),
});
export const LevelResponse = message(pkg("LevelResponse"), {
  kind: field.choice(1, pkg("LevelOutcome"), ["levelled", "staleEpoch", "mismatch"] as const),
  promisedEpoch: field.uint64(2),
});

/** Asks a peer that promised `epoch` for its records from `fromLsn` on: a new owner lacks them. */
export const TailRequest = message(pkg("TailRequest"), {
  vdiskId: field.string(1),
  epoch: field.uint64(2),
  fromLsn: field.uint64(3),
});
/**
 * `previousEpoch`: of the record before `fromLsn`, 0 when the peer holds it no more. A part of the records,
 * in order; none when the peer has none from there on.
 */
export const TailResponse = message(pkg("TailResponse"), {
  kind: field.choice(1, pkg("TailOutcome"), ["records", "staleEpoch"] as const),
  promisedEpoch: field.uint64(2),
  previousEpoch: field.uint64(3),
  records: field.repeated(field.message(4, OplogRecordMessage)),
});

const peerService = pkg("PeerService");
export const PeerService = {
  append: method(peerService, "Append", "duplex", AppendRequest, AppendResponse),
  fence: method(peerService, "Fence", "unary", FenceRequest, FenceResponse),
  level: method(peerService, "Level", "unary", LevelRequest, LevelResponse),
  tail: method(peerService, "Tail", "unary", TailRequest, TailResponse),
} as const;

// ---- forwarded block I/O ----

export const IoRequest = message(pkg("IoRequest"), {
  id: field.uint64(1),
  vdiskId: field.string(2),
  /** `forget`: nobody waits for request `id` any more; it is not answered. */
  operation: field.choice(3, pkg("IoOperation"), [
    "read",
    "write",
    "zero",
    "runs",
    "forget",
  ] as const),
  offsetBytes: field.uint64(4),
  lengthBytes: field.uint64(5),
  data: field.bytes(6),
  /** In the first request of a stream: which process sends it. */
  frontEnd: field.string(7),
});
export const IoRun = message(pkg("IoRun"), {
  lengthBytes: field.uint64(1),
  zero: field.bool(2),
});
export const IoResponse = message(pkg("IoResponse"), {
  id: field.uint64(1),
  data: field.bytes(2),
  runs: field.repeated(field.message(3, IoRun)),
  /** "" or an error code. */
  errorCode: field.string(4),
  errorMessage: field.string(5),
});
export type IoRequest = Infer<typeof IoRequest>;
export type IoResponse = Infer<typeof IoResponse>;

const ioService = pkg("IoService");
export const IoService = {
  io: method(ioService, "Io", "duplex", IoRequest, IoResponse),
} as const;
