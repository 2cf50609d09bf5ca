/**
 * Every CVM that may hold a copy of a deleted vDisk's oplog forgets it. The transaction that deletes a
 * vDisk leaves a note for each CVM of the site; each CVM carries its own notes out and removes them, now
 * or when it is back.
 *
 * Forgetting loses data when it is wrong, so it takes a note, never an absence: a view that is late, or an
 * etcd that was wiped, has no note.
 * F1 a note is carried out only when etcd, asked in one transaction, knows neither the vDisk nor an owner
 *    of that id (ids are never used again);
 * F2 not before NOTE_REST_MS after this CVM first saw it, and not while this CVM serves the vDisk: an owner
 *    whose view is late would otherwise fill a new copy after the old one was forgotten;
 * F3 a note is removed only after the forgetting is synced.
 */

import { codeOf, messageOf } from "../../base/errors.ts";
import { vdiskId as asVdiskId, type VdiskId } from "../../base/ids.ts";
import { siteKeys } from "../../base/siteRecords.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import type { Log } from "../../platform/log.ts";
import type { OplogReplicas } from "../oplog/contracts.ts";

/** How often a CVM looks for notes: one small read of etcd. */
const LOOK_EVERY_MS = 10_000;
/** Longer than any view of an owner is late (it is listed anew every 5 s), as long as etcd answers it. */
const NOTE_REST_MS = 15_000;
/** Notes that one look carries out; the rest follows with the next. */
const NOTES_A_LOOK = 256;

export interface ForgettingWorld {
  readonly cvm: number;
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Log;
  readonly replicas: OplogReplicas;
  /** Is the vDisk served by this CVM? */
  isServed(id: string): boolean;
}

/** Looks for notes until it is closed. */
export function startForgetting(world: ForgettingWorld): { close(): void } {
  const { clock, log } = world;
  /** When each note was first seen, monotonic. */
  let seen = new Map<string, number>();
  let timer: Timer | undefined;
  let closed = false;

  const look = async (): Promise<void> => {
    const prefix = siteKeys.deletedVdisks(world.cvm);
    const { entries } = await world.coordinator.list(prefix);
    const ids = entries.slice(0, NOTES_A_LOOK).map((entry) => entry.key.slice(prefix.length));
    seen = new Map(ids.map((id) => [id, seen.get(id) ?? clock.now()]));
    for (const [id, sinceMs] of seen) {
      if (closed || clock.now() < sinceMs + NOTE_REST_MS || world.isServed(id)) continue;
      await carryOut(world, asVdiskId(id));
    }
  };
  const run = (): void => {
    look()
      .catch((error: unknown) => {
        const level = codeOf(error) === "COORDINATOR_UNAVAILABLE" ? "debug" : "warn";
        log[level](
          { event: "oplog.forgetFailed", reason: messageOf(error) },
          "oplogs of deleted vdisks are still there",
        );
      })
      .finally(schedule);
  };
  const schedule = (): void => {
    if (!closed) timer = clock.after(LOOK_EVERY_MS, run);
  };
  schedule();
  return {
    close() {
      closed = true;
      timer?.cancel();
    },
  };
}

async function carryOut(world: ForgettingWorld, id: VdiskId): Promise<void> {
  const { coordinator, replicas, log, cvm } = world;
  const note = siteKeys.deletedVdisk(cvm, id);
  const { succeeded: isGone } = await coordinator.transact({
    when: [siteKeys.vdisk(id), siteKeys.owner(id)].map((key) => ({
      kind: "createRevision",
      key,
      equals: 0,
    })),
    then: [{ kind: "get", key: note }],
  });
  if (!isGone) {
    log.error({ event: "oplog.noteWrong", vdisk: id }, "a vdisk that lives is noted as deleted");
    return;
  }
  await replicas.forget(id);
  await coordinator.transact({ when: [], then: [{ kind: "delete", key: note }] });
  log.info({ event: "oplog.forgotten", vdisk: id }, "oplog of a deleted vdisk is gone");
}
