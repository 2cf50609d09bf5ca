/**
 * What a careless user asks for: each request is wrong in one way, and the answer must say which. What
 * a request needs to be wrong (a thing that exists already, one that is in use) is made first.
 */

import type { ErrorCode } from "../../../services/base/errors.ts";
import type { MemberConfig } from "../../../services/base/siteConfig.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Method } from "../../../services/base/wire.ts";
import { connectNbd } from "../../../services/guest/index.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { OUTSIDE, type World } from "../world/world.ts";

/** One CVM, and how it is asked. */
export interface Asked {
  readonly world: World;
  readonly member: MemberConfig;
  /** No other request of the run has it. */
  readonly requestId: string;
}

export interface WrongAsk {
  readonly what: string;
  /** One of these must be the answer. */
  readonly codes: readonly ErrorCode[];
  readonly ask: (asked: Asked) => Promise<unknown>;
}

/** What `ownThings` makes, and nobody else in a run. */
const BOX = "oddbox";
const DISK = "odd";
const PD = "oddpd";
const EMPTY_PD = "emptypd";
const POINT = "oddpoint";
const NOWHERE = "nowhere";
const BAD_NAME = "7 of 9!";
const CALL_MS = 5000;

const vdisk = { name: DISK, container: BOX, sizeBytes: MIB, root: "", source: "" };
const box = { name: BOX, replicationFactor: 1, compression: true };

const stargate =
  <Q, A>(method: Method<Q, A, "unary">, request: Q) =>
  ({ world, member }: Asked): Promise<unknown> =>
    world.call(member.stargate, method, request, CALL_MS);
const cerebro =
  <Q, A>(method: Method<Q, A, "unary">, requestOf: (asked: Asked) => Q) =>
  (asked: Asked): Promise<unknown> =>
    asked.world.call(asked.member.cerebro, method, requestOf(asked), CALL_MS);
const wrong = (
  what: string,
  codes: readonly ErrorCode[],
  ask: (asked: Asked) => Promise<unknown>,
): WrongAsk => ({ what, codes, ask });

/** Wrong at every site at any time. */
export const wrongAnywhere: readonly WrongAsk[] = [
  wrong(
    "a container with a bad name",
    ["NAME_INVALID"],
    stargate(VdiskService.createContainer, { ...box, name: BAD_NAME }),
  ),
  wrong(
    "the deletion of no container",
    ["CONTAINER_NOT_FOUND"],
    stargate(VdiskService.deleteContainer, { name: NOWHERE }),
  ),
  wrong(
    "a vDisk with a bad name",
    ["NAME_INVALID"],
    stargate(VdiskService.createVdisk, { ...vdisk, name: BAD_NAME }),
  ),
  wrong(
    "a vDisk of 1000 bytes",
    ["SIZE_INVALID"],
    stargate(VdiskService.createVdisk, { ...vdisk, name: "small", sizeBytes: 1000 }),
  ),
  wrong(
    "a vDisk in no container",
    ["CONTAINER_NOT_FOUND"],
    stargate(VdiskService.createVdisk, { ...vdisk, name: "homeless", container: NOWHERE }),
  ),
  wrong(
    "the deletion of no vDisk",
    ["VDISK_NOT_FOUND"],
    stargate(VdiskService.deleteVdisk, { name: NOWHERE }),
  ),
  wrong("an export of no vDisk", ["VDISK_NOT_FOUND"], async ({ world, member }) => {
    const net = world.network.host(OUTSIDE).net;
    const target = { address: member.nbd, exportName: NOWHERE };
    const client = await connectNbd({ net, clock: world.clock }, target);
    await client.close();
  }),
  wrong(
    "a protection domain with a bad name",
    ["NAME_INVALID"],
    cerebro(CerebroService.createPd, ({ requestId }) => ({ name: BAD_NAME, requestId })),
  ),
  wrong(
    "the deletion of no protection domain",
    ["PD_NOT_FOUND"],
    cerebro(CerebroService.deletePd, () => ({ name: NOWHERE })),
  ),
  wrong(
    "a recovery point of no protection domain",
    ["PD_NOT_FOUND"],
    cerebro(CerebroService.snapshot, ({ requestId }) => ({ pd: NOWHERE, name: "", requestId })),
  ),
  wrong(
    "the state of no job",
    ["JOB_NOT_FOUND"],
    cerebro(CerebroService.showJob, () => ({ id: NOWHERE })),
  ),
  wrong(
    "the end of no job",
    ["JOB_NOT_FOUND"],
    cerebro(CerebroService.cancelJob, () => ({ id: NOWHERE })),
  ),
  wrong(
    "the deletion of no remote site",
    ["REMOTE_NOT_FOUND"],
    cerebro(CerebroService.deleteRemote, () => ({ name: NOWHERE })),
  ),
];

/** Wrong where `ownThings` were made. */
export const wrongAtHome: readonly WrongAsk[] = [
  wrong("a container again", ["CONTAINER_EXISTS"], stargate(VdiskService.createContainer, box)),
  wrong(
    "the deletion of a container in use",
    ["CONTAINER_IN_USE"],
    stargate(VdiskService.deleteContainer, { name: BOX }),
  ),
  wrong("a vDisk again", ["VDISK_EXISTS"], stargate(VdiskService.createVdisk, vdisk)),
  wrong(
    "the deletion of a protected vDisk",
    ["VDISK_IN_USE"],
    stargate(VdiskService.deleteVdisk, { name: DISK }),
  ),
  wrong(
    "a protection domain again",
    ["PD_EXISTS"],
    cerebro(CerebroService.createPd, ({ requestId }) => ({ name: PD, requestId })),
  ),
  wrong(
    "the deletion of a protection domain in use",
    ["PD_IN_USE"],
    cerebro(CerebroService.deletePd, () => ({ name: PD })),
  ),
  wrong(
    "a recovery point of nothing",
    ["PD_EMPTY"],
    cerebro(CerebroService.snapshot, ({ requestId }) => ({ pd: EMPTY_PD, name: "", requestId })),
  ),
  wrong(
    "a recovery point again",
    ["RECOVERY_POINT_EXISTS"],
    cerebro(CerebroService.snapshot, ({ requestId }) => ({ pd: PD, name: POINT, requestId })),
  ),
  wrong(
    "the deletion of no recovery point",
    ["RECOVERY_POINT_NOT_FOUND"],
    cerebro(CerebroService.deleteRecoveryPoint, () => ({ pd: PD, recoveryPoint: NOWHERE })),
  ),
  wrong(
    "a replication to no remote site",
    ["REMOTE_NOT_FOUND"],
    cerebro(CerebroService.replicate, ({ requestId }) => ({
      ...{ pd: PD, recoveryPoint: POINT, remote: NOWHERE, requestId },
    })),
  ),
  wrong(
    "the activation of what is active",
    ["PD_ALREADY_ACTIVE"],
    cerebro(CerebroService.activate, ({ requestId }) => ({
      ...{ pd: PD, recoveryPoint: POINT, force: false, requestId },
    })),
  ),
];

/** Makes the things that `wrongAtHome` needs, one after the other; each may be asked for again. */
export const ownThings: readonly ((asked: Asked) => Promise<unknown>)[] = [
  stargate(VdiskService.createContainer, box),
  stargate(VdiskService.createVdisk, vdisk),
  cerebro(CerebroService.createPd, () => ({ name: PD, requestId: "odd-pd" })),
  cerebro(CerebroService.createPd, () => ({ name: EMPTY_PD, requestId: "odd-empty" })),
  cerebro(CerebroService.protect, () => ({ pd: PD, group: "", vdisks: [DISK] })),
  cerebro(CerebroService.snapshot, () => ({ pd: PD, name: POINT, requestId: "odd-point" })),
];
