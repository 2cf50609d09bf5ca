/**
 * What only Cerebro keeps in the site's etcd: keys and the JSON records under them. Whatever must
 * outlive a leader is here. Every record is written in a transaction that the leader's seat guards;
 * the exceptions are a worker's claim and progress, which the claim itself guards.
 */

import type { ByteLedger } from "../../base/ledger.ts";
import type { RecoveryPointDisk } from "../../base/siteRecords.ts";

/** The site's signing key. In etcd, so that any CVM's leader can sign; see remote/identity.ts. */
export interface IdentityRecord {
  /** PKCS8 and SPKI DER, hexadecimal. */
  readonly privateKey: string;
  readonly publicKey: string;
}

export interface MemberRecord {
  readonly vdiskId: string;
  readonly vdiskName: string;
}

export interface GroupRecord {
  readonly name: string;
  readonly members: readonly MemberRecord[];
}

export type PdState = "active" | "inactive";

export interface PdRecord {
  readonly name: string;
  readonly state: PdState;
  /** Grows with every activation, at whichever site. */
  readonly generation: number;
  readonly groups: readonly GroupRecord[];
  /** Head of the lineage: parent of the next recovery point; "" before the first. */
  readonly newestPointId: string;
  readonly newestPointName: string;
  /** Number in the name of the next unnamed recovery point. */
  readonly nextPointNumber: number;
  /** Where its recovery points come from. */
  readonly sourceSite: string;
  readonly createdAtMs: number;
  /** Request that created it here, or "". */
  readonly requestId: string;
  /** The last activation here, so that asking again gives the same answer. */
  readonly lastActivation: ActivationResult | undefined;
}

/** A cut that has not become a recovery point yet. */
export interface PendingCutRecord {
  /** Id that the recovery point will have; from the request, so that a repeated request finds it. */
  readonly pointId: string;
  readonly pd: string;
  readonly name: string;
  readonly members: readonly MemberRecord[];
  /** Of the present attempt. */
  readonly cutId: string;
  readonly attempt: number;
  /** "marked" once every owner was held through the last marker: then it will be finished. */
  readonly state: "cutting" | "marked";
  readonly generation: number;
  /** Wall clock at the marks. */
  readonly createdAtMs: number;
  readonly holdMs: number;
}

export interface AddressRecord {
  readonly host: string;
  readonly port: number;
}

export interface RemoteRecord {
  readonly name: string;
  readonly cerebros: readonly AddressRecord[];
  readonly stargates: readonly AddressRecord[];
  readonly containers: readonly { readonly local: string; readonly remote: string }[];
  /** Name of the site behind it, once it was met; its key is in the PeerRecord. */
  readonly site: string;
  readonly createdAtMs: number;
  readonly requestId: string;
}

/** Another site's identity, pinned when it was first met, and the highest leader epoch seen of it. */
export interface PeerRecord {
  readonly site: string;
  readonly incarnation: string;
  /** SPKI DER, hexadecimal. */
  readonly publicKey: string;
  readonly epochSeen: number;
}

export interface PlacementRecord {
  readonly vdiskId: string;
  readonly group: string;
  readonly container: string;
  readonly replicationFactor: number;
  readonly compression: boolean;
}

/** Beside a recovery point that came from another site: where its vDisks go. */
export interface ReceivedRecord {
  readonly placements: readonly PlacementRecord[];
}

export const jobStates = [
  "PLANNING",
  "RUNNING",
  "RECORDING",
  "DONE",
  "FAILED",
  "CANCELLED",
] as const;
export type JobState = (typeof jobStates)[number];

export interface JobDisk extends RecoveryPointDisk {
  /** Root that the target holds already, or "". */
  readonly baseRoot: string;
  /** Subtree tasks of this vDisk; the task for its top comes after them. */
  readonly bundleCount: number;
  /** False when there is nothing to ship: all zero, or equal to the base. */
  readonly ships: boolean;
  /** Copies that the target keeps. */
  readonly replicationFactor: number;
}

export interface JobRecord {
  readonly id: string;
  readonly pd: string;
  readonly recoveryPointId: string;
  readonly recoveryPointName: string;
  readonly remote: string;
  readonly state: JobState;
  readonly waiting: string;
  /** Common recovery point, or "". */
  readonly baseId: string;
  readonly baseName: string;
  /** Recovery points that turned out not to be complete at the target. */
  readonly baseExcluded: readonly string[];
  readonly disks: readonly JobDisk[];
  readonly placements: readonly PlacementRecord[];
  /** Subtree tasks of all vDisks and one top for each that ships. */
  readonly taskCount: number;
  /** What planning found equal or zero; at the end: everything. */
  readonly ledger: ByteLedger;
  /** What earlier rounds of planning have sent. */
  readonly spent: ByteLedger;
  /** Epoch of the leader that drives the job, and by which etcd it counts: orders to Stargate carry both. */
  readonly leaderEpoch: number;
  readonly leaderIncarnation: string;
  readonly leaderChanges: number;
  readonly createdAtMs: number;
  /** 0 while it goes on. */
  readonly endedAtMs: number;
  readonly errorCode: string;
  readonly errorMessage: string;
}

export interface SubtreeRecord {
  readonly level: number;
  readonly index: number;
  /** Hexadecimal; "" where there is nothing (all zero). */
  readonly fingerprint: string;
  readonly base: string;
}

export interface TaskRecord {
  readonly jobId: string;
  readonly index: number;
  /** Index into the job's disks. */
  readonly disk: number;
  /** "whole": the only subtrees of the vDisk, and its top after them. */
  readonly kind: "subtrees" | "top" | "whole";
  readonly subtrees: readonly SubtreeRecord[];
  readonly state: "open" | "done" | "refused";
  /** Failures in a row; 0 after progress. */
  readonly failures: number;
  /** Of the present or last attempt. */
  readonly ledger: ByteLedger;
  /** Of the attempts before: what they sent. */
  readonly spent: ByteLedger;
  readonly errorCode: string;
  readonly errorMessage: string;
}

/** Under the worker's process lease: a dead worker's claims vanish with it. */
export interface ClaimRecord {
  readonly cvm: number;
  /** Index of the task. */
  readonly index: number;
  readonly leaderEpoch: number;
}

/** A job's hold on a recovery point; it ends with its owner, see replication/SPEC.md. */
export interface HoldRecord {
  readonly pointId: string;
  readonly jobId: string;
}

export interface ActivationDisk {
  readonly vdiskName: string;
  readonly sizeBytes: number;
  readonly root: string;
  readonly group: string;
  readonly container: string;
  readonly replicationFactor: number;
  readonly compression: boolean;
}

/** An activation under way; one a protection domain. */
export interface ActivationRecord {
  readonly pd: string;
  readonly requestId: string;
  readonly recoveryPointId: string;
  readonly generation: number;
  readonly disks: readonly ActivationDisk[];
  readonly warnings: readonly string[];
  /** Did the source answer when the activation began? Then it is told at the end. */
  readonly sourceAnswered: boolean;
}

export interface ActivationResult {
  readonly requestId: string;
  readonly recoveryPointId: string;
  readonly vdisks: readonly {
    readonly vdiskId: string;
    readonly vdiskName: string;
    readonly root: string;
  }[];
  readonly warnings: readonly string[];
}

const PREFIX = "antipode/cerebro";
const taskNumber = (index: number): string => String(index).padStart(4, "0");

/** Every key of Cerebro's own, so that nobody spells one out. */
export const cerebroKeys = {
  identity: `${PREFIX}/identity`,
  pds: `${PREFIX}/pd/`,
  pd: (name: string): string => `${PREFIX}/pd/${name}`,
  pendingCuts: `${PREFIX}/pending-cut/`,
  pendingCut: (pointId: string): string => `${PREFIX}/pending-cut/${pointId}`,
  remotes: `${PREFIX}/remote/`,
  remote: (name: string): string => `${PREFIX}/remote/${name}`,
  peers: `${PREFIX}/peer/`,
  peer: (site: string): string => `${PREFIX}/peer/${site}`,
  received: (pointId: string): string => `${PREFIX}/received/${pointId}`,
  /** Jobs, tasks and claims lie together so that one watch follows them all. */
  replication: `${PREFIX}/replication/`,
  jobs: `${PREFIX}/replication/job/`,
  job: (id: string): string => `${PREFIX}/replication/job/${id}`,
  allTasks: `${PREFIX}/replication/task/`,
  tasks: (jobId: string): string => `${PREFIX}/replication/task/${jobId}/`,
  task: (jobId: string, index: number): string =>
    `${PREFIX}/replication/task/${jobId}/${taskNumber(index)}`,
  allClaims: `${PREFIX}/replication/claim/`,
  claims: (jobId: string): string => `${PREFIX}/replication/claim/${jobId}/`,
  claim: (jobId: string, index: number): string =>
    `${PREFIX}/replication/claim/${jobId}/${taskNumber(index)}`,
  holds: `${PREFIX}/hold/`,
  holdsOf: (pointId: string): string => `${PREFIX}/hold/${pointId}/`,
  hold: (pointId: string, jobId: string): string => `${PREFIX}/hold/${pointId}/${jobId}`,
  activations: `${PREFIX}/activation/`,
  activation: (pd: string): string => `${PREFIX}/activation/${pd}`,
} as const;
