/**
 * Everything that only the leader does, one entry a method: users' commands and what other sites
 * ask. Each is idempotent: by the request's id, or by its nature; so it may be repeated at another
 * leader when an answer was lost.
 */

import type { ErrorCode } from "../../base/errors.ts";
import type { Method } from "../../base/wire.ts";
import { CerebroService } from "../../platform/wire/cerebro.ts";
import { RemoteCerebroService } from "../../platform/wire/remoteCerebro.ts";
import { activate } from "../activation/activate.ts";
import type { Office } from "../leader/office.ts";
import { createPd, deletePd, protect, readPd, unprotect } from "../protection/pds.ts";
import { deletePoint } from "../recoveryPoints/deletion.ts";
import { findPoint } from "../recoveryPoints/points.ts";
import { takeSnapshot } from "../recoveryPoints/snapshot.ts";
import { meet } from "../remote/client.ts";
import {
  onDeactivate,
  onHello,
  onRecordRecoveryPoint,
  onRecoveryPointsOf,
} from "../remote/receiver.ts";
import { createRemote, deleteRemote, readPeer } from "../remote/remotes.ts";
import { cancelJob, jobView, readJob, startJob } from "../replication/jobs.ts";
import type { JobRecord } from "../state/records.ts";
import { pdView, remoteView } from "./views.ts";

/** A method that the leader carries out. */
export interface Command<Q = unknown, A = unknown> {
  readonly method: Method<Q, A, "unary">;
  readonly handle: (office: Office, request: Q) => Promise<A>;
  /** For deletions: the code that means "done before" when an earlier answer was lost. */
  readonly doneCode: ErrorCode | undefined;
}

function command<Q, A>(
  method: Method<Q, A, "unary">,
  handle: (office: Office, request: Q) => Promise<A>,
  doneCode?: ErrorCode,
): Command {
  return { method, handle, doneCode } as Command;
}

const viewOf = (office: Office, job: JobRecord) =>
  jobView(job, {
    tasks: [],
    claims: [],
    bytesPerSecond: undefined,
    wallMs: office.site.clock.wall(),
  });

const pdCommands: readonly Command[] = [
  command(CerebroService.createPd, async (office, request) => ({
    pd: pdView(await createPd(office.site, office.term, request)),
  })),
  command(
    CerebroService.deletePd,
    async (office, { name }) =>
      await office.domains.run(name, async () => {
        await deletePd(office.site, office.term, name);
        return {};
      }),
    "PD_NOT_FOUND",
  ),
  command(CerebroService.protect, (office, request) =>
    office.domains.run(request.pd, async () => ({
      pd: pdView(await protect(office.site, office.term, request)),
    })),
  ),
  command(CerebroService.unprotect, (office, request) =>
    office.domains.run(request.pd, async () => ({
      pd: pdView(await unprotect(office.site, office.term, request)),
    })),
  ),
  command(CerebroService.snapshot, (office, request) =>
    office.domains.run(request.pd, async () => ({
      recoveryPoint: await takeSnapshot(office.site, office.term, office.key, request),
    })),
  ),
  command(
    CerebroService.deleteRecoveryPoint,
    async (office, request) => {
      const point = await findPoint(office.site.coordinator, request.pd, request.recoveryPoint);
      return await office.points.run(point.value.protectionDomain, async () => {
        await deletePoint(office.site, office.term, request);
        return {};
      });
    },
    "RECOVERY_POINT_NOT_FOUND",
  ),
  command(CerebroService.activate, (office, request) =>
    office.domains.run(request.pd, async () => {
      const { site, term, key } = office;
      const result = await activate(site, term, key, request);
      return {
        pd: pdView((await readPd(site.coordinator, request.pd)).value),
        recoveryPoint: (await findPoint(site.coordinator, request.pd, result.recoveryPointId))
          .value,
        vdisks: result.vdisks,
        warnings: result.warnings,
      };
    }),
  ),
];

const replicationCommands: readonly Command[] = [
  command(CerebroService.createRemote, async (office, request) => {
    const { site, term, key } = office;
    const remote = await createRemote(site, term, request);
    // Best effort: a remote site that does not answer yet is met when it is first needed.
    const met = await meet(site, term, key, remote.name).catch((error: unknown) => {
      site.log.info({ event: "remote.unmet", remote: remote.name, err: error }, "not met yet");
      return remote;
    });
    const known = met ?? remote;
    const peer = known.site === "" ? undefined : await readPeer(site.coordinator, known.site);
    return { remote: remoteView(known, peer?.value) };
  }),
  command(
    CerebroService.deleteRemote,
    async (office, { name }) => {
      await deleteRemote(office.site, office.term, name);
      return {};
    },
    "REMOTE_NOT_FOUND",
  ),
  command(CerebroService.replicate, async (office, request) => {
    const job = await office.points.run(request.pd, () =>
      startJob(office.site, office.term, request),
    );
    office.drive(job.id);
    return { job: viewOf(office, job) };
  }),
  command(CerebroService.cancelJob, async (office, { id }) => {
    await readJob(office.site, id);
    return { job: viewOf(office, await cancelJob(office.site, office.term, id)) };
  }),
];

const remoteCommands: readonly Command[] = [
  command(RemoteCerebroService.hello, (office, request) =>
    onHello(office.site, office.term, office.key, request),
  ),
  command(RemoteCerebroService.recoveryPointsOf, (office, request) =>
    onRecoveryPointsOf(office.site, office.term, request),
  ),
  command(RemoteCerebroService.recordRecoveryPoint, async (office, request) => ({
    standing: await onRecordRecoveryPoint(office.site, office.term, request),
  })),
  command(RemoteCerebroService.deactivate, async (office, request) => ({
    standing: await onDeactivate(office.site, office.term, request),
  })),
];

/** All commands by the path of their method. */
export const commands: ReadonlyMap<string, Command> = new Map(
  [...pdCommands, ...replicationCommands, ...remoteCommands].map((entry) => [
    entry.method.path,
    entry,
  ]),
);
