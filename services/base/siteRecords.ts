/**
 * What a site keeps in its etcd, shared by Stargate and Cerebro: keys and the JSON records under
 * them. Small and typed; bulk never goes here. Records that only Cerebro reads (jobs, remote sites,
 * protection domains) are declared in its own folder.
 *
 * Fingerprints and roots are lower-case hexadecimal; the root of an all-zero vDisk is "".
 */

/** A storage container: the policy of its vDisks. */
export interface ContainerRecord {
  readonly name: string;
  /** Copies of everything: 1, 2 or 3. */
  readonly replicationFactor: number;
  readonly compression: boolean;
}

export interface VdiskRecord {
  readonly id: string;
  readonly name: string;
  readonly container: string;
  readonly sizeBytes: number;
  readonly replicationFactor: number;
  readonly compression: boolean;
  /** Wall clock, a label. */
  readonly createdAtMs: number;
}

/** Who serves a vDisk, and who has its oplog. Changed only by guarded transactions, epoch + 1 each time. */
export interface OwnerRecord {
  readonly owner: number;
  readonly epoch: number;
  /** CVMs that have every acknowledged record, the owner among them. */
  readonly peers: readonly number[];
  /**
   * Every listed peer has promised an epoch since the vDisk was made; set before anything is
   * acknowledged. A listed peer that then knows of no promise has lost its files.
   */
  readonly served: boolean;
}

/** The drained part of a vDisk: content as a root plus everything in the oplog after `drainedLsn`. */
export interface MapRecord {
  readonly root: string;
  readonly drainedLsn: number;
}

/** A cut that waits for its roots. Drains look it up when they pass a marker. */
export interface CutRecord {
  readonly cutId: string;
  readonly vdiskIds: readonly string[];
}

/** The content of one vDisk at a cut, known when its drain has passed the marker. */
export interface CutRootRecord {
  readonly root: string;
  readonly lsn: number;
  readonly sizeBytes: number;
}

/** The role whose leader gives orders to Stargates. */
export const LEADER_ROLE = "cerebro";

const PREFIX = "antipode";

/** Every key, so that nobody spells one out. */
export const siteKeys = {
  live: (service: string, cvm: number): string => `${PREFIX}/live/${service}/${cvm}`,
  livePrefix: (service: string): string => `${PREFIX}/live/${service}/`,
  seatPrefix: (role: string): string => `${PREFIX}/seat/${role}/`,
  leaderEpoch: (role: string): string => `${PREFIX}/leader-epoch/${role}`,
  containers: `${PREFIX}/container/`,
  container: (name: string): string => `${PREFIX}/container/${name}`,
  vdisks: `${PREFIX}/vdisk/`,
  vdisk: (id: string): string => `${PREFIX}/vdisk/${id}`,
  /** Value is the id: makes names unique. */
  vdiskName: (name: string): string => `${PREFIX}/vdisk-name/${name}`,
  /** Notes of deleted vDisks, for one CVM to forget its copy; the value is the name that it had. */
  deletedVdisks: (cvm: number): string => `${PREFIX}/deleted-vdisk/${cvm}/`,
  deletedVdisk: (cvm: number, id: string): string => `${PREFIX}/deleted-vdisk/${cvm}/${id}`,
  /** Value is the protection domain that a vDisk is a member of; such a vDisk is not deleted. */
  protectedVdisk: (id: string): string => `${PREFIX}/protected/${id}`,
  owners: `${PREFIX}/owner/`,
  owner: (id: string): string => `${PREFIX}/owner/${id}`,
  maps: `${PREFIX}/map/`,
  map: (id: string): string => `${PREFIX}/map/${id}`,
  cut: (cutId: string): string => `${PREFIX}/cut/${cutId}`,
  cutRoots: (cutId: string): string => `${PREFIX}/cut-root/${cutId}/`,
  cutRoot: (cutId: string, id: string): string => `${PREFIX}/cut-root/${cutId}/${id}`,
  /** Recovery points; Stargate reads them to serve `vdisk@recovery-point`. */
  recoveryPoints: `${PREFIX}/recovery-point/`,
  recoveryPoint: (id: string): string => `${PREFIX}/recovery-point/${id}`,
} as const;

/** One vDisk inside a recovery point. */
export interface RecoveryPointDisk {
  /** Identity at the site where it was cut. */
  readonly vdiskId: string;
  readonly vdiskName: string;
  readonly sizeBytes: number;
  readonly root: string;
  readonly lsn: number;
}

/**
 * A snapshot of a consistency group. The record is written once and never changed (P3): state that
 * changes, such as holds, is kept elsewhere.
 */
export interface RecoveryPointRecord {
  /** Unique over all sites: 32 hexadecimal digits. */
  readonly id: string;
  /** Unique inside the protection domain, e.g. "rp-3". */
  readonly name: string;
  readonly protectionDomain: string;
  /** Generation of the protection domain at the cut: grows with every activation. */
  readonly generation: number;
  readonly sourceSite: string;
  /** Wall clock of the cut at the source. */
  readonly createdAtMs: number;
  /** Id of the recovery point before this one in its lineage, or "". */
  readonly parentId: string;
  readonly disks: readonly RecoveryPointDisk[];
  /** How long writes were held for the cut, in ms. */
  readonly holdMs: number;
  /** Ed25519 over the record without this field, by the source site's key; hexadecimal. */
  readonly signature: string;
}

/** Export name of a vDisk inside a recovery point: `vdisk@recovery-point-name-or-id`. */
export function parseExportName(name: string): {
  readonly vdisk: string;
  readonly recoveryPoint: string | undefined;
} {
  const at = name.indexOf("@");
  return at < 0
    ? { vdisk: name, recoveryPoint: undefined }
    : { vdisk: name.slice(0, at), recoveryPoint: name.slice(at + 1) };
}

/** Names of sites, containers, vDisks, protection domains and recovery points. */
export function isName(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9._-]{0,62}$/.test(text);
}
