/**
 * Protection domains as records: creating, deleting, and which vDisks are members. Runs at the
 * leader, one request a domain at a time; every write is guarded by the seat and by what was read.
 */

import { fromUtf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { isName, siteKeys, type VdiskRecord } from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Compare, Coordinator, Operation } from "../../platform/coordinator.ts";
import { listPoints } from "../recoveryPoints/points.ts";
import { checkName, type Site } from "../site.ts";
import {
  cerebroKeys,
  type JobRecord,
  type MemberRecord,
  type PdRecord,
  type PendingCutRecord,
} from "../state/records.ts";
import {
  absent,
  commit,
  deleteKey,
  listRecords,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";
import { addMembers, DEFAULT_GROUP, groupOf, membersOf, removeMembers } from "./groups.ts";
import { nextPdState } from "./pdMachine.ts";

/**
 * @throws AntipodeError `PD_NOT_FOUND`
 */
export async function readPd(coordinator: Coordinator, name: string): Promise<Stored<PdRecord>> {
  const pd = await readRecord<PdRecord>(coordinator, cerebroKeys.pd(name));
  if (pd === undefined)
    throw new AntipodeError("PD_NOT_FOUND", `there is no protection domain ${name} here`, {
      pd: name,
    });
  return pd;
}

/** A domain without members; its generation says whether it was ever active here. */
export function newPd(
  name: string,
  fields: Pick<PdRecord, "state" | "generation" | "sourceSite" | "createdAtMs" | "requestId">,
): PdRecord {
  return {
    name,
    groups: [],
    newestPointId: "",
    newestPointName: "",
    nextPointNumber: 1,
    lastActivation: undefined,
    ...fields,
  };
}

/**
 * @throws AntipodeError `NAME_INVALID`, `PD_EXISTS` unless the same request made it
 */
export async function createPd(
  site: Site,
  term: Term,
  order: { readonly name: string; readonly requestId: string },
): Promise<PdRecord> {
  checkName("the protection domain", order.name, isName(order.name));
  const key = cerebroKeys.pd(order.name);
  const before = await readRecord<PdRecord>(site.coordinator, key);
  if (before !== undefined) {
    if (before.value.requestId === order.requestId) return before.value;
    throw new AntipodeError("PD_EXISTS", `there is a protection domain ${order.name} already`, {
      pd: order.name,
    });
  }
  const pd = newPd(order.name, {
    state: "active",
    generation: 1,
    sourceSite: site.config.site,
    createdAtMs: site.clock.wall(),
    requestId: order.requestId,
  });
  await commit(site.coordinator, term, [absent(key)], [putRecord(key, pd)]);
  return pd;
}

/**
 * @throws AntipodeError `PD_IN_USE` while it has members, recovery points or jobs
 */
export async function deletePd(site: Site, term: Term, name: string): Promise<void> {
  const pd = await readPd(site.coordinator, name);
  nextPdState(pd.value, "delete");
  const points = await listPoints(site.coordinator, name);
  const jobs = await listRecords<JobRecord>(site.coordinator, cerebroKeys.jobs);
  const cuts = await listRecords<PendingCutRecord>(site.coordinator, cerebroKeys.pendingCuts);
  const uses: readonly (readonly [number, string])[] = [
    [membersOf(pd.value.groups).length, "vDisks"],
    [points.length, "recovery points"],
    [jobs.filter(({ value }) => value.pd === name && !isEnded(value.state)).length, "open jobs"],
    [cuts.filter(({ value }) => value.pd === name).length, "cuts under way"],
  ];
  const used = uses.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  if (used.length > 0)
    throw new AntipodeError(
      "PD_IN_USE",
      `the protection domain ${name} still has ${used.join(", ")}`,
      { pd: name },
    );
  await commit(site.coordinator, term, [unchanged(pd)], [deleteKey(pd.key)]);
}

/**
 * Adds vDisks to a consistency group; those that are in it stay.
 * @throws AntipodeError `VDISK_NOT_FOUND`, `VDISK_IN_USE` when another domain has it, `PD_NOT_ACTIVE`
 */
export async function protect(
  site: Site,
  term: Term,
  order: { readonly pd: string; readonly group: string; readonly vdisks: readonly string[] },
): Promise<PdRecord> {
  const group = order.group === "" ? DEFAULT_GROUP : order.group;
  checkName("the consistency group", group, isName(group));
  if (order.vdisks.length === 0)
    throw new AntipodeError("INVALID_ARGUMENT", "name at least one vDisk to protect");
  const pd = await readPd(site.coordinator, order.pd);
  nextPdState(pd.value, "protect");
  const when: Compare[] = [unchanged(pd)];
  const then: Operation[] = [];
  const added: MemberRecord[] = [];
  for (const name of order.vdisks) {
    const vdisk = await findVdisk(site.coordinator, name);
    added.push({ vdiskId: vdisk.value.id, vdiskName: name });
    if (groupOf(pd.value.groups, vdisk.value.id) !== undefined) continue;
    const key = siteKeys.protectedVdisk(vdisk.value.id);
    const holder = await readRecord<{ readonly pd: string }>(site.coordinator, key);
    if (holder !== undefined)
      throw new AntipodeError(
        "VDISK_IN_USE",
        `the vDisk ${name} is in the protection domain ${holder.value.pd}`,
        { vdisk: name, pd: holder.value.pd },
      );
    if (when.some((compare) => compare.key === key)) continue;
    when.push(unchanged(vdisk), absent(key));
    then.push(putRecord(key, { pd: order.pd }));
  }
  const changed: PdRecord = { ...pd.value, groups: addMembers(pd.value.groups, group, added) };
  if (then.length === 0) return changed;
  await commit(site.coordinator, term, when, [...then, putRecord(pd.key, changed)]);
  return changed;
}

/**
 * Takes vDisks out of the domain; their recovery points stay.
 * @throws AntipodeError `VDISK_NOT_FOUND` when one is no member
 */
export async function unprotect(
  site: Site,
  term: Term,
  order: { readonly pd: string; readonly vdisks: readonly string[] },
): Promise<PdRecord> {
  const pd = await readPd(site.coordinator, order.pd);
  nextPdState(pd.value, "unprotect");
  const { groups, removed } = removeMembers(pd.value.groups, order.vdisks);
  const missing = order.vdisks.find((name) => !removed.some((one) => one.vdiskName === name));
  if (missing !== undefined)
    throw new AntipodeError(
      "VDISK_NOT_FOUND",
      `the vDisk ${missing} is not in the protection domain ${order.pd}`,
      { vdisk: missing, pd: order.pd },
    );
  const changed: PdRecord = { ...pd.value, groups };
  await commit(
    site.coordinator,
    term,
    [unchanged(pd)],
    [
      putRecord(pd.key, changed),
      ...removed.map((member) => deleteKey(siteKeys.protectedVdisk(member.vdiskId))),
    ],
  );
  return changed;
}

/**
 * The record of a vDisk of this site, by name.
 * @throws AntipodeError `VDISK_NOT_FOUND`
 */
async function findVdisk(coordinator: Coordinator, name: string): Promise<Stored<VdiskRecord>> {
  const id = isName(name) ? await coordinator.get(siteKeys.vdiskName(name)) : undefined;
  const vdisk =
    id === undefined
      ? undefined
      : await readRecord<VdiskRecord>(coordinator, siteKeys.vdisk(fromUtf8(id.value)));
  if (vdisk === undefined)
    throw new AntipodeError("VDISK_NOT_FOUND", `there is no vDisk ${name.slice(0, 80)} here`, {
      vdisk: name.slice(0, 80),
    });
  return vdisk;
}
