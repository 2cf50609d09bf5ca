/**
 * What any CVM answers by itself: lists and shows read etcd, watching a job follows the board,
 * verifying has the own Stargate read everything.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { ownMember } from "../../base/siteConfig.ts";
import type { Infer } from "../../base/wire.ts";
import { type Binding, type RpcStream, serveStream, serveUnary } from "../../platform/rpc.ts";
import {
  CerebroService,
  type Job,
  type VerifyRecoveryPointRequest,
  type VerifyRecoveryPointResponse,
  type WatchJobRequest,
  type WatchJobResponse,
} from "../../platform/wire/cerebro.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import type { Leadership } from "../leader/leadership.ts";
import { REMOTE_DEADLINE_MS, WATCH_JOB_MS } from "../limits.ts";
import { readPd } from "../protection/pds.ts";
import { holdersOf } from "../recoveryPoints/deletion.ts";
import { findPoint, listPoints } from "../recoveryPoints/points.ts";
import { isSignedBy } from "../recoveryPoints/signature.ts";
import { callRemote } from "../remote/client.ts";
import { loadSiteKey } from "../remote/identity.ts";
import { publicKeyOf, readPeer, readRemote } from "../remote/remotes.ts";
import type { Board, BoardJob } from "../replication/board.ts";
import { type JobProgress, jobView, readJob } from "../replication/jobs.ts";
import { memberOf, type Site } from "../site.ts";
import {
  type ClaimRecord,
  cerebroKeys,
  type JobRecord,
  type PdRecord,
  type PeerRecord,
  type RemoteRecord,
  type TaskRecord,
} from "../state/records.ts";
import { listRecords, type Stored } from "../state/store.ts";
import { Wakeup } from "../state/wakeup.ts";
import { pdView, remoteView } from "./views.ts";

export interface ReadsInput {
  readonly site: Site;
  readonly board: Board;
  readonly leadership: Leadership;
}

/** Bindings of all methods that change nothing. */
export function readBindings(input: ReadsInput): readonly Binding[] {
  return [...domainReads(input), ...replicationReads(input)];
}

function domainReads({ site, leadership }: ReadsInput): readonly Binding[] {
  const { coordinator } = site;
  return [
    serveUnary(CerebroService.listPds, async () => ({
      pds: (await listRecords<PdRecord>(coordinator, cerebroKeys.pds)).map(({ value }) =>
        pdView(value),
      ),
    })),
    serveUnary(CerebroService.showPd, async ({ name }) => ({
      pd: pdView((await readPd(coordinator, name)).value),
    })),
    serveUnary(CerebroService.listRecoveryPoints, async ({ pd }) => ({
      recoveryPoints: (await listPoints(coordinator, pd)).map(({ value }) => value),
    })),
    serveUnary(CerebroService.showRecoveryPoint, async ({ pd, recoveryPoint }) => {
      const point = (await findPoint(coordinator, pd, recoveryPoint)).value;
      return { recoveryPoint: point, heldBy: await holdersOf(site, point.id) };
    }),
    serveStream(CerebroService.verifyRecoveryPoint, (stream, { signal }) =>
      verify(site, stream, signal),
    ),
    serveUnary(CerebroService.leader, async () => {
      const leader = await leadership.leader();
      const member = leader === undefined ? undefined : memberOf(site, leader.cvm);
      return {
        cvm: member?.cvm ?? 0,
        epoch: leader?.epoch ?? 0,
        address: member?.cerebro,
        site: site.config.site,
        incarnation: site.config.siteIncarnation,
      };
    }),
  ];
}

function replicationReads({ site, board }: ReadsInput): readonly Binding[] {
  const { coordinator } = site;
  return [
    serveUnary(CerebroService.listRemotes, async () => {
      const peers = await listRecords<PeerRecord>(coordinator, cerebroKeys.peers);
      const remotes = await listRecords<RemoteRecord>(coordinator, cerebroKeys.remotes);
      return {
        remotes: remotes.map(({ value }) =>
          remoteView(value, peers.find((peer) => peer.value.site === value.site)?.value),
        ),
      };
    }),
    serveUnary(CerebroService.showRemote, async ({ name }) => {
      const remote = (await readRemote(coordinator, name)).value;
      const peer = remote.site === "" ? undefined : await readPeer(coordinator, remote.site);
      return { remote: remoteView(remote, peer?.value), ...(await probe(site, remote)) };
    }),
    serveUnary(CerebroService.listJobs, async () => {
      const jobs = await listRecords<JobRecord>(coordinator, cerebroKeys.jobs);
      const newest = jobs.toSorted((a, b) => b.createRevision - a.createRevision);
      return { jobs: await Promise.all(newest.map((job) => currentView({ site, board }, job))) };
    }),
    serveUnary(CerebroService.showJob, async ({ id }) => ({
      job: await currentView({ site, board }, await readJob(site, id)),
    })),
    serveStream(CerebroService.watchJob, (stream, { signal }) =>
      watchJob({ site, board }, stream, signal),
    ),
  ];
}

/** Does the remote site answer, and how fast? */
async function probe(
  site: Site,
  remote: RemoteRecord,
): Promise<{ reachable: boolean; roundTripMs: number; problem: string }> {
  const startedAt = site.clock.now();
  try {
    await callRemote(
      site,
      remote,
      CerebroService.listRemotes,
      {},
      { deadlineMs: REMOTE_DEADLINE_MS },
    );
    return { reachable: true, roundTripMs: site.clock.now() - startedAt, problem: "" };
  } catch (error) {
    return { reachable: false, roundTripMs: 0, problem: messageOf(error) };
  }
}

/** A job as etcd has it, with its tasks and claims. */
async function currentView(
  { site, board }: Pick<ReadsInput, "site" | "board">,
  job: Stored<JobRecord>,
): Promise<Job> {
  const parts = isEnded(job.value.state)
    ? NO_PARTS
    : (shownParts(board, job) ?? (await storedParts(site, job.value.id)));
  return viewOf(site, job.value, parts);
}

type JobParts = Pick<JobProgress, "tasks" | "claims">;

/** An ended job has none any more. */
const NO_PARTS: JobParts = { tasks: [], claims: [] };

function viewOf(site: Site, job: JobRecord, parts: JobParts): Job {
  return jobView(job, { ...parts, bytesPerSecond: undefined, wallMs: site.clock.wall() });
}

/**
 * Tasks and claims from the board, as long as it shows the job as it is: tasks are large, and people
 * and scripts ask for a job many times a second. They can be as late as a watch, which progress may.
 */
function shownParts(board: Board, job: Stored<JobRecord>): JobParts | undefined {
  const seen = board.job(job.value.id);
  if (seen?.record.modRevision !== job.modRevision) return undefined;
  return partsOf(seen);
}

function partsOf(seen: BoardJob | undefined): JobParts {
  return {
    tasks: [...(seen?.tasks.values() ?? [])].map((task) => task.record.value),
    claims: [...(seen?.claims.values() ?? [])].map((claim) => claim.value),
  };
}

async function storedParts({ coordinator }: Site, jobId: string): Promise<JobParts> {
  const tasks = await listRecords<TaskRecord>(coordinator, cerebroKeys.tasks(jobId));
  const claims = await listRecords<ClaimRecord>(coordinator, cerebroKeys.claims(jobId));
  return { tasks: tasks.map(({ value }) => value), claims: claims.map(({ value }) => value) };
}

/** Samples over which a watched job's rate is taken: two seconds. */
const RATE_SAMPLES = 8;

async function watchJob(
  { site, board }: Pick<ReadsInput, "site" | "board">,
  stream: RpcStream<Infer<typeof WatchJobResponse>, Infer<typeof WatchJobRequest>>,
  signal: AbortSignal,
): Promise<void> {
  const { id } = await first(stream.incoming);
  const samples: { readonly atMs: number; readonly bytes: number }[] = [];
  let job = (await readJob(site, id)).value;
  while (!isEnded(job.state)) {
    const seen = board.job(id);
    const view = viewOf(site, seen?.record.value ?? job, partsOf(seen));
    samples.push({ atMs: site.clock.now(), bytes: view.ledger?.logicalBytes ?? 0 });
    if (samples.length > RATE_SAMPLES) samples.shift();
    if (!isEnded(seen?.record.value.state ?? job.state))
      await stream.send({ job: { ...view, bytesPerSecond: rateOf(samples) } });
    await nextSample(site, board, id, signal);
    if (signal.aborted) return;
    job = board.job(id)?.record.value ?? (await readJob(site, id)).value;
  }
  await stream.send({ job: viewOf(site, job, NO_PARTS) });
}

/** Waits for the next report; a job that ends is reported at once. */
async function nextSample(
  site: Site,
  board: Board,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const wakeup = new Wakeup();
  const stop = board.onChange(() => {
    const seen = board.job(id);
    if (seen === undefined || isEnded(seen.record.value.state)) wakeup.notify();
  });
  await wakeup.wait(site.clock, WATCH_JOB_MS, signal);
  stop();
}

function rateOf(samples: readonly { readonly atMs: number; readonly bytes: number }[]): number {
  const [oldest, newest] = [samples[0], samples.at(-1)];
  if (oldest === undefined || newest === undefined || newest.atMs <= oldest.atMs) return 0;
  return Math.max(0, ((newest.bytes - oldest.bytes) * 1000) / (newest.atMs - oldest.atMs));
}

async function first<T>(incoming: AsyncIterable<T>): Promise<T> {
  for await (const message of incoming) return message;
  throw new AntipodeError("MESSAGE_INVALID", "the request is missing");
}

type VerifyStream = RpcStream<
  Infer<typeof VerifyRecoveryPointResponse>,
  Infer<typeof VerifyRecoveryPointRequest>
>;

/** Checks the signature, then reads everything below every root. */
async function verify(site: Site, stream: VerifyStream, signal: AbortSignal): Promise<void> {
  const request = await first(stream.incoming);
  const point = (await findPoint(site.coordinator, request.pd, request.recoveryPoint)).value;
  const signatureValid = await checkSignature(site, point.sourceSite, point);
  const totalBytes = point.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  let done = { checkedBytes: 0, missingChunks: 0, corruptChunks: 0 };
  let vdiskName = "";
  for (const disk of point.disks) {
    vdiskName = disk.vdiskName;
    if (disk.root === "") continue;
    const before = done;
    const walk = site.rpc.connect(ownMember(site.config).stargate).stream(VdiskService.verify);
    const cancel = (): void => {
      walk.cancel();
    };
    signal.addEventListener("abort", cancel, { once: true });
    try {
      await walk.send({ root: disk.root, sizeBytes: disk.sizeBytes });
      walk.end();
      let ended = false;
      for await (const progress of walk.incoming) {
        ended = progress.done;
        done = {
          checkedBytes: before.checkedBytes + progress.checkedBytes,
          missingChunks: before.missingChunks + progress.missingChunks,
          corruptChunks: before.corruptChunks + progress.corruptChunks,
        };
        await stream.send({ vdiskName, signatureValid, totalBytes, ...done, done: false });
      }
      assert(ended || signal.aborted, "a verification that ends well says that it is done");
    } finally {
      signal.removeEventListener("abort", cancel);
      walk.cancel();
    }
  }
  await stream.send({ vdiskName, signatureValid, totalBytes, ...done, done: true });
}

/** By the key of the site that cut it: our own, or the pinned one. */
async function checkSignature(
  site: Site,
  sourceSite: string,
  point: Parameters<typeof isSignedBy>[2],
): Promise<boolean> {
  const peer = await readPeer(site.coordinator, sourceSite);
  const publicKey =
    sourceSite === site.config.site
      ? (await loadSiteKey(site.coordinator, site.signer)).publicKey
      : peer === undefined
        ? undefined
        : publicKeyOf(peer.value);
  return publicKey !== undefined && isSignedBy(site.signer, publicKey, point);
}
