/**
 * The target's side: what this site answers to the leaders of other sites. Runs at the leader only.
 * A sender is who its pinned key says; the highest epoch of its leaders is kept with the identity,
 * and written in the same transaction as the effect, so that a replaced leader changes nothing here.
 */

import { present } from "../../base/assert.ts";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import {
  type ContainerRecord,
  type RecoveryPointRecord,
  siteKeys,
} from "../../base/siteRecords.ts";
import type { Infer } from "../../base/wire.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Compare, Operation } from "../../platform/coordinator.ts";
import type {
  DeactivateRequest,
  HelloRequest,
  HelloResponse,
  RecordRecoveryPointRequest,
  RecoveryPointsOfRequest,
  RecoveryPointsOfResponse,
  Sender,
  Standing,
} from "../../platform/wire/remoteCerebro.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { CONFLICTS_MAX, VDISK_DEADLINE_MS } from "../limits.ts";
import { nextPdState } from "../protection/pdMachine.ts";
import { newPd } from "../protection/pds.ts";
import { heed, standingOf } from "../protection/standings.ts";
import { listPoints } from "../recoveryPoints/points.ts";
import { isSignedBy } from "../recoveryPoints/signature.ts";
import { callStargate, type Site } from "../site.ts";
import { cerebroKeys, type PdRecord, type ReceivedRecord } from "../state/records.ts";
import { absent, commit, putRecord, readRecord, unchanged } from "../state/store.ts";
import type { SiteKey } from "./identity.ts";
import { pinPeer, publicKeyOf, readPeer } from "./remotes.ts";

interface Fence {
  readonly when: readonly Compare[];
  readonly operations: readonly Operation[];
}

/**
 * Checks who speaks, and with which epoch.
 * @throws AntipodeError `MESSAGE_INVALID`, `REMOTE_IDENTITY_CHANGED`, `STALE_EPOCH`
 */
async function fence(site: Site, sender: Sender | undefined): Promise<Fence> {
  if (sender === undefined || sender.site === "" || sender.publicKey.length === 0)
    throw new AntipodeError("MESSAGE_INVALID", "a request between sites does not name its sender");
  if (sender.site === site.config.site)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `a site of the name ${sender.site} cannot speak to a site of the same name`,
      { site: sender.site },
    );
  return await pinPeer(site.coordinator, sender, sender.epoch);
}

/** Writes what the fence asks for, before anything is answered or done. */
async function keepEpoch(site: Site, term: Term, sender: Sender | undefined): Promise<void> {
  await retryConflicts("the sender's epoch", async () => {
    const { when, operations } = await fence(site, sender);
    if (operations.length > 0) await commit(site.coordinator, term, when, operations);
  });
}

async function retryConflicts<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  for (let conflict = 1; ; conflict++) {
    try {
      return await attempt();
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_CONFLICT") throw error;
      if (conflict >= CONFLICTS_MAX)
        throw new AntipodeError("COORDINATOR_CONFLICT", `${what} changes too often`, {}, error);
    }
  }
}

/** Introduces the sites to each other and compares standings, both ways. */
export async function onHello(
  site: Site,
  term: Term,
  key: SiteKey,
  request: Infer<typeof HelloRequest>,
): Promise<Infer<typeof HelloResponse>> {
  await keepEpoch(site, term, request.sender);
  const standings: Standing[] = [];
  for (const other of request.standings) {
    await heed(site, term, other);
    standings.push(await standing(site, other.pd));
  }
  return {
    site: site.config.site,
    incarnation: site.config.siteIncarnation,
    publicKey: key.publicKey,
    memberCount: site.config.members.length,
    standings,
  };
}

async function standing(site: Site, name: string): Promise<Standing> {
  const pd = await readRecord<PdRecord>(site.coordinator, cerebroKeys.pd(name));
  return standingOf(name, pd?.value);
}

/** What this site holds of a domain, and how many copies it would keep. */
export async function onRecoveryPointsOf(
  site: Site,
  term: Term,
  request: Infer<typeof RecoveryPointsOfRequest>,
): Promise<Infer<typeof RecoveryPointsOfResponse>> {
  await keepEpoch(site, term, request.sender);
  const points = await listPoints(site.coordinator, request.pd);
  return {
    standing: await standing(site, request.pd),
    points: points.map(({ value }) => ({
      id: value.id,
      roots: value.disks.map((disk) => disk.root),
    })),
    containers: await Promise.all(
      request.containers.map(async ({ name, replicationFactor }) => ({
        name,
        replicationFactor: await copiesFor(site, name, replicationFactor),
      })),
    ),
  };
}

/** A container that exists decides; else the wish, as far as there are CVMs. */
async function copiesFor(site: Site, container: string, wish: number): Promise<number> {
  const known = await readRecord<ContainerRecord>(site.coordinator, siteKeys.container(container));
  return known?.value.replicationFactor ?? Math.min(Math.max(1, wish), site.config.members.length);
}

/**
 * Writes a recovery point of another site: only if the site that it names has signed it and every
 * root is here with all copies. Idempotent.
 * @throws AntipodeError `SIGNATURE_INVALID`, `RECOVERY_POINT_INCOMPLETE`, `PD_ALREADY_ACTIVE`, `STALE_EPOCH`,
 * `COORDINATOR_CONFLICT`
 */
export async function onRecordRecoveryPoint(
  site: Site,
  term: Term,
  request: Infer<typeof RecordRecoveryPointRequest>,
): Promise<Standing> {
  const point = request.recoveryPoint;
  if (point === undefined || !/^[0-9a-f]{32}$/.test(point.id))
    throw new AntipodeError("MESSAGE_INVALID", "a recovery point to record is missing or nameless");
  await keepEpoch(site, term, request.sender);
  await checkSignature(site, point, request.sender);
  await checkRoots(site, point, request);
  return await retryConflicts(`the protection domain ${point.protectionDomain}`, () =>
    writePoint(site, term, point, request),
  );
}

/** Recovery points are passed on as they are: the key is that of the site where it was cut. */
async function checkSignature(
  site: Site,
  point: RecoveryPointRecord,
  sender: Sender | undefined,
): Promise<void> {
  const peer = await readPeer(site.coordinator, point.sourceSite);
  // It was pinned a moment ago: etcd has lost it since, which says nothing of the point. It is sent again.
  if (peer === undefined && point.sourceSite === sender?.site)
    throw new AntipodeError(
      "COORDINATOR_CONFLICT",
      `what was known of the site ${point.sourceSite} went away while its recovery point came in`,
      { recoveryPoint: point.id, site: point.sourceSite },
    );
  const own = point.sourceSite === site.config.site;
  const valid = own
    ? (await readRecord(site.coordinator, siteKeys.recoveryPoint(point.id))) !== undefined
    : peer !== undefined && isSignedBy(site.signer, publicKeyOf(peer.value), point);
  if (!valid)
    throw new AntipodeError(
      "SIGNATURE_INVALID",
      `the recovery point ${point.name} does not bear the signature of the site ${point.sourceSite}`,
      { recoveryPoint: point.id, site: point.sourceSite },
    );
}

async function checkRoots(
  site: Site,
  point: RecoveryPointRecord,
  request: Infer<typeof RecordRecoveryPointRequest>,
): Promise<void> {
  for (const disk of point.disks) {
    if (disk.root === "") continue;
    const placement = request.placements.find((entry) => entry.vdiskId === disk.vdiskId);
    const replicationFactor = Math.max(1, placement?.replicationFactor ?? 1);
    const { present: here } = await callStargate(
      site,
      VdiskService.hasRoot,
      { root: disk.root, replicationFactor },
      VDISK_DEADLINE_MS,
    );
    if (!here)
      throw new AntipodeError(
        "RECOVERY_POINT_INCOMPLETE",
        `this site does not hold the root of ${disk.vdiskName} with all copies`,
        { recoveryPoint: point.id, vdisk: disk.vdiskName, root: disk.root },
      );
  }
}

async function writePoint(
  site: Site,
  term: Term,
  point: RecoveryPointRecord,
  request: Infer<typeof RecordRecoveryPointRequest>,
): Promise<Standing> {
  const guard = await fence(site, request.sender);
  const pdKey = cerebroKeys.pd(point.protectionDomain);
  const pd = await readRecord<PdRecord>(site.coordinator, pdKey);
  const before = pd?.value ?? freshPd(site, point);
  const newer = request.generation > before.generation;
  const state = nextPdState(before, newer ? "receiveNewer" : "receive");
  const pointKey = siteKeys.recoveryPoint(point.id);
  const known = await readRecord<RecoveryPointRecord>(site.coordinator, pointKey);
  if (known !== undefined) return standingOf(before.name, before);
  const sender = present(request.sender, "the fence has checked the sender");
  const after: PdRecord = {
    ...before,
    state,
    generation: Math.max(before.generation, request.generation),
    sourceSite: sender.site,
    ...(point.generation >= before.generation
      ? { newestPointId: point.id, newestPointName: point.name }
      : {}),
  };
  const received: ReceivedRecord = { placements: request.placements };
  await commit(
    site.coordinator,
    term,
    [...guard.when, pd === undefined ? absent(pdKey) : unchanged(pd), absent(pointKey)],
    [
      ...guard.operations,
      putRecord(pointKey, point),
      putRecord(cerebroKeys.received(point.id), received),
      putRecord(pdKey, after),
    ],
  );
  site.log.info(
    { event: "point.received", pd: point.protectionDomain, point: point.name, from: sender.site },
    "recovery point received",
  );
  return standingOf(after.name, after);
}

/** A domain that this site hears of for the first time is inactive here. */
function freshPd(site: Site, point: RecoveryPointRecord): PdRecord {
  return newPd(point.protectionDomain, {
    state: "inactive",
    generation: point.generation,
    sourceSite: point.sourceSite,
    createdAtMs: site.clock.wall(),
    requestId: "",
  });
}

/** Another site was activated: this one steps back if its generation is lower. */
export async function onDeactivate(
  site: Site,
  term: Term,
  request: Infer<typeof DeactivateRequest>,
): Promise<Standing> {
  await keepEpoch(site, term, request.sender);
  await heed(site, term, { pd: request.pd, state: "active", generation: request.generation });
  return await standing(site, request.pd);
}
