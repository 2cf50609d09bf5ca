/**
 * Failing back: a site that was active before still has its vDisks of that time, under the names that the
 * activation needs. They are members of the inactive domain, and may hold writes that never reached the other
 * site; so they are set aside under other names, whole, for people to look at and delete.
 *
 * One transaction a vDisk renames it together with its entry in the domain's record. Every step can be
 * repeated, by another leader too: what is renamed already is in nobody's way any more. The activation takes
 * the vDisks out of the domain when it is done.
 */

import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { siteKeys, type VdiskRecord } from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { readPd } from "../protection/pds.ts";
import type { Site } from "../site.ts";
import type { ActivationDisk, PdRecord } from "../state/records.ts";
import {
  absent,
  commit,
  deleteKey,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";

/** Of a name: siteRecords.ts. */
const NAME_LENGTH_MAX = 63;

/**
 * Makes the names of these disks free, where the domain's own former vDisks have them.
 * @returns the domain as it is now, and what to tell people
 * @throws AntipodeError `VDISK_EXISTS` when any other vDisk has one of the names: then nothing was renamed
 */
export async function setAside(
  site: Site,
  term: Term,
  {
    pd,
    disks,
    generation,
  }: {
    readonly pd: Stored<PdRecord>;
    readonly disks: readonly ActivationDisk[];
    readonly generation: number;
  },
): Promise<{ readonly pd: Stored<PdRecord>; readonly warnings: readonly string[] }> {
  const members = pd.value.groups.flatMap((group) => group.members);
  const inTheWay: { readonly name: string; readonly id: string }[] = [];
  for (const { vdiskName } of disks) {
    const taken = await site.coordinator.get(siteKeys.vdiskName(vdiskName));
    if (taken === undefined) continue;
    const id = fromUtf8(taken.value);
    if (!members.some((member) => member.vdiskId === id)) throw nameTaken(vdiskName);
    inTheWay.push({ name: vdiskName, id });
  }
  let current = pd;
  for (const { name, id } of inTheWay)
    current = await rename(site, term, current, {
      id,
      from: name,
      to: asideName(name, generation),
    });
  return {
    pd: current,
    warnings: current.value.groups.flatMap(({ members: kept }) => kept).map(keptWarning),
  };
}

/** The activation needs a name that is not free. */
export function nameTaken(name: string): AntipodeError {
  return new AntipodeError(
    "VDISK_EXISTS",
    `the activation needs the vDisk name ${name}, which is taken at this site by a vDisk that was never in the domain; delete that vDisk`,
    { vdisk: name },
  );
}

/** `disk` of before generation 3 is `disk-before-3`. */
function asideName(name: string, generation: number): string {
  const suffix = `-before-${generation}`;
  return `${name.slice(0, NAME_LENGTH_MAX - suffix.length)}${suffix}`;
}

const keptWarning = ({ vdiskName }: { readonly vdiskName: string }): string =>
  `What this site had before is kept as the vDisk ${vdiskName}; delete it when it is not needed.`;

async function rename(
  site: Site,
  term: Term,
  pd: Stored<PdRecord>,
  { id, from, to }: { readonly id: string; readonly from: string; readonly to: string },
): Promise<Stored<PdRecord>> {
  const { coordinator } = site;
  const vdisk = await readRecord<VdiskRecord>(coordinator, siteKeys.vdisk(id));
  const named = await coordinator.get(siteKeys.vdiskName(from));
  if (vdisk === undefined || named === undefined)
    throw new AntipodeError(
      "COORDINATOR_CONFLICT",
      `the vDisk ${from} was changed at the same time`,
      {
        vdisk: from,
      },
    );
  const renamed: PdRecord = {
    ...pd.value,
    groups: pd.value.groups.map((group) => ({
      ...group,
      members: group.members.map((member) =>
        member.vdiskId === id ? { ...member, vdiskName: to } : member,
      ),
    })),
  };
  await commit(
    coordinator,
    term,
    [
      unchanged(pd),
      unchanged(vdisk),
      { kind: "modRevision", key: named.key, equals: named.modRevision },
      absent(siteKeys.vdiskName(to)),
    ],
    [
      putRecord(pd.key, renamed),
      putRecord(vdisk.key, { ...vdisk.value, name: to }),
      deleteKey(named.key),
      { kind: "put", key: siteKeys.vdiskName(to), value: utf8(id) },
    ],
  );
  site.log.warn(
    { event: "vdisk.setAside", pd: pd.value.name, vdisk: id, from, to },
    "vDisk of an earlier time in office was set aside",
  );
  return await readPd(coordinator, pd.value.name);
}
