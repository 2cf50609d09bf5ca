/**
 * What a careless user asks for: each request is wrong in one way, and the answer must say which. What
 * a request needs to be wrong (a thing that exists already, one that is in use) is made first.
 */

import type { ErrorCode } from "../../../services/base/errors.ts";
import type { Prng } from "../../../services/base/prng.ts";
import type { MemberConfig } from "../../../services/base/siteConfig.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Method } from "../../../services/base/wire.ts";
import { connectNbd, type NbdClient } from "../../../services/guest/index.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { OUTSIDE, type World } from "../world/world.ts";

/** One CVM, and how it is asked. */
export interface Asked {
  readonly world: World;
  readonly member: MemberConfig;
  /** No other request of the run has it. */
  readonly requestId: string;
  /** For what is drawn within a request. */
  readonly prng: Prng;
}

export interface WrongAsk {
  readonly what: string;
  /** One of these must be the answer. */
  readonly codes: readonly ErrorCode[];
  readonly ask: (asked: Asked) => Promise<unknown>;
  /**
   * A deletion that a CVM repeats because an answer was lost is done when nothing is there any more
   * (cerebro/api/dispatch.ts), so it may be said to be done.
   */
  readonly mayBeDone?: true;
}

/** What `ownThings` makes, and nobody else in a run. */
const BOX = "oddbox";
export const DISK = "odd";
export const PD = "oddpd";
const EMPTY_PD = "emptypd";
export const POINT = "oddpoint";
export const NOWHERE = "nowhere";
const BAD_NAME = "7 of 9!";
/** A CVM whose watches are blind learns of a new thing by its next poll. */
const NOT_SEEN_YET: readonly ErrorCode[] = ["VDISK_NOT_FOUND", "RECOVERY_POINT_NOT_FOUND"];
export const CALL_MS = 5000;
const SECTOR_BYTES = 512;

const vdisk = { name: DISK, container: BOX, sizeBytes: MIB, root: "", source: "" };
const box = { name: BOX, replicationFactor: 1, compression: true };

const stargate =
  <Q, A>(method: Method<Q, A, "unary">, request: Q) =>
  ({ world, member }: Asked): Promise<unknown> =>
    world.call(member.stargate, method, request, CALL_MS);
export const cerebro =
  <Q, A>(method: Method<Q, A, "unary">, requestOf: (asked: Asked) => Q) =>
  (asked: Asked): Promise<unknown> =>
    asked.world.call(asked.member.cerebro, method, requestOf(asked), CALL_MS);
export const wrong = (
  what: string,
  codes: readonly ErrorCode[],
  ask: (asked: Asked) => Promise<unknown>,
): WrongAsk => ({ what, codes, ask });

const wrongDeletion = (...parts: Parameters<typeof wrong>): WrongAsk => ({
  ...wrong(...parts),
  mayBeDone: true,
});

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
    "99 copies of everything",
    ["INVALID_ARGUMENT"],
    stargate(VdiskService.createContainer, { ...box, name: "toomany", replicationFactor: 99 }),
  ),
  wrong(
    "a root that is no fingerprint",
    ["INVALID_ARGUMENT"],
    stargate(VdiskService.locateRoot, { root: "zz" }),
  ),
  wrong("something that no service does", ["UNIMPLEMENTED"], ({ world, member }) => {
    const unknown = { ...CerebroService.listPds, path: `${CerebroService.listPds.path}Backwards` };
    return world.call(member.cerebro, unknown, {}, CALL_MS);
  }),
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
  wrong("an export of no vDisk", ["VDISK_NOT_FOUND"], (asked) =>
    onDisk(asked, NOWHERE, () => Promise.resolve()),
  ),
  wrong(
    "a protection domain with a bad name",
    ["NAME_INVALID"],
    cerebro(CerebroService.createPd, ({ requestId }) => ({ name: BAD_NAME, requestId })),
  ),
  wrongDeletion(
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
    "a remote site at no address",
    ["INVALID_ARGUMENT"],
    cerebro(CerebroService.createRemote, ({ requestId }) => ({
      ...{ name: NOWHERE, cerebros: [], stargates: [], containers: [], requestId },
    })),
  ),
  wrongDeletion(
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
    "that nothing more of a vDisk that was not protected is protected",
    ["VDISK_NOT_FOUND"],
    cerebro(CerebroService.unprotect, () => ({ pd: EMPTY_PD, vdisks: [NOWHERE] })),
  ),
  wrong("a write to a recovery point", ["READ_ONLY", ...NOT_SEEN_YET], (asked) =>
    onDisk(asked, `${DISK}@${POINT}`, (disk) => disk.write(0, new Uint8Array(SECTOR_BYTES))),
  ),
  wrong("a read behind a vDisk's end", ["INVALID_ARGUMENT", ...NOT_SEEN_YET], (asked) =>
    onDisk(asked, DISK, (disk) => disk.read(MIB, SECTOR_BYTES)),
  ),
  wrong("a remote site again", ["REMOTE_EXISTS"], (asked) => {
    const [other] = asked.world.sites.filter(({ members }) => !members.includes(asked.member));
    const request = {
      name: other?.name ?? "",
      cerebros: other?.members.map((member) => member.cerebro) ?? [],
      stargates: other?.members.map((member) => member.stargate) ?? [],
      ...{ containers: [], requestId: asked.requestId },
    };
    return cerebro(CerebroService.createRemote, () => request)(asked);
  }),
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
  wrongDeletion(
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

/** On an open export, which is closed whatever comes. */
async function onDisk(
  { world, member }: Asked,
  exportName: string,
  act: (disk: NbdClient) => Promise<unknown>,
): Promise<void> {
  const { net } = world.network.host(OUTSIDE);
  const target = { address: member.nbd, exportName };
  const disk = await connectNbd({ net, clock: world.clock }, target);
  try {
    await act(disk);
  } finally {
    await disk.close();
  }
}

/** A CVM of the first other site. */
export function abroadOf({ world, member }: Asked): {
  readonly site: string;
  readonly member: MemberConfig;
} {
  const other = world.sites.find(({ members }) => !members.includes(member));
  const [first] = other?.members ?? [];
  if (other === undefined || first === undefined) throw new Error("there is another site");
  return { site: other.name, member: first };
}

/** Makes the things that `wrongAtHome` needs, one after the other; each may be asked for again. */
export const ownThings: readonly ((asked: Asked) => Promise<unknown>)[] = [
  stargate(VdiskService.createContainer, box),
  stargate(VdiskService.createVdisk, vdisk),
  cerebro(CerebroService.createPd, () => ({ name: PD, requestId: "odd-pd" })),
  cerebro(CerebroService.createPd, () => ({ name: EMPTY_PD, requestId: "odd-empty" })),
  cerebro(CerebroService.protect, () => ({ pd: PD, group: "", vdisks: [DISK] })),
  cerebro(CerebroService.snapshot, () => ({ pd: PD, name: POINT, requestId: "odd-point" })),
  cerebro(CerebroService.replicate, (asked) => ({
    ...{ pd: PD, recoveryPoint: POINT, remote: abroadOf(asked).site, requestId: "odd-abroad" },
  })),
];
