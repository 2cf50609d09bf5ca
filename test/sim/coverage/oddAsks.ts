/**
 * What a careless user asks of its own domain at the wrong site, and of jobs that it does not want any more: the
 * domain is inactive wherever its recovery point was replicated to, and a job hears its end in every state.
 */

import type { Method } from "../../../services/base/wire.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import {
  type Asked,
  abroadOf,
  CALL_MS,
  cerebro,
  NOWHERE,
  PD,
  POINT,
  type WrongAsk,
  wrong,
} from "./wrongAsks.ts";

/** Jobs of nothing are done within some hundred ms. */
const JOB_MS_MAX = 400;
/** A remote site that is the site itself. */
const MIRROR = "mirror";

const abroad =
  <Q, A>(method: Method<Q, A, "unary">, requestOf: (asked: Asked) => Q) =>
  (asked: Asked): Promise<unknown> =>
    asked.world.call(abroadOf(asked).member.cerebro, method, requestOf(asked), CALL_MS);

/** Of the domain where it is inactive, or has not come to yet. */
export const wrongAbroad: readonly WrongAsk[] = [
  wrong(
    "a recovery point of an inactive domain",
    ["PD_NOT_ACTIVE", "PD_NOT_FOUND"],
    abroad(CerebroService.snapshot, ({ requestId }) => ({ pd: PD, name: "", requestId })),
  ),
  wrong(
    "that something is protected in an inactive domain",
    ["PD_NOT_ACTIVE", "PD_NOT_FOUND"],
    abroad(CerebroService.protect, () => ({ pd: PD, group: "", vdisks: [NOWHERE] })),
  ),
  wrong(
    "the deletion of an inactive domain in use",
    ["PD_IN_USE", "PD_NOT_FOUND"],
    abroad(CerebroService.deletePd, () => ({ name: PD })),
  ),
  wrong(
    "a replication of an inactive domain to no remote site",
    ["REMOTE_NOT_FOUND", "PD_NOT_FOUND"],
    abroad(CerebroService.replicate, ({ requestId }) => ({
      ...{ pd: PD, recoveryPoint: POINT, remote: NOWHERE, requestId },
    })),
  ),
];

/** Ended again, an ended job says how it ended: nothing of this need be refused. */
export const fickleAsks: readonly WrongAsk[] = [
  {
    ...wrong("the end of a job, twice", ["JOB_NOT_FOUND"], (asked) =>
      endTwice(asked, abroadOf(asked).site),
    ),
    mayBeDone: true,
  },
  {
    ...wrong("a replication to the site itself", ["JOB_NOT_FOUND"], async (asked) => {
      const { members } = asked.world.sites.find((site) => site.members.includes(asked.member)) ?? {
        members: [],
      };
      await cerebro(CerebroService.createRemote, () => ({
        name: MIRROR,
        cerebros: members.map((member) => member.cerebro),
        stargates: members.map((member) => member.stargate),
        ...{ containers: [], requestId: MIRROR },
      }))(asked);
      await endTwice(asked, MIRROR);
    }),
    mayBeDone: true,
  },
];

/** Replicates, and ends the job some time later, when it may have ended. */
async function endTwice(asked: Asked, remote: string): Promise<void> {
  const { world, member, requestId, prng } = asked;
  const replicate = { pd: PD, recoveryPoint: POINT, remote, requestId };
  const { job } = await world.call(member.cerebro, CerebroService.replicate, replicate, CALL_MS);
  // Short times as often as long ones: the states of a job differ in length.
  await world.clock.sleep(JOB_MS_MAX ** prng.unit());
  const end = { id: job?.id ?? "" };
  await world.call(member.cerebro, CerebroService.cancelJob, end, CALL_MS);
  await world.call(member.cerebro, CerebroService.cancelJob, end, CALL_MS);
}
