/**
 * Stargate's services as other services call them; the contract for other languages is in
 * proto/antipode/stargate/v1/. Three audiences:
 * - ChunkService: other Stargates of the site, to one CVM's own extent store;
 * - ReceiveService: Stargates of other sites, to the site as a whole (any CVM answers and places);
 * - VdiskService: Cerebro and the CLI: vDisks, cuts, shipping.
 * The oplog's own stream is in wire/oplog.ts.
 */

import { field, type Infer, message, method } from "../../base/wire.ts";

const pkg = (name: string): string => `antipode.stargate.v1.${name}`;

// ---- ChunkService: one CVM's own extent store ----

export const PutChunksRequest = message(pkg("PutChunksRequest"), {
  /** Chosen by the sender; comes back in the answer. Answers come in order of requests. */
  sequence: field.uint64(1),
  /** Chunks as one pack (stargate/extents/chunkPack.ts; FORMAT.md, "Packs"). */
  pack: field.bytes(2),
});
export const PutChunksResponse = message(pkg("PutChunksResponse"), {
  sequence: field.uint64(1),
  /** Chunks of the request that were not there before. All are durable now. */
  storedCount: field.uint32(2),
  storedBytes: field.uint64(3),
  /** "" or an error code; then nothing of the request counts as stored. */
  errorCode: field.string(4),
  errorMessage: field.string(5),
  /** One byte a chunk of the request: 1 stored by it, 0 there before. */
  isNew: field.bytes(6),
});
/** Fingerprints one after the other, 32 bytes each. */
export const FingerprintList = message(pkg("FingerprintList"), { fingerprints: field.bytes(1) });
/** One byte a fingerprint asked for: 1 present, 0 absent. */
export const PresenceList = message(pkg("PresenceList"), { present: field.bytes(1) });
export const GetChunksResponse = message(pkg("GetChunksResponse"), {
  /** What is here and passed its check, as a pack; in any order; absent ones are left out. */
  pack: field.bytes(1),
  /** Fingerprints, 32 bytes each, of copies that were here and failed their check: to be written anew. */
  corrupt: field.bytes(2),
});

const chunkService = pkg("ChunkService");
export const ChunkService = {
  putChunks: method(chunkService, "PutChunks", "duplex", PutChunksRequest, PutChunksResponse),
  getChunks: method(chunkService, "GetChunks", "unary", FingerprintList, GetChunksResponse),
  hasChunks: method(chunkService, "HasChunks", "unary", FingerprintList, PresenceList),
} as const;

// ---- ReceiveService: the target side of replication ----

export const ReceiveRequest = message(pkg("ReceiveRequest"), {
  sequence: field.uint64(1),
  /** A query asks which of `fingerprints` are absent; the chunks of `pack` are to be verified and placed. */
  fingerprints: field.bytes(2),
  pack: field.bytes(3),
  /** Copies to keep at the target. */
  replicationFactor: field.uint32(4),
});
export const ReceiveResponse = message(pkg("ReceiveResponse"), {
  sequence: field.uint64(1),
  /** For a query: one byte a fingerprint, 1 present on all its CVMs, 0 to be sent. */
  present: field.bytes(2),
  /** For chunks: all durable now; how many of them had been there already, and their bytes. */
  duplicateCount: field.uint32(3),
  duplicateBytes: field.uint64(4),
  errorCode: field.string(5),
  errorMessage: field.string(6),
});
const receiveService = pkg("ReceiveService");
export const ReceiveService = {
  receive: method(receiveService, "Receive", "duplex", ReceiveRequest, ReceiveResponse),
} as const;

// ---- VdiskService ----

export const Empty = message(pkg("Empty"), {});

export const ContainerMessage = message(pkg("Container"), {
  name: field.string(1),
  replicationFactor: field.uint32(2),
  compression: field.bool(3),
});
export const ContainerName = message(pkg("ContainerName"), { name: field.string(1) });
export const ContainerList = message(pkg("ContainerList"), {
  containers: field.repeated(field.message(1, ContainerMessage)),
});

export const CreateVdiskRequest = message(pkg("CreateVdiskRequest"), {
  name: field.string(1),
  container: field.string(2),
  /** 0 with a source: the source's size. */
  sizeBytes: field.uint64(3),
  /** Hexadecimal root to begin with, or "" for all zero: a clone. */
  root: field.string(4),
  /** Export name (`vdisk@recovery-point`) to clone, instead of a root; or "". */
  source: field.string(5),
});
export const VdiskMessage = message(pkg("Vdisk"), {
  id: field.string(1),
  name: field.string(2),
  container: field.string(3),
  sizeBytes: field.uint64(4),
  replicationFactor: field.uint32(5),
  createdAtMs: field.uint64(6),
  owner: field.uint32(7),
  epoch: field.uint64(8),
  peers: field.repeated(field.uint32(9)),
  root: field.string(10),
  drainedLsn: field.uint64(11),
  /** Last LSN the owner has given; 0 when the owner could not be asked. */
  lastLsn: field.uint64(12),
  compression: field.bool(13),
});
export const VdiskName = message(pkg("VdiskName"), { name: field.string(1) });
export const VdiskList = message(pkg("VdiskList"), {
  vdisks: field.repeated(field.message(1, VdiskMessage)),
});

/** Every order of a leader carries its epoch and the incarnation of etcd that counts it; lower ones than seen, and those of another incarnation, are refused (STALE_EPOCH). */
export const HoldRequest = message(pkg("HoldRequest"), {
  vdiskId: field.string(1),
  cutId: field.string(2),
  leaderEpoch: field.uint64(3),
  leaderIncarnation: field.string(4),
});
export const MarkResponse = message(pkg("MarkResponse"), { lsn: field.uint64(1) });
/** `held` is true only when no acknowledgement was given from the hold to this release. */
export const ReleaseResponse = message(pkg("ReleaseResponse"), {
  held: field.bool(1),
  heldMs: field.double(2),
});

/** A node of a block map, by fingerprint and place. */
export const SubtreeMessage = message(pkg("Subtree"), {
  /** Height above the chunks: 0 a chunk, 1 an extent node, … */
  level: field.uint32(1),
  /** Index among the nodes of this level. */
  index: field.uint64(2),
  /** Fingerprint now, and at the base ("" bytes when the base has nothing there). */
  fingerprint: field.bytes(3),
  baseFingerprint: field.bytes(4),
});
export type SubtreeMessage = Infer<typeof SubtreeMessage>;

export const PlanRequest = message(pkg("PlanRequest"), {
  root: field.string(1),
  baseRoot: field.string(2),
  sizeBytes: field.uint64(3),
  /** About how many tasks are wanted. */
  subtreesMax: field.uint32(4),
});
export const PlanResponse = message(pkg("PlanResponse"), {
  /** Differing subtrees in order of place; shipping all of them and then the top completes the root. */
  subtrees: field.repeated(field.message(1, SubtreeMessage)),
  /** Address space inside the subtrees; with the two below it sums to the vDisk's size. */
  logicalBytes: field.uint64(2),
  /** Address space outside them that reads as zero now. */
  zeroBytes: field.uint64(3),
  /** Address space outside them that is as at the base. */
  unchangedBytes: field.uint64(4),
});

export const RemoteAddress = message(pkg("RemoteAddress"), {
  host: field.string(1),
  port: field.uint32(2),
});
export const ShipRequest = message(pkg("ShipRequest"), {
  leaderEpoch: field.uint64(1),
  subtrees: field.repeated(field.message(2, SubtreeMessage)),
  /** Set for the last task of a vDisk: ships the nodes from here up to the root, children first. */
  topRoot: field.string(3),
  topBaseRoot: field.string(4),
  sizeBytes: field.uint64(5),
  /** Stargates of the target site as seen from here (through the link). */
  targets: field.repeated(field.message(6, RemoteAddress)),
  replicationFactor: field.uint32(7),
  leaderIncarnation: field.string(8),
});
/** Byte ledger of a task so far. Each chunk of the walked subtrees is counted in exactly one place. */
export const ShipLedger = message(pkg("ShipLedger"), {
  /** Address space walked: chunks × 16 KiB. */
  logicalBytes: field.uint64(1),
  /** Address space that is zero. */
  zeroBytes: field.uint64(2),
  /** Address space in subtrees that are equal at the base. */
  unchangedBytes: field.uint64(3),
  /** Raw bytes of chunks that the target had, or that came twice in the task. */
  dedupedBytes: field.uint64(4),
  /** Raw bytes of chunks that were sent. */
  uniqueBytes: field.uint64(5),
  /** Stored (compressed) bytes of those chunks. */
  compressedBytes: field.uint64(6),
  /** Block-map nodes sent, in stored bytes. */
  metadataBytes: field.uint64(7),
  /** All bytes put on the wire towards the target: messages with their framing. */
  wireBytes: field.uint64(8),
  /** Stored bytes that the target had already when they arrived: sent in vain. */
  resentBytes: field.uint64(9),
  chunksSent: field.uint64(10),
  done: field.bool(11),
});
export type ShipLedger = Infer<typeof ShipLedger>;

export const DiffRequest = message(pkg("DiffRequest"), {
  root: field.string(1),
  baseRoot: field.string(2),
  sizeBytes: field.uint64(3),
});
/** A run of bytes that differ; `zero` when it reads as zero now. */
export const DiffRegion = message(pkg("DiffRegion"), {
  offsetBytes: field.uint64(1),
  lengthBytes: field.uint64(2),
  zero: field.bool(3),
});
export const DiffResponse = message(pkg("DiffResponse"), {
  regions: field.repeated(field.message(1, DiffRegion)),
});

export const VerifyRequest = message(pkg("VerifyRequest"), {
  root: field.string(1),
  sizeBytes: field.uint64(2),
});
/** Progress of a walk that reads every chunk below a root and recomputes its fingerprint. */
export const VerifyProgress = message(pkg("VerifyProgress"), {
  checkedChunks: field.uint64(1),
  checkedBytes: field.uint64(2),
  missingChunks: field.uint64(3),
  corruptChunks: field.uint64(4),
  done: field.bool(5),
});
export const RootName = message(pkg("RootName"), {
  root: field.string(1),
  replicationFactor: field.uint32(2),
});
export const LocateRootRequest = message(pkg("LocateRootRequest"), { root: field.string(1) });
export const RootPresence = message(pkg("RootPresence"), { present: field.bool(1) });

const vdiskService = pkg("VdiskService");
export const VdiskService = {
  createContainer: method(vdiskService, "CreateContainer", "unary", ContainerMessage, Empty),
  deleteContainer: method(vdiskService, "DeleteContainer", "unary", ContainerName, Empty),
  listContainers: method(vdiskService, "ListContainers", "unary", Empty, ContainerList),
  createVdisk: method(vdiskService, "CreateVdisk", "unary", CreateVdiskRequest, VdiskMessage),
  deleteVdisk: method(vdiskService, "DeleteVdisk", "unary", VdiskName, Empty),
  listVdisks: method(vdiskService, "ListVdisks", "unary", Empty, VdiskList),
  showVdisk: method(vdiskService, "ShowVdisk", "unary", VdiskName, VdiskMessage),
  /** Idempotent for one cut. Any CVM forwards to the owner. */
  hold: method(vdiskService, "Hold", "unary", HoldRequest, Empty),
  mark: method(vdiskService, "Mark", "unary", HoldRequest, MarkResponse),
  release: method(vdiskService, "Release", "unary", HoldRequest, ReleaseResponse),
  /** What a first look at two roots shows: subtrees for the tasks of a job. */
  plan: method(vdiskService, "Plan", "unary", PlanRequest, PlanResponse),
  /** Ships subtrees; answers with the ledger so far about four times a second, last with `done`. */
  ship: method(vdiskService, "Ship", "serverStream", ShipRequest, ShipLedger),
  diff: method(vdiskService, "Diff", "serverStream", DiffRequest, DiffResponse),
  verify: method(vdiskService, "Verify", "serverStream", VerifyRequest, VerifyProgress),
  /** Does the site hold this root on every CVM that should? */
  hasRoot: method(vdiskService, "HasRoot", "unary", RootName, RootPresence),
  /** Is one good copy of this root anywhere at the site? `PEERS_UNAVAILABLE` when it is not known. */
  locateRoot: method(vdiskService, "LocateRoot", "unary", LocateRootRequest, RootPresence),
} as const;
