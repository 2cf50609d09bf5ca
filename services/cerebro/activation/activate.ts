/**
 * Activation (failover): makes an inactive domain active here, from one of its recovery points.
 *
 *   inactive → names free (setAside.ts) → activation record (generation + 1) → a clone a vDisk → active
 *
 * Every step can be repeated, by another leader too. The record is written in a transaction on the
 * absence of every vDisk name; a vDisk of such a name with exactly the root of the recovery point,
 * found later, is therefore the one that this activation made. Nothing is active before all clones
 * are there: one transaction makes the domain active, with its new members, or none of it (P4).
 */

import { AntipodeError, codeOf } from "../../base/errors.ts";
import {
  type ContainerRecord,
  type RecoveryPointRecord,
  siteKeys,
} from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { CONFLICTS_MAX, VDISK_DEADLINE_MS } from "../limits.ts";
import { addMembers, DEFAULT_GROUP } from "../protection/groups.ts";
import { nextPdState } from "../protection/pdMachine.ts";
import { readPd } from "../protection/pds.ts";
import { findPoint, listPoints } from "../recoveryPoints/points.ts";
import type { SiteKey } from "../remote/identity.ts";
import { callStargate, type Site } from "../site.ts";
import {
  type ActivationDisk,
  type ActivationRecord,
  type ActivationResult,
  cerebroKeys,
  type GroupRecord,
  type PdRecord,
  type ReceivedRecord,
} from "../state/records.ts";
import {
  absent,
  commit,
  deleteKey,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";
import { awaitViews, showCurrent } from "./lateViews.ts";
import { nameTaken, setAside } from "./setAside.ts";
import { askSource, tellSource } from "./source.ts";

export interface ActivateOrder {
  readonly pd: string;
  /** Id or name; "" for the newest. */
  readonly recoveryPoint: string;
  readonly force: boolean;
  readonly requestId: string;
}

/**
 * Activates the domain, or answers what the same request has done.
 * @throws AntipodeError `PD_NOT_FOUND`, `PD_ALREADY_ACTIVE` (here, or at the source without `force`),
 *   `RECOVERY_POINT_NOT_FOUND`, `RECOVERY_POINT_INCOMPLETE`, `VDISK_EXISTS`
 */
export async function activate(
  site: Site,
  term: Term,
  key: SiteKey,
  order: ActivateOrder,
): Promise<ActivationResult> {
  const pd = await readPd(site.coordinator, order.pd);
  const done = pd.value.lastActivation;
  if (pd.value.state === "active" && done?.requestId === order.requestId) return done;
  nextPdState(pd.value, "activate");
  const begun = await readRecord<ActivationRecord>(
    site.coordinator,
    cerebroKeys.activation(order.pd),
  );
  if (begun === undefined) await begin(site, term, key, pd, order);
  else if (begun.value.requestId !== order.requestId)
    site.log.warn(
      { event: "activation.joined", pd: order.pd, recoveryPoint: begun.value.recoveryPointId },
      "an activation that was begun before is finished first",
    );
  return await driveActivation(site, term, key, order.pd);
}

async function begin(
  site: Site,
  term: Term,
  key: SiteKey,
  pd: Stored<PdRecord>,
  order: ActivateOrder,
): Promise<void> {
  const point = await pointToActivate(site, pd.value, order.recoveryPoint);
  const received = await readRecord<ReceivedRecord>(
    site.coordinator,
    cerebroKeys.received(point.id),
  );
  const disks = disksOf(point, received?.value);
  await checkRoots(site, point, disks);
  const source = await askSource(site, term, key, pd.value, order.force);
  const generation = Math.max(pd.value.generation, source.generation, point.generation) + 1;
  const free = await setAside(site, term, { pd, disks, generation });
  const record: ActivationRecord = {
    pd: order.pd,
    requestId: order.requestId,
    recoveryPointId: point.id,
    generation,
    disks,
    warnings: [...source.warnings, ...free.warnings],
    sourceAnswered: source.answered,
  };
  const recordKey = cerebroKeys.activation(order.pd);
  await commit(
    site.coordinator,
    term,
    [
      unchanged(free.pd),
      absent(recordKey),
      ...disks.map((disk) => absent(siteKeys.vdiskName(disk.vdiskName))),
    ],
    [putRecord(recordKey, record)],
  );
}

async function pointToActivate(
  site: Site,
  pd: PdRecord,
  wanted: string,
): Promise<RecoveryPointRecord> {
  if (wanted !== "") return (await findPoint(site.coordinator, pd.name, wanted)).value;
  const newest =
    (await readRecord<RecoveryPointRecord>(
      site.coordinator,
      siteKeys.recoveryPoint(pd.newestPointId),
    )) ?? (await listPoints(site.coordinator, pd.name)).at(-1);
  if (newest !== undefined) return newest.value;
  throw new AntipodeError(
    "RECOVERY_POINT_NOT_FOUND",
    `the protection domain ${pd.name} has no recovery point here to activate from`,
    { pd: pd.name },
  );
}

function disksOf(
  point: RecoveryPointRecord,
  received: ReceivedRecord | undefined,
): readonly ActivationDisk[] {
  return point.disks.map((disk): ActivationDisk => {
    const placement = received?.placements.find((entry) => entry.vdiskId === disk.vdiskId);
    return {
      vdiskName: disk.vdiskName,
      sizeBytes: disk.sizeBytes,
      root: disk.root,
      group: placement?.group ?? DEFAULT_GROUP,
      container: placement?.container ?? "default",
      replicationFactor: placement?.replicationFactor ?? 1,
      compression: placement?.compression ?? true,
    };
  });
}

async function checkRoots(
  site: Site,
  point: RecoveryPointRecord,
  disks: readonly ActivationDisk[],
): Promise<void> {
  for (const disk of disks) {
    if (disk.root === "") continue;
    const { present: here } = await callStargate(
      site,
      VdiskService.locateRoot,
      { root: disk.root },
      VDISK_DEADLINE_MS,
    );
    if (!here)
      throw new AntipodeError(
        "RECOVERY_POINT_INCOMPLETE",
        `this site does not hold ${disk.vdiskName} of the recovery point ${point.name}`,
        { recoveryPoint: point.id, vdisk: disk.vdiskName },
      );
  }
}

/** Finishes an activation that was begun, wherever an earlier leader left it. */
export async function driveActivation(
  site: Site,
  term: Term,
  key: SiteKey,
  name: string,
): Promise<ActivationResult> {
  const recordKey = cerebroKeys.activation(name);
  for (let conflict = 0; conflict < CONFLICTS_MAX; conflict++) {
    const begun = await readRecord<ActivationRecord>(site.coordinator, recordKey);
    const pd = await readPd(site.coordinator, name);
    if (begun === undefined) {
      if (pd.value.lastActivation !== undefined) return pd.value.lastActivation;
      throw new AntipodeError("COORDINATOR_CONFLICT", `the activation of ${name} is gone`);
    }
    const vdisks = [];
    try {
      for (const disk of begun.value.disks)
        vdisks.push({
          vdiskId: await makeClone(site, disk),
          vdiskName: disk.vdiskName,
          root: disk.root,
        });
    } catch (error) {
      // A name that somebody took in between: the activation is given up, readably.
      if (codeOf(error) === "VDISK_EXISTS")
        await commit(site.coordinator, term, [unchanged(begun)], [deleteKey(recordKey)]);
      throw error;
    }
    const result: ActivationResult = {
      requestId: begun.value.requestId,
      recoveryPointId: begun.value.recoveryPointId,
      vdisks,
      warnings: begun.value.warnings,
    };
    const hadMembers = pd.value.groups.some((group) => group.members.length > 0);
    if (hadMembers) await awaitViews(site, vdisks);
    try {
      await becomeActive(site, term, pd, begun, result);
    } catch (error) {
      if (codeOf(error) === "COORDINATOR_CONFLICT") continue;
      throw error;
    }
    if (begun.value.sourceAnswered)
      await tellSource(site, term, key, pd.value, begun.value.generation);
    return result;
  }
  throw new AntipodeError(
    "COORDINATOR_CONFLICT",
    `the protection domain ${name} was changed too often at the same time`,
    { pd: name },
  );
}

/** @returns the id of the vDisk that this activation made, now or before */
async function makeClone(site: Site, disk: ActivationDisk): Promise<string> {
  await ensureContainer(site, disk);
  try {
    const made = await callStargate(
      site,
      VdiskService.createVdisk,
      {
        name: disk.vdiskName,
        container: disk.container,
        sizeBytes: disk.sizeBytes,
        root: disk.root,
        source: "",
      },
      VDISK_DEADLINE_MS,
    );
    return made.id;
  } catch (error) {
    if (codeOf(error) !== "VDISK_EXISTS") throw error;
    const found = await showCurrent(site, disk.vdiskName);
    const ours =
      found.root === disk.root && found.sizeBytes === disk.sizeBytes && found.drainedLsn === 0;
    if (!ours) throw nameTaken(disk.vdiskName);
    return found.id;
  }
}

async function ensureContainer(site: Site, disk: ActivationDisk): Promise<void> {
  const key = siteKeys.container(disk.container);
  if ((await readRecord<ContainerRecord>(site.coordinator, key)) !== undefined) return;
  try {
    await callStargate(
      site,
      VdiskService.createContainer,
      {
        name: disk.container,
        replicationFactor: disk.replicationFactor,
        compression: disk.compression,
      },
      VDISK_DEADLINE_MS,
    );
  } catch (error) {
    if (codeOf(error) !== "CONTAINER_EXISTS") throw error;
  }
}

async function becomeActive(
  site: Site,
  term: Term,
  pd: Stored<PdRecord>,
  begun: Stored<ActivationRecord>,
  result: ActivationResult,
): Promise<void> {
  const point = await readRecord<RecoveryPointRecord>(
    site.coordinator,
    siteKeys.recoveryPoint(begun.value.recoveryPointId),
  );
  let groups: readonly GroupRecord[] = [];
  for (const [index, member] of result.vdisks.entries())
    groups = addMembers(groups, begun.value.disks[index]?.group ?? DEFAULT_GROUP, [member]);
  const former = pd.value.groups.flatMap((group) => group.members);
  const active: PdRecord = {
    ...pd.value,
    state: nextPdState(pd.value, "activate"),
    generation: Math.max(begun.value.generation, pd.value.generation + 1),
    groups: groups.map((group) => ({
      ...group,
      members: group.members.map(({ vdiskId, vdiskName }) => ({ vdiskId, vdiskName })),
    })),
    // The lineage goes on from the point that was activated, not from the newest.
    newestPointId: begun.value.recoveryPointId,
    newestPointName: point?.value.name ?? pd.value.newestPointName,
    sourceSite: site.config.site,
    lastActivation: result,
  };
  await commit(
    site.coordinator,
    term,
    [unchanged(pd), unchanged(begun)],
    [
      putRecord(pd.key, active),
      deleteKey(begun.key),
      ...former
        .filter((old) => !result.vdisks.some((made) => made.vdiskId === old.vdiskId))
        .map((old) => deleteKey(siteKeys.protectedVdisk(old.vdiskId))),
      ...result.vdisks.map((made) =>
        putRecord(siteKeys.protectedVdisk(made.vdiskId), { pd: pd.value.name }),
      ),
    ],
  );
  site.log.info(
    {
      event: "pd.activated",
      pd: pd.value.name,
      generation: active.generation,
      vdisks: result.vdisks.length,
    },
    "protection domain is active here",
  );
}
