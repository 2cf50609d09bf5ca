/**
 * Cerebro's service for people and tools: protection domains, recovery points, remote sites,
 * replication jobs. Any CVM's Cerebro accepts every call: what only reads it answers itself, what
 * changes something it hands to the site's leader. The contract for other languages is in
 * proto/antipode/cerebro/v1/cerebro.proto; sites speak with each other by wire/remoteCerebro.ts.
 *
 * Requests that make something carry a `requestId`: the same id again gives the same result and
 * makes nothing twice. "" lets the CVM that is asked first choose one.
 */

import { field, type Infer, message, method } from "../../base/wire.ts";

const pkg = (name: string): string => `antipode.cerebro.v1.${name}`;

/** Where a process of a site is reached. */
export const SiteAddress = message(pkg("SiteAddress"), {
  host: field.string(1),
  port: field.uint32(2),
});

// ---- protection domains ----

/** A vDisk inside a consistency group. */
export const GroupMember = message(pkg("GroupMember"), {
  vdiskId: field.string(1),
  vdiskName: field.string(2),
});
/** vDisks that are cut at the same instant. */
export const ConsistencyGroup = message(pkg("ConsistencyGroup"), {
  name: field.string(1),
  members: field.repeated(field.message(2, GroupMember)),
});
/** A protection domain as this site sees it. */
export const ProtectionDomain = message(pkg("ProtectionDomain"), {
  name: field.string(1),
  /** "active" or "inactive". */
  state: field.string(2),
  /** Grows with every activation; of two sites the higher one decides. */
  generation: field.uint64(3),
  groups: field.repeated(field.message(4, ConsistencyGroup)),
  newestPointId: field.string(5),
  newestPointName: field.string(6),
  /** The site whose recovery points came last, when inactive; else this site. */
  sourceSite: field.string(7),
  createdAtMs: field.uint64(8),
});
export type ProtectionDomain = Infer<typeof ProtectionDomain>;

export const CreatePdRequest = message(pkg("CreatePdRequest"), {
  name: field.string(1),
  requestId: field.string(2),
});
export const CreatePdResponse = message(pkg("CreatePdResponse"), {
  pd: field.message(1, ProtectionDomain),
});
export const DeletePdRequest = message(pkg("DeletePdRequest"), { name: field.string(1) });
export const DeletePdResponse = message(pkg("DeletePdResponse"), {});
export const ListPdsRequest = message(pkg("ListPdsRequest"), {});
export const ListPdsResponse = message(pkg("ListPdsResponse"), {
  pds: field.repeated(field.message(1, ProtectionDomain)),
});
export const ShowPdRequest = message(pkg("ShowPdRequest"), { name: field.string(1) });
export const ShowPdResponse = message(pkg("ShowPdResponse"), {
  pd: field.message(1, ProtectionDomain),
});
export const ProtectRequest = message(pkg("ProtectRequest"), {
  pd: field.string(1),
  /** Consistency group; "" is the group "default". */
  group: field.string(2),
  /** Names of vDisks of this site. */
  vdisks: field.repeated(field.string(3)),
});
export const ProtectResponse = message(pkg("ProtectResponse"), {
  pd: field.message(1, ProtectionDomain),
});
export const UnprotectRequest = message(pkg("UnprotectRequest"), {
  pd: field.string(1),
  vdisks: field.repeated(field.string(2)),
});
export const UnprotectResponse = message(pkg("UnprotectResponse"), {
  pd: field.message(1, ProtectionDomain),
});

// ---- recovery points ----

/** One vDisk inside a recovery point. */
export const PointDisk = message(pkg("PointDisk"), {
  vdiskId: field.string(1),
  vdiskName: field.string(2),
  sizeBytes: field.uint64(3),
  /** Hexadecimal; "" for a vDisk that is all zero. */
  root: field.string(4),
  lsn: field.uint64(5),
});
/** A signed snapshot of a protection domain. */
export const RecoveryPoint = message(pkg("RecoveryPoint"), {
  id: field.string(1),
  name: field.string(2),
  protectionDomain: field.string(3),
  generation: field.uint64(4),
  sourceSite: field.string(5),
  createdAtMs: field.uint64(6),
  parentId: field.string(7),
  disks: field.repeated(field.message(8, PointDisk)),
  holdMs: field.double(9),
  /** Ed25519 by the source site's key; hexadecimal. */
  signature: field.string(10),
});
export type RecoveryPoint = Infer<typeof RecoveryPoint>;

export const SnapshotRequest = message(pkg("SnapshotRequest"), {
  pd: field.string(1),
  /** "" gives the next of "rp-1", "rp-2", … */
  name: field.string(2),
  requestId: field.string(3),
});
export const SnapshotResponse = message(pkg("SnapshotResponse"), {
  recoveryPoint: field.message(1, RecoveryPoint),
});
export const ListRecoveryPointsRequest = message(pkg("ListRecoveryPointsRequest"), {
  /** "" lists those of all protection domains. */
  pd: field.string(1),
});
export const ListRecoveryPointsResponse = message(pkg("ListRecoveryPointsResponse"), {
  recoveryPoints: field.repeated(field.message(1, RecoveryPoint)),
});
export const ShowRecoveryPointRequest = message(pkg("ShowRecoveryPointRequest"), {
  /** Needed with a name, "" suffices with an id. */
  pd: field.string(1),
  /** Id or name. */
  recoveryPoint: field.string(2),
});
export const ShowRecoveryPointResponse = message(pkg("ShowRecoveryPointResponse"), {
  recoveryPoint: field.message(1, RecoveryPoint),
  /** Jobs that use it: it cannot be deleted while there are any. */
  heldBy: field.repeated(field.string(2)),
});
export const DeleteRecoveryPointRequest = message(pkg("DeleteRecoveryPointRequest"), {
  pd: field.string(1),
  recoveryPoint: field.string(2),
});
export const DeleteRecoveryPointResponse = message(pkg("DeleteRecoveryPointResponse"), {});
export const VerifyRecoveryPointRequest = message(pkg("VerifyRecoveryPointRequest"), {
  pd: field.string(1),
  recoveryPoint: field.string(2),
});
/** Progress of reading everything below the roots and recomputing every fingerprint. */
export const VerifyRecoveryPointResponse = message(pkg("VerifyRecoveryPointResponse"), {
  /** vDisk that is being read. */
  vdiskName: field.string(1),
  signatureValid: field.bool(2),
  checkedBytes: field.uint64(3),
  /** Sum of the sizes of the vDisks. */
  totalBytes: field.uint64(4),
  missingChunks: field.uint64(5),
  corruptChunks: field.uint64(6),
  done: field.bool(7),
});

// ---- remote sites ----

/** What a container of this site is called at the remote site. */
export const ContainerMapping = message(pkg("ContainerMapping"), {
  local: field.string(1),
  remote: field.string(2),
});
/** A remote site as this site knows it. */
export const RemoteSite = message(pkg("RemoteSite"), {
  name: field.string(1),
  /** Its Cerebros as seen from here (through the link). */
  cerebros: field.repeated(field.message(2, SiteAddress)),
  /** Its Stargates as seen from here. */
  stargates: field.repeated(field.message(3, SiteAddress)),
  containers: field.repeated(field.message(4, ContainerMapping)),
  /** Learned when the sites first met; "" before. */
  site: field.string(5),
  incarnation: field.string(6),
  publicKey: field.string(7),
  createdAtMs: field.uint64(8),
});
export type RemoteSite = Infer<typeof RemoteSite>;

export const CreateRemoteRequest = message(pkg("CreateRemoteRequest"), {
  name: field.string(1),
  cerebros: field.repeated(field.message(2, SiteAddress)),
  stargates: field.repeated(field.message(3, SiteAddress)),
  containers: field.repeated(field.message(4, ContainerMapping)),
  requestId: field.string(5),
});
export const CreateRemoteResponse = message(pkg("CreateRemoteResponse"), {
  remote: field.message(1, RemoteSite),
});
export const ListRemotesRequest = message(pkg("ListRemotesRequest"), {});
export const ListRemotesResponse = message(pkg("ListRemotesResponse"), {
  remotes: field.repeated(field.message(1, RemoteSite)),
});
export const ShowRemoteRequest = message(pkg("ShowRemoteRequest"), { name: field.string(1) });
export const ShowRemoteResponse = message(pkg("ShowRemoteResponse"), {
  remote: field.message(1, RemoteSite),
  reachable: field.bool(2),
  roundTripMs: field.double(3),
  /** Why it is not reachable, or "". */
  problem: field.string(4),
});
export const DeleteRemoteRequest = message(pkg("DeleteRemoteRequest"), { name: field.string(1) });
export const DeleteRemoteResponse = message(pkg("DeleteRemoteResponse"), {});

// ---- replication jobs ----

/** Byte ledger of a job: address space walked is counted in exactly one of the four next fields. */
export const TransferLedger = message(pkg("TransferLedger"), {
  logicalBytes: field.uint64(1),
  zeroBytes: field.uint64(2),
  unchangedBytes: field.uint64(3),
  /** Raw bytes of chunks that the target had. */
  dedupedBytes: field.uint64(4),
  /** Raw bytes of chunks that were sent. */
  uniqueBytes: field.uint64(5),
  /** Those chunks as they are stored (compressed). */
  compressedBytes: field.uint64(6),
  metadataBytes: field.uint64(7),
  /** Everything put on the wire towards the target, failed attempts included. */
  wireBytes: field.uint64(8),
  /** Stored bytes that the target had already when they arrived: sent in vain. */
  resentBytes: field.uint64(9),
  chunksSent: field.uint64(10),
});
/** A replication job. */
export const Job = message(pkg("Job"), {
  id: field.string(1),
  pd: field.string(2),
  recoveryPointId: field.string(3),
  recoveryPointName: field.string(4),
  remote: field.string(5),
  /** PLANNING, RUNNING, RECORDING, DONE, FAILED or CANCELLED. */
  state: field.string(6),
  /** What the job waits for, e.g. "remote unreachable"; "" when it goes on. */
  waiting: field.string(7),
  /** Common recovery point that only the changes since are sent from; "" for a full replication. */
  baseRecoveryPointId: field.string(8),
  tasksTotal: field.uint32(9),
  tasksDone: field.uint32(10),
  tasksRunning: field.uint32(11),
  /** Sum of the sizes of the vDisks. */
  totalBytes: field.uint64(12),
  ledger: field.message(13, TransferLedger),
  /** How often another leader went on with the job. */
  leaderChanges: field.uint32(14),
  createdAtMs: field.uint64(15),
  /** By the wall clock of the leaders: a label. */
  durationMs: field.uint64(16),
  /** Address space walked per second, over the last seconds when watched, else on average. */
  bytesPerSecond: field.double(17),
  errorCode: field.string(18),
  errorMessage: field.string(19),
  disks: field.repeated(field.message(20, PointDisk)),
  baseRecoveryPointName: field.string(21),
});
export type Job = Infer<typeof Job>;

export const ReplicateRequest = message(pkg("ReplicateRequest"), {
  pd: field.string(1),
  /** Id or name; "" replicates the newest. */
  recoveryPoint: field.string(2),
  remote: field.string(3),
  requestId: field.string(4),
});
export const ReplicateResponse = message(pkg("ReplicateResponse"), { job: field.message(1, Job) });
export const ListJobsRequest = message(pkg("ListJobsRequest"), {});
export const ListJobsResponse = message(pkg("ListJobsResponse"), {
  /** Newest first. */
  jobs: field.repeated(field.message(1, Job)),
});
export const ShowJobRequest = message(pkg("ShowJobRequest"), { id: field.string(1) });
export const ShowJobResponse = message(pkg("ShowJobResponse"), { job: field.message(1, Job) });
export const WatchJobRequest = message(pkg("WatchJobRequest"), { id: field.string(1) });
export const WatchJobResponse = message(pkg("WatchJobResponse"), { job: field.message(1, Job) });
export const CancelJobRequest = message(pkg("CancelJobRequest"), { id: field.string(1) });
export const CancelJobResponse = message(pkg("CancelJobResponse"), { job: field.message(1, Job) });

// ---- failover ----

export const ActivateRequest = message(pkg("ActivateRequest"), {
  pd: field.string(1),
  /** Id or name; "" activates from the newest. */
  recoveryPoint: field.string(2),
  /** Activate although the source is reachable and active: it is told to deactivate. */
  force: field.bool(3),
  requestId: field.string(4),
});
/** A vDisk that an activation made. */
export const ActivatedVdisk = message(pkg("ActivatedVdisk"), {
  vdiskId: field.string(1),
  vdiskName: field.string(2),
  root: field.string(3),
});
export const ActivateResponse = message(pkg("ActivateResponse"), {
  pd: field.message(1, ProtectionDomain),
  recoveryPoint: field.message(2, RecoveryPoint),
  vdisks: field.repeated(field.message(3, ActivatedVdisk)),
  /** Sentences for people: what could not be made sure of. */
  warnings: field.repeated(field.string(4)),
});

export const LeaderRequest = message(pkg("LeaderRequest"), {});
export const LeaderResponse = message(pkg("LeaderResponse"), {
  /** CVM of the leader, or 0 when there is none now. */
  cvm: field.uint32(1),
  /** 0 while its term has not begun. */
  epoch: field.uint64(2),
  address: field.message(3, SiteAddress),
  site: field.string(4),
  incarnation: field.string(5),
});

const service = pkg("CerebroService");
export const CerebroService = {
  createPd: method(service, "CreatePd", "unary", CreatePdRequest, CreatePdResponse),
  deletePd: method(service, "DeletePd", "unary", DeletePdRequest, DeletePdResponse),
  listPds: method(service, "ListPds", "unary", ListPdsRequest, ListPdsResponse),
  showPd: method(service, "ShowPd", "unary", ShowPdRequest, ShowPdResponse),
  protect: method(service, "Protect", "unary", ProtectRequest, ProtectResponse),
  unprotect: method(service, "Unprotect", "unary", UnprotectRequest, UnprotectResponse),
  /** Cuts all groups at one instant; answers when every root is known and the record is signed. */
  snapshot: method(service, "Snapshot", "unary", SnapshotRequest, SnapshotResponse),
  listRecoveryPoints: method(
    service,
    "ListRecoveryPoints",
    "unary",
    ListRecoveryPointsRequest,
    ListRecoveryPointsResponse,
  ),
  showRecoveryPoint: method(
    service,
    "ShowRecoveryPoint",
    "unary",
    ShowRecoveryPointRequest,
    ShowRecoveryPointResponse,
  ),
  deleteRecoveryPoint: method(
    service,
    "DeleteRecoveryPoint",
    "unary",
    DeleteRecoveryPointRequest,
    DeleteRecoveryPointResponse,
  ),
  verifyRecoveryPoint: method(
    service,
    "VerifyRecoveryPoint",
    "serverStream",
    VerifyRecoveryPointRequest,
    VerifyRecoveryPointResponse,
  ),
  createRemote: method(service, "CreateRemote", "unary", CreateRemoteRequest, CreateRemoteResponse),
  listRemotes: method(service, "ListRemotes", "unary", ListRemotesRequest, ListRemotesResponse),
  showRemote: method(service, "ShowRemote", "unary", ShowRemoteRequest, ShowRemoteResponse),
  deleteRemote: method(service, "DeleteRemote", "unary", DeleteRemoteRequest, DeleteRemoteResponse),
  /** Starts a job and answers at once. */
  replicate: method(service, "Replicate", "unary", ReplicateRequest, ReplicateResponse),
  listJobs: method(service, "ListJobs", "unary", ListJobsRequest, ListJobsResponse),
  showJob: method(service, "ShowJob", "unary", ShowJobRequest, ShowJobResponse),
  /** About four answers a second until the job has ended; the last one shows how. */
  watchJob: method(service, "WatchJob", "serverStream", WatchJobRequest, WatchJobResponse),
  cancelJob: method(service, "CancelJob", "unary", CancelJobRequest, CancelJobResponse),
  /** Makes an inactive protection domain active here, from a recovery point. */
  activate: method(service, "Activate", "unary", ActivateRequest, ActivateResponse),
  leader: method(service, "Leader", "unary", LeaderRequest, LeaderResponse),
} as const;
