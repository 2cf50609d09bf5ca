/**
 * PLANNING: asks the target what it holds, chooses the base, has Stargate look at the two roots of
 * each vDisk, and writes the tasks. Tasks are written before the job becomes RUNNING; nobody takes
 * them earlier. A leader that finds the job in PLANNING begins again from nothing.
 */

import { fromHex, toHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import {
  addLedgers,
  type ByteLedger,
  emptyLedger,
  ledgerOfCounters,
  zeroCounters,
} from "../../base/ledger.ts";
import {
  type ContainerRecord,
  type RecoveryPointRecord,
  siteKeys,
  type VdiskRecord,
} from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Operation } from "../../platform/coordinator.ts";
import { RemoteCerebroService } from "../../platform/wire/remoteCerebro.ts";
import { type SubtreeMessage, VdiskService } from "../../platform/wire/stargate.ts";
import {
  PLAN_DEADLINE_MS,
  SUBTREES_PER_JOB_MAX,
  TASKS_PER_JOB_MAX,
  TASKS_PER_WRITE_MAX,
  WRITE_BYTES_MAX,
} from "../limits.ts";
import { DEFAULT_GROUP, groupOf } from "../protection/groups.ts";
import { readPd } from "../protection/pds.ts";
import { heed } from "../protection/standings.ts";
import { findPoint, listPoints } from "../recoveryPoints/points.ts";
import { callRemote, senderOf } from "../remote/client.ts";
import type { SiteKey } from "../remote/identity.ts";
import { callStargate, type Site } from "../site.ts";
import type { KeyedQueue } from "../state/keyedQueue.ts";
import {
  cerebroKeys,
  type JobDisk,
  type JobRecord,
  type PlacementRecord,
  type ReceivedRecord,
  type RemoteRecord,
  type SubtreeRecord,
  type TaskRecord,
} from "../state/records.ts";
import {
  commit,
  deletePrefix,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";
import { nextJobState } from "./jobMachine.ts";
import { baseRootOf, bundleSubtrees, chooseBase, shareOut } from "./plan.ts";
import { hasTopTask } from "./tasks.ts";

export interface PlanningInput {
  readonly site: Site;
  readonly term: Term;
  readonly key: SiteKey;
  readonly job: Stored<JobRecord>;
  readonly remote: RemoteRecord;
  /** Serialises holding and deleting the recovery points of a domain. */
  readonly points: KeyedQueue;
}

/** Plans the job and makes it RUNNING. */
export async function planJob(input: PlanningInput): Promise<void> {
  const { site, term, job } = input;
  const point = (await findPoint(site.coordinator, job.value.pd, job.value.recoveryPointId)).value;
  const wishes = await placementsOf(site, input.remote, point);
  const target = await callRemote(site, input.remote, RemoteCerebroService.recoveryPointsOf, {
    sender: senderOf(site, term, input.key),
    pd: job.value.pd,
    containers: wishes.map(({ container, replicationFactor }) => ({
      name: container,
      replicationFactor,
    })),
  });
  if (target.standing !== undefined) await heed(site, term, target.standing);
  const placements = wishes.map((wish, index) => ({
    ...wish,
    replicationFactor: target.containers[index]?.replicationFactor ?? wish.replicationFactor,
  }));
  const points = await listPoints(site.coordinator, job.value.pd);
  const local = points.map((entry) => entry.value);
  const { baseExcluded } = job.value;
  const complete =
    !baseExcluded.includes(point.id) && target.points.some((entry) => entry.id === point.id);
  const base = complete ? undefined : chooseBase(point, local, target.points, baseExcluded);
  const planned = complete
    ? point.disks.map((disk, index) => nothingToShip(disk, placements[index]))
    : await planDisks(site, point, base, placements);
  const bundles = planned.map((entry) => entry.bundles);
  const disks = planned.map((entry) => entry.disk);
  const tasks = tasksOf(job.value.id, bundles);
  const running: JobRecord = {
    ...job.value,
    state: nextJobState(job.value.state, "planned"),
    waiting: "",
    baseId: base?.id ?? "",
    baseName: base?.name ?? "",
    disks,
    placements,
    taskCount: tasks.length + disks.filter(hasTopTask).length,
    ledger: planned.reduce((sum, entry) => addLedgers(sum, entry.equal), emptyLedger),
  };
  // Held from the instant at which the job relies on it, and only if it is still there.
  const held = points.filter((entry) => entry.value.id === base?.id);
  const ready = await clearTasks(site, term, job);
  const last = await writeTasks(site, term, ready, tasks);
  await input.points.run(job.value.pd, () =>
    commit(
      site.coordinator,
      term,
      [unchanged(ready), ...held.map(unchanged)],
      [
        putRecord(ready.key, running),
        ...last,
        ...held.map(({ value: { id } }) =>
          putRecord(cerebroKeys.hold(id, job.value.id), { pointId: id, jobId: job.value.id }),
        ),
      ],
    ),
  );
  site.log.info(
    {
      event: "job.planned",
      job: job.value.id,
      base: running.baseName,
      tasks: running.taskCount,
      complete,
    },
    "replication is planned",
  );
}

/** Where each vDisk goes: its group, its container's name at the remote site, and copies. */
async function placementsOf(
  site: Site,
  remote: RemoteRecord,
  point: RecoveryPointRecord,
): Promise<readonly PlacementRecord[]> {
  const pd = await readPd(site.coordinator, point.protectionDomain);
  const received = await readRecord<ReceivedRecord>(
    site.coordinator,
    cerebroKeys.received(point.id),
  );
  return Promise.all(
    point.disks.map(async (disk): Promise<PlacementRecord> => {
      const known = received?.value.placements.find((entry) => entry.vdiskId === disk.vdiskId);
      const vdisk = await readRecord<VdiskRecord>(site.coordinator, siteKeys.vdisk(disk.vdiskId));
      const local = vdisk?.value.container ?? known?.container ?? "default";
      const container = await readRecord<ContainerRecord>(
        site.coordinator,
        siteKeys.container(local),
      );
      const policy = vdisk?.value ?? container?.value ?? known;
      return {
        vdiskId: disk.vdiskId,
        group: groupOf(pd.value.groups, disk.vdiskId) ?? known?.group ?? DEFAULT_GROUP,
        container: remote.containers.find((map) => map.local === local)?.remote ?? local,
        replicationFactor: policy?.replicationFactor ?? 1,
        compression: policy?.compression ?? true,
      };
    }),
  );
}

interface PlannedDisk {
  readonly disk: JobDisk;
  readonly bundles: readonly (readonly SubtreeRecord[])[];
  /** Address space that needs no walk: equal at the base, or zero. */
  readonly equal: ByteLedger;
}

function nothingToShip(
  disk: RecoveryPointRecord["disks"][number],
  placement: PlacementRecord | undefined,
): PlannedDisk {
  return {
    disk: {
      ...disk,
      baseRoot: disk.root,
      bundleCount: 0,
      ships: false,
      replicationFactor: placement?.replicationFactor ?? 1,
    },
    bundles: [],
    equal: ledgerOfCounters({
      ...zeroCounters,
      [disk.root === "" ? "zeroBytes" : "unchangedBytes"]: disk.sizeBytes,
    }),
  };
}

async function planDisks(
  site: Site,
  point: RecoveryPointRecord,
  base: RecoveryPointRecord | undefined,
  placements: readonly PlacementRecord[],
): Promise<readonly PlannedDisk[]> {
  const sizes = point.disks.map((disk) => disk.sizeBytes);
  const subtreeShares = shareOut(sizes, SUBTREES_PER_JOB_MAX);
  // A top for each vDisk besides its subtree tasks.
  const taskShares = shareOut(sizes, TASKS_PER_JOB_MAX - point.disks.length);
  const planned: PlannedDisk[] = [];
  for (const [index, disk] of point.disks.entries()) {
    const baseRoot = baseRootOf(disk, base);
    if (disk.root === baseRoot || disk.root === "") {
      planned.push(nothingToShip(disk, placements[index]));
      continue;
    }
    const answer = await callStargate(
      site,
      VdiskService.plan,
      {
        root: disk.root,
        baseRoot,
        sizeBytes: disk.sizeBytes,
        subtreesMax: subtreeShares[index] ?? 1,
      },
      PLAN_DEADLINE_MS,
    );
    const subtrees = answer.subtrees.map(subtreeRecordOf);
    const bundles = bundleSubtrees(subtrees, disk.sizeBytes, taskShares[index] ?? 1);
    planned.push({
      disk: {
        ...disk,
        baseRoot,
        bundleCount: bundles.length,
        ships: true,
        replicationFactor: placements[index]?.replicationFactor ?? 1,
      },
      bundles,
      equal: ledgerOfCounters({
        ...zeroCounters,
        zeroBytes: answer.zeroBytes,
        unchangedBytes: answer.unchangedBytes,
      }),
    });
  }
  return planned;
}

const subtreeRecordOf = (subtree: SubtreeMessage): SubtreeRecord => ({
  level: subtree.level,
  index: subtree.index,
  fingerprint: toHex(subtree.fingerprint),
  base: toHex(subtree.baseFingerprint),
});

/** A subtree as Stargate takes it. */
export function subtreeMessageOf(subtree: SubtreeRecord): SubtreeMessage {
  const bytes = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array(0);
  return {
    level: subtree.level,
    index: subtree.index,
    fingerprint: bytes(subtree.fingerprint),
    baseFingerprint: bytes(subtree.base),
  };
}

/** A task that nobody has begun. */
export function openTask(
  fields: Pick<TaskRecord, "jobId" | "index" | "disk" | "kind" | "subtrees">,
): TaskRecord {
  return {
    ...fields,
    state: "open",
    failures: 0,
    ledger: emptyLedger,
    spent: emptyLedger,
    errorCode: "",
    errorMessage: "",
  };
}

function tasksOf(
  jobId: string,
  bundles: readonly (readonly (readonly SubtreeRecord[])[])[],
): readonly TaskRecord[] {
  return bundles
    .flatMap((list, disk) =>
      list.map((subtrees) => ({
        disk,
        subtrees,
        kind: list.length === 1 ? ("whole" as const) : ("subtrees" as const),
      })),
    )
    .map((task, index) => openTask({ jobId, index, ...task }));
}

/** Removes what an earlier attempt at planning has left. */
async function clearTasks(
  site: Site,
  term: Term,
  job: Stored<JobRecord>,
): Promise<Stored<JobRecord>> {
  const { entries } = await site.coordinator.list(cerebroKeys.tasks(job.value.id));
  if (entries.length === 0) return job;
  const { revision } = await commit(
    site.coordinator,
    term,
    [unchanged(job)],
    [
      deletePrefix(cerebroKeys.tasks(job.value.id)),
      deletePrefix(cerebroKeys.claims(job.value.id)),
      putRecord(job.key, job.value),
    ],
  );
  return { ...job, modRevision: revision };
}

/**
 * Writes the tasks in batches.
 * @returns the last batch, for the transaction that makes the job RUNNING: a small plan is one write
 */
async function writeTasks(
  site: Site,
  term: Term,
  job: Stored<JobRecord>,
  tasks: readonly TaskRecord[],
): Promise<readonly Operation[]> {
  let batch: Operation[] = [];
  let bytes = 0;
  for (const task of tasks) {
    const put = putRecord(cerebroKeys.task(task.jobId, task.index), task);
    const size = put.kind === "put" ? put.value.length : 0;
    if (size > WRITE_BYTES_MAX)
      throw new AntipodeError("INVALID_ARGUMENT", "a plan has too many subtrees for one task", {
        job: task.jobId,
        subtrees: task.subtrees.length,
      });
    if (batch.length >= TASKS_PER_WRITE_MAX || bytes + size > WRITE_BYTES_MAX) {
      await commit(site.coordinator, term, [unchanged(job)], batch);
      batch = [];
      bytes = 0;
    }
    batch.push(put);
    bytes += size;
  }
  return batch;
}
