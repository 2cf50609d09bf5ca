/**
 * Compares a writer's record with the disks that are there now: the one comparison that the drill, the
 * chaos runs and `antipode audit` make. It loads the record, opens a disk for each of its vDisks, reads
 * every slot, and gives the report.
 */

import { AntipodeError } from "../base/errors.ts";
import type { Disk } from "../platform/disk.ts";
import { type AuditInput, auditImage } from "./audit.ts";
import type { AuditReport } from "./auditReport.ts";
import type { Slot } from "./generator.ts";
import { createImageReader } from "./imageReader.ts";
import { type Journal, loadJournal } from "./journal.ts";
import type { NbdClient, NbdWorld } from "./nbdConnection.ts";
import type { NbdTarget } from "./nbdUri.ts";
import { openSteadyDisk } from "./steadyDisk.ts";

export interface RecordAudit extends Pick<AuditInput, "failedAtMicros" | "requiredBeforeMicros"> {
  /** Where the record lies, and its path there. */
  readonly disk: Disk;
  readonly path: string;
  /** Addresses of the disk that is to hold what the record says of this vDisk. */
  readonly targets: (vdisk: string) => Promise<readonly NbdTarget[]>;
  /** Names of vDisks; by default all of the record. */
  readonly only?: ReadonlySet<string>;
  readonly onProgress?: (doneSlots: number, totalSlots: number) => void;
}

/**
 * Audits a record. When the source was lost is by default the last acknowledgement: nothing is known
 * of a source after it.
 * @throws AntipodeError `FORMAT_UNSUPPORTED` for a file that is no record; of the disks; and
 *   `INVALID_ARGUMENT` when `only` names a vDisk that the record does not know
 */
export async function auditRecord(world: NbdWorld, plan: RecordAudit): Promise<AuditReport> {
  const journal = restricted(await loadJournal(plan.disk, plan.path), plan.only);
  const clients = new Map<number, NbdClient>();
  try {
    for (const { id, name } of journal.header.vdisks)
      clients.set(id, await openSteadyDisk(world, await plan.targets(name)));
    const failedAtMicros = plan.failedAtMicros ?? lastAcknowledged(journal);
    const { requiredBeforeMicros } = plan;
    return await auditImage([
      {
        journal,
        readSlot: counted(createImageReader(clients), journal, plan.onProgress),
        ...(failedAtMicros === undefined ? {} : { failedAtMicros }),
        ...(requiredBeforeMicros === undefined ? {} : { requiredBeforeMicros }),
      },
    ]);
  } finally {
    for (const client of clients.values()) await client.close();
  }
}

/** The record of some of its vDisks: what it says of the others is left out. */
function restricted(journal: Journal, only: ReadonlySet<string> | undefined): Journal {
  if (only === undefined) return journal;
  const known = journal.header.vdisks;
  const unknown = [...only].find((name) => !known.some((vdisk) => vdisk.name === name));
  if (unknown !== undefined)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the record knows no vDisk "${unknown}"; it knows ${known.map(({ name }) => name).join(", ")}`,
      { vdisk: unknown },
    );
  const vdisks = known.filter(({ name }) => only.has(name));
  const ids = new Set(vdisks.map(({ id }) => id));
  const records = journal.records.filter(
    ({ kind, vdiskId }) => kind === "session" || kind === "end" || ids.has(vdiskId),
  );
  return { ...journal, header: { ...journal.header, vdisks }, records };
}

function lastAcknowledged(journal: Journal): number | undefined {
  return journal.records.findLast(({ kind }) => kind === "ack")?.timeMicros;
}

function counted(
  read: (slot: Slot) => Promise<Uint8Array>,
  journal: Journal,
  onProgress: RecordAudit["onProgress"],
): (slot: Slot) => Promise<Uint8Array> {
  if (onProgress === undefined) return read;
  const total = journal.header.vdisks.reduce((sum, { slots }) => sum + slots, 0);
  let done = 0;
  return (slot) => {
    done += 1;
    onProgress(done, total);
    return read(slot);
  };
}
