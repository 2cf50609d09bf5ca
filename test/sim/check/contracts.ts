/**
 * What a run of the simulator, or of the chaos runner, looks like to those who judge it: plain data,
 * and small async readers where there would be too many bytes. Checkers know nothing else: neither
 * fakes nor production objects, so a bug in either cannot hide itself.
 *
 * Rules for whoever fills a record:
 * R1 every `Instant.order` of a run is taken from one counter, so that any two instants are ordered
 *    exactly; `ms` is virtual (or monotonic) time and only explains. `invoked` is taken before a request leaves,
 *    `completed` when its answer is there: never the other way round, else a verdict may be wrong.
 * R2 a branch has one `runId`, which no other branch has; write numbers (`gseq`) are its own.
 * R3 readers give the bytes as a client of that site reads them at the instant they are labelled
 *    with. Disks change, so the reader of a reading goes over an image that was captured then
 *    (image.ts).
 * R4 what is not known is left out or `undefined`, never guessed.
 */

import type { ByteLedger } from "../../../services/base/ledger.ts";

/** A moment of the run. */
export interface Instant {
  /** Virtual milliseconds since the run began. */
  readonly ms: number;
  /** Place in the one order of everything that was recorded (R1). */
  readonly order: number;
}

/** The 4096 bytes of a slot of a vDisk; `lba` in units of 4 KiB. */
export type SlotReader = (slot: {
  readonly vdiskId: number;
  readonly lba: number;
}) => Promise<Uint8Array>;

/** A vDisk of a consistency group, as the blocks number it. */
export interface GroupVdisk {
  readonly id: number;
  readonly name: string;
  /** Slots of 4 KiB that are written to, from the start of the disk. */
  readonly slots: number;
}

/**
 * - acknowledged: the client was told that it is done;
 * - refused: the client was told that nothing of it was done, so nothing of it may ever be seen;
 * - indeterminate: an error or a lost connection, or the run ended first.
 */
export type WriteOutcome = "acknowledged" | "refused" | "indeterminate";

export interface WriteRecord {
  readonly writer: number;
  readonly vdiskId: number;
  /** First slot, and how many. */
  readonly lba: number;
  readonly parts: number;
  /** Number of the write in its branch: its identity, and the order of issue. */
  readonly gseq: number;
  /** Version that the first slot has after it; 0 when the writer keeps none. */
  readonly version: number;
  /** From these two the bytes can be made again (guest/block.ts). */
  readonly bodySeed: number;
  readonly repeatShare: number;
  readonly invoked: Instant;
  /** When the client was told, `undefined` when it never was. */
  readonly completed: Instant | undefined;
  readonly outcome: WriteOutcome;
}

/**
 * One line of history of a consistency group: what was written at one site in one generation of its
 * protection domain, on top of a recovery point. An unplanned activation begins another branch, and
 * from then on the two differ for good reasons.
 */
export interface Branch {
  readonly pd: string;
  readonly generation: number;
  readonly site: string;
  /** Of all its blocks (R2). */
  readonly runId: number;
  readonly cgId: number;
  readonly vdisks: readonly GroupVdisk[];
  /** The recovery point it began with, or `undefined` for disks of zeros. */
  readonly basePointId: string | undefined;
  readonly writes: readonly WriteRecord[];
}

/** A read of one slot by a client. */
export interface ReadRecord {
  readonly runId: number;
  readonly client: number;
  readonly vdiskId: number;
  readonly lba: number;
  readonly invoked: Instant;
  readonly completed: Instant;
  /** The 4096 bytes, or the code of the error. */
  readonly result: { readonly block: Uint8Array } | { readonly errorCode: string };
}

export interface PointVdisk {
  readonly vdiskId: number;
  /** Hexadecimal fingerprint. */
  readonly root: string;
  readonly sizeBytes: number;
}

/** A recovery point as the site that cut it told of it first. */
export interface RecoveryPointRecord {
  readonly id: string;
  readonly name: string;
  readonly pd: string;
  /** Branch that was cut: the group at `site` in this run. */
  readonly runId: number;
  readonly site: string;
  /** When it was asked for, and when the answer came: the cut lies between. */
  readonly requested: Instant;
  readonly taken: Instant;
  readonly vdisks: readonly PointVdisk[];
  /** Who keeps it from being pruned; for the report. */
  readonly holds: readonly string[];
}

/** A recovery point as it was read at a site at one time. */
export interface PointReading {
  readonly pointId: string;
  readonly site: string;
  readonly at: Instant;
  /** What the site says of it. */
  readonly vdisks: readonly PointVdisk[];
  readonly read: SlotReader;
}

/** Which recovery points of the domain a site listed. */
export interface PointCatalogue {
  readonly site: string;
  /** Before the request left. */
  readonly asked: Instant;
  readonly pointIds: readonly string[];
}

/** What clients of the active site see at the end of a branch that is still served. */
export interface FinalImage {
  readonly runId: number;
  readonly at: Instant;
  readonly read: SlotReader;
}

/** One replication of a recovery point, from first request to its end, over all its attempts. */
export interface ReplicationRecord {
  readonly jobId: string;
  readonly pd: string;
  readonly pointId: string;
  readonly sourceSite: string;
  readonly targetSite: string;
  readonly started: Instant;
  readonly ended: Instant | undefined;
  readonly outcome: "completed" | "failed" | "unfinished";
  readonly ledger: ByteLedger;
  /** Kills, pauses and cuts that it met: leaders, workers, links. */
  readonly interruptions: readonly { readonly at: Instant; readonly what: string }[];
  /** Stored bytes of chunks and nodes that left the source, counted outside of it; all attempts. */
  readonly wirePayloadBytes: number;
  /** Stored bytes of the distinct chunks and nodes among them. */
  readonly wireDistinctBytes: number;
  /**
   * Stored bytes of what was sent again although the target had answered that it has it before the
   * sender asked, and no machine of the target had failed meanwhile. Whatever was interrupted, there are none.
   */
  readonly wireRepeatedBytes: number;
  /** Bytes that one worker may have in flight, and workers of the job. */
  readonly windowBytes: number;
  readonly workers: number;
}

/**
 * A resource took an order that carried an epoch. Listed in the order in which it was taken.
 */
export interface Acceptance {
  /** Who took it: `oplog peer 3@A`, `cerebro worker 2@A`, … One that lost its disk is another. */
  readonly resource: string;
  /** What the epoch counts: `owner of v1@A`, `cerebro leader@A`, …; one node has an epoch of it. */
  readonly token: string;
  /** Identity of the coordinator the epoch comes from; epochs of two are not comparable. */
  readonly incarnation: string;
  readonly epoch: number;
  /** Who gave the order; `undefined` when it came through another's hands. */
  readonly node: string | undefined;
  /** The order names an identity that no coordinator of its site had until then. */
  readonly isForged?: boolean;
  readonly at: Instant;
  /** When whoever gave it was told; `undefined` where it is taken at once. */
  readonly answered?: Instant;
}

/** A site became the active one of a protection domain. */
export interface Activation {
  readonly pd: string;
  readonly generation: number;
  readonly site: string;
  readonly at: Instant;
  /** Planned: the old site agreed to stop, so nothing may be acknowledged there any more. */
  readonly isPlanned: boolean;
}

/** A fault, from when it was injected to when it was healed (`undefined`: never, or it is instantaneous). */
export interface FaultRecord {
  /** Class of the catalogue, `F1` to `F30`. */
  readonly kind: string;
  readonly what: string;
  /** Sites whose own machines it touches; empty for a fault of the links between sites. */
  readonly sites: readonly string[];
  /** For a fault of links between sites: is at least one direction between these two cut or slow? */
  readonly link: { readonly from: string; readonly to: string } | undefined;
  readonly from: Instant;
  readonly until: Instant | undefined;
}

/** An error that a client or an operator was given. */
export interface ErrorRecord {
  readonly at: Instant;
  readonly actor: string;
  readonly operation: string;
  readonly code: string;
  readonly message: string;
}

/** What happened after all faults were healed, once. */
export interface Convergence {
  readonly healed: Instant;
  /** Virtual time that was given for it. */
  readonly budgetMs: number;
  /** Everything that had to come to an end; `settled` when it did. */
  readonly duties: readonly {
    /** Job, replica set, protection domain, …: `job 17`, `vdisk v1 has RF copies`. */
    readonly name: string;
    readonly settled: Instant | undefined;
    /** Its last known state, for the verdict's text. */
    readonly state: string;
  }[];
}

/** Everything that is known of one run. */
export interface RunRecord {
  readonly seed: number;
  readonly branches: readonly Branch[];
  readonly reads: readonly ReadRecord[];
  readonly points: readonly RecoveryPointRecord[];
  readonly readings: readonly PointReading[];
  readonly catalogues: readonly PointCatalogue[];
  /** Points whose deletion somebody asked for, whatever the answer was. */
  readonly deletedPointIds: readonly string[];
  readonly finals: readonly FinalImage[];
  readonly replications: readonly ReplicationRecord[];
  readonly acceptances: readonly Acceptance[];
  readonly activations: readonly Activation[];
  readonly faults: readonly FaultRecord[];
  readonly errors: readonly ErrorRecord[];
  /** One each time that faults had ended; none when the run ended before it tried. */
  readonly convergences: readonly Convergence[];
}

/** One half of a witness: enough to find it in a trace. */
export interface WitnessItem {
  /** A sentence part: `write 17 to vdisk v1 slot 4`, `recovery point rp3 at B`. */
  readonly what: string;
  readonly vdisk?: string;
  readonly lba?: number;
  readonly gseq?: number;
  readonly at?: Instant;
}

/** Two things that cannot both be; for a fault of one thing, that thing and what it had to be. */
export interface Witness {
  /** Which rule they break, a stable word: `missing-acknowledged`, `torn`, `two-nodes-of-an-epoch`, … */
  readonly kind: string;
  readonly found: WitnessItem;
  readonly against: WitnessItem;
}

/** `vacuous`: there was nothing to examine, so nothing was shown. */
export interface Verdict {
  /** `P1` to `P9`. */
  readonly promise: string;
  readonly name: string;
  readonly verdict: "held" | "violated" | "vacuous";
  /** How many things were looked at: slots, pairs, bytes' owners; the text says which. */
  readonly examined: number;
  /** Of the first violation in the record's order. */
  readonly witness?: Witness;
  readonly text: string;
}
