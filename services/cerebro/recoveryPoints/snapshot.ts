/**
 * From a request to a signed recovery point. The way is in etcd at every moment, so that another
 * leader can go on:
 *
 *   nothing → pending "cutting" → pending "marked" → recovery point
 *
 * - "cutting": nobody knows whether the markers are one instant. Whoever finds it begins a new
 *   attempt under a new cut id; the old attempt's records go in the same transaction (void).
 * - "marked": the markers count. Only the roots are awaited, which the drains write when they pass.
 * The id of the recovery point comes from the request's id: a repeated request finds what it made.
 */

import { AntipodeError, codeOf } from "../../base/errors.ts";
import {
  type CutRecord,
  type CutRootRecord,
  isName,
  type RecoveryPointRecord,
  siteKeys,
} from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import {
  CONFLICTS_MAX,
  CUT_ATTEMPTS_MAX,
  CUT_BACKOFF_MS,
  CUT_BACKOFF_MS_MAX,
  CUT_ROOTS_WAIT_MS_MAX,
  POINTS_PER_PD_MAX,
  POLL_MS,
} from "../limits.ts";
import { membersOf } from "../protection/groups.ts";
import { nextPdState } from "../protection/pdMachine.ts";
import { readPd } from "../protection/pds.ts";
import type { SiteKey } from "../remote/identity.ts";
import { checkName, freshId, idOfRequest, type Site } from "../site.ts";
import { cerebroKeys, type PdRecord, type PendingCutRecord } from "../state/records.ts";
import {
  absent,
  commit,
  deleteKey,
  deletePrefix,
  listRecords,
  putRecord,
  readRecord,
  type Stored,
  staleTerm,
  unchanged,
} from "../state/store.ts";
import { backoffMs, Wakeup } from "../state/wakeup.ts";
import { attemptCut } from "./cut.ts";
import { listPoints } from "./points.ts";
import { signPoint } from "./signature.ts";

export interface SnapshotOrder {
  readonly pd: string;
  /** "" for the next number. */
  readonly name: string;
  readonly requestId: string;
}

/**
 * Cuts the protection domain and waits until its recovery point is written.
 * @throws AntipodeError `PD_NOT_FOUND`, `PD_EMPTY`, `PD_NOT_ACTIVE`, `RECOVERY_POINT_EXISTS`, `CUT_VOID`
 */
export async function takeSnapshot(
  site: Site,
  term: Term,
  key: SiteKey,
  order: SnapshotOrder,
): Promise<RecoveryPointRecord> {
  const pointId = idOfRequest(site, "recovery-point", order.requestId);
  const made = await readMade(site, pointId);
  if (made !== undefined && made.protectionDomain !== order.pd)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the request id was used for the protection domain ${made.protectionDomain}`,
      { pd: order.pd },
    );
  if (made !== undefined) return made;
  await begin(site, term, pointId, order);
  return await driveCut(site, term, key, pointId);
}

async function readMade(site: Site, pointId: string): Promise<RecoveryPointRecord | undefined> {
  const made = await readRecord<RecoveryPointRecord>(
    site.coordinator,
    siteKeys.recoveryPoint(pointId),
  );
  return made?.value;
}

/** Writes the pending record, unless an earlier leader has. */
async function begin(site: Site, term: Term, pointId: string, order: SnapshotOrder): Promise<void> {
  const pendingKey = cerebroKeys.pendingCut(pointId);
  if ((await readRecord(site.coordinator, pendingKey)) !== undefined) return;
  const pd = await readPd(site.coordinator, order.pd);
  nextPdState(pd.value, "cut");
  const members = membersOf(pd.value.groups);
  if (members.length === 0)
    throw new AntipodeError("PD_EMPTY", `the protection domain ${order.pd} has no vDisk`, {
      pd: order.pd,
    });
  const { name, next } = await chooseName(site, pd.value, order.name);
  const pending: PendingCutRecord = {
    pointId,
    pd: order.pd,
    name,
    members,
    cutId: "",
    attempt: 0,
    state: "cutting",
    generation: pd.value.generation,
    createdAtMs: 0,
    holdMs: 0,
  };
  const numbered: PdRecord = { ...pd.value, nextPointNumber: next };
  await commit(
    site.coordinator,
    term,
    [unchanged(pd), absent(pendingKey), absent(siteKeys.recoveryPoint(pointId))],
    [putRecord(pendingKey, pending), putRecord(pd.key, numbered)],
  );
}

/** A name that no point of the domain has, pending ones included. */
async function chooseName(
  site: Site,
  pd: PdRecord,
  wanted: string,
): Promise<{ readonly name: string; readonly next: number }> {
  const points = await listPoints(site.coordinator, pd.name);
  if (points.length >= POINTS_PER_PD_MAX)
    throw new AntipodeError(
      "OVERLOADED",
      `the protection domain ${pd.name} has ${points.length} recovery points; delete some first`,
      { pd: pd.name },
    );
  const pending = await listRecords<PendingCutRecord>(site.coordinator, cerebroKeys.pendingCuts);
  const taken = new Set([
    ...points.map((point) => point.value.name),
    ...pending.filter((cut) => cut.value.pd === pd.name).map((cut) => cut.value.name),
  ]);
  if (wanted !== "") {
    checkName("the recovery point", wanted, isName(wanted));
    if (taken.has(wanted))
      throw new AntipodeError(
        "RECOVERY_POINT_EXISTS",
        `the protection domain ${pd.name} has a recovery point ${wanted} already`,
        { pd: pd.name, recoveryPoint: wanted },
      );
    return { name: wanted, next: pd.nextPointNumber };
  }
  let number = pd.nextPointNumber;
  while (taken.has(`rp-${number}`)) number += 1;
  return { name: `rp-${number}`, next: number + 1 };
}

/**
 * Takes a pending cut to its recovery point, wherever an earlier leader left it.
 * @throws AntipodeError `CUT_VOID` after all attempts; the pending record is gone then
 */
export async function driveCut(
  site: Site,
  term: Term,
  key: SiteKey,
  pointId: string,
): Promise<RecoveryPointRecord> {
  let failures = 0;
  for (let step = 0; step < CONFLICTS_MAX + CUT_ATTEMPTS_MAX; step++) {
    const pending = await readRecord<PendingCutRecord>(
      site.coordinator,
      cerebroKeys.pendingCut(pointId),
    );
    if (pending === undefined) {
      const made = await readMade(site, pointId);
      if (made !== undefined) return made;
      throw voidError("the cut was given up", pointId);
    }
    try {
      if (pending.value.state === "marked") return await finish(site, term, key, pending);
      const why = await tryCut(site, term, pending);
      if (why === undefined) continue;
      failures += 1;
      if (failures >= CUT_ATTEMPTS_MAX) await giveUp(site, term, pointId, why);
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_CONFLICT") throw error;
      failures += 1;
    }
    await site.clock.sleep(backoffMs(failures, CUT_BACKOFF_MS, CUT_BACKOFF_MS_MAX), term.signal);
  }
  throw voidError("too many attempts", pointId);
}

/**
 * One attempt under a new cut id; what is left of the one before goes.
 * @returns why it was void, or `undefined` when the markers count
 */
async function tryCut(
  site: Site,
  term: Term,
  pending: Stored<PendingCutRecord>,
): Promise<string | undefined> {
  const cutId = freshId(site);
  const vdiskIds = pending.value.members.map((member) => member.vdiskId);
  const record: CutRecord = { cutId, vdiskIds };
  const attempt: PendingCutRecord = {
    ...pending.value,
    cutId,
    attempt: pending.value.attempt + 1,
  };
  const { revision } = await commit(
    site.coordinator,
    term,
    [unchanged(pending)],
    [
      ...withoutCut(pending.value),
      putRecord(pending.key, attempt),
      putRecord(siteKeys.cut(cutId), record),
    ],
  );
  const outcome = await attemptCut(site, term, { cutId, vdiskIds });
  if (outcome.kind === "void") {
    site.log.warn(
      { event: "cut.void", pd: attempt.pd, attempt: attempt.attempt, why: outcome.why },
      "cut was void",
    );
    const code = codeOf(outcome.error);
    // Nothing that a later attempt could change: tell the caller now.
    if (code === "VDISK_NOT_FOUND" || code === "STALE_EPOCH") {
      if (code === "VDISK_NOT_FOUND") await dropPending(site, term, attempt.pointId);
      throw outcome.error;
    }
    return outcome.why;
  }
  const marked: PendingCutRecord = {
    ...attempt,
    state: "marked",
    holdMs: outcome.holdMs,
    createdAtMs: outcome.createdAtMs,
  };
  await commit(
    site.coordinator,
    term,
    [{ kind: "modRevision", key: pending.key, equals: revision }],
    [putRecord(pending.key, marked)],
  );
  site.log.info(
    { event: "cut.valid", pd: attempt.pd, holdMs: outcome.holdMs, vdisks: vdiskIds.length },
    "cut is valid",
  );
  return undefined;
}

const withoutCut = (pending: PendingCutRecord) =>
  pending.cutId === ""
    ? []
    : [deleteKey(siteKeys.cut(pending.cutId)), deletePrefix(siteKeys.cutRoots(pending.cutId))];

async function dropPending(site: Site, term: Term, pointId: string): Promise<void> {
  const pending = await readRecord<PendingCutRecord>(
    site.coordinator,
    cerebroKeys.pendingCut(pointId),
  );
  if (pending === undefined) return;
  await commit(
    site.coordinator,
    term,
    [unchanged(pending)],
    [...withoutCut(pending.value), deleteKey(pending.key)],
  );
}

async function giveUp(site: Site, term: Term, pointId: string, why: string): Promise<never> {
  await dropPending(site, term, pointId);
  throw voidError(why, pointId);
}

const voidError = (why: string, pointId: string): AntipodeError =>
  new AntipodeError("CUT_VOID", `no recovery point was taken: ${why}`, { pointId });

/** Waits for the roots, then writes the signed record together with the domain's new head. */
async function finish(
  site: Site,
  term: Term,
  key: SiteKey,
  pending: Stored<PendingCutRecord>,
): Promise<RecoveryPointRecord> {
  const cut = pending.value;
  const roots = await awaitRoots(site, term, cut);
  if (roots === undefined)
    return await giveUp(site, term, cut.pointId, "the drains did not pass the markers in time");
  for (let conflict = 0; conflict < CONFLICTS_MAX; conflict++) {
    const pd = await readPd(site.coordinator, cut.pd);
    // The domain was activated elsewhere meanwhile: the point is kept, beside the new lineage.
    const leads = pd.value.generation === cut.generation;
    const point = signPoint(site.signer, key.privateKey, {
      id: cut.pointId,
      name: cut.name,
      protectionDomain: cut.pd,
      generation: cut.generation,
      sourceSite: site.config.site,
      createdAtMs: cut.createdAtMs,
      parentId: leads ? pd.value.newestPointId : "",
      disks: cut.members.map((member, index) => ({
        ...member,
        sizeBytes: roots[index]?.sizeBytes ?? 0,
        root: roots[index]?.root ?? "",
        lsn: roots[index]?.lsn ?? 0,
      })),
      holdMs: cut.holdMs,
    });
    const headed: PdRecord = leads
      ? { ...pd.value, newestPointId: point.id, newestPointName: point.name }
      : pd.value;
    const pointKey = siteKeys.recoveryPoint(point.id);
    try {
      await commit(
        site.coordinator,
        term,
        [unchanged(pd), unchanged(pending), absent(pointKey)],
        [
          putRecord(pointKey, point),
          putRecord(pd.key, headed),
          deleteKey(pending.key),
          ...withoutCut(cut),
        ],
      );
      return point;
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_CONFLICT") throw error;
      const made = await readMade(site, cut.pointId);
      if (made !== undefined) return made;
    }
  }
  throw new AntipodeError(
    "COORDINATOR_CONFLICT",
    `the protection domain ${cut.pd} was changed too often at the same time`,
    { pd: cut.pd },
  );
}

/** The roots in the order of the members, or `undefined` when they did not come in time. */
async function awaitRoots(
  site: Site,
  term: Term,
  cut: PendingCutRecord,
): Promise<readonly CutRootRecord[] | undefined> {
  const prefix = siteKeys.cutRoots(cut.cutId);
  const wakeup = new Wakeup();
  const startedMs = site.clock.now();
  const { revision } = await site.coordinator.list(prefix);
  const watch = site.coordinator.watch(prefix, revision + 1, {
    onEvents: () => {
      wakeup.notify();
    },
    onCompacted: () => {
      wakeup.notify();
    },
  });
  try {
    while (site.clock.now() - startedMs < CUT_ROOTS_WAIT_MS_MAX) {
      if (term.signal.aborted) throw staleTerm(term);
      const found = new Map(
        (await listRecords<CutRootRecord>(site.coordinator, prefix)).map((root) => [
          root.key,
          root.value,
        ]),
      );
      const roots = cut.members.map((member) =>
        found.get(siteKeys.cutRoot(cut.cutId, member.vdiskId)),
      );
      if (roots.every((root) => root !== undefined)) return roots;
      await wakeup.wait(site.clock, POLL_MS, term.signal);
    }
    return undefined;
  } finally {
    watch.cancel();
  }
}
