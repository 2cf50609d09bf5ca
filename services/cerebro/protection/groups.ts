/**
 * Consistency groups as values: adding and removing members, and the limits on both. Pure.
 */

import { AntipodeError } from "../../base/errors.ts";
import { GROUP_MEMBERS_MAX, GROUPS_MAX, PD_MEMBERS_MAX } from "../limits.ts";
import type { GroupRecord, MemberRecord } from "../state/records.ts";

export const DEFAULT_GROUP = "default";

/** All members of all groups, in order. */
export function membersOf(groups: readonly GroupRecord[]): readonly MemberRecord[] {
  return groups.flatMap((group) => group.members);
}

/** Name of the group that a vDisk is in. */
export function groupOf(groups: readonly GroupRecord[], vdiskId: string): string | undefined {
  return groups.find((group) => group.members.some((member) => member.vdiskId === vdiskId))?.name;
}

/**
 * Adds members to a group, which is made when it is not there. Members that are in it already stay.
 * @throws AntipodeError `INVALID_ARGUMENT` when a limit is reached or a vDisk is in another group
 */
export function addMembers(
  groups: readonly GroupRecord[],
  name: string,
  added: readonly MemberRecord[],
): readonly GroupRecord[] {
  for (const member of added) {
    const where = groupOf(groups, member.vdiskId);
    if (where !== undefined && where !== name)
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `the vDisk ${member.vdiskName} is in the consistency group ${where} already`,
        { vdisk: member.vdiskName, group: where },
      );
  }
  const fresh = added.filter(
    (member, index) =>
      groupOf(groups, member.vdiskId) === undefined &&
      added.findIndex((other) => other.vdiskId === member.vdiskId) === index,
  );
  const before = groups.find((group) => group.name === name);
  const after: GroupRecord = { name, members: [...(before?.members ?? []), ...fresh] };
  const result =
    before === undefined
      ? [...groups, after]
      : groups.map((group) => (group.name === name ? after : group));
  checkLimits(result);
  return result;
}

/** Removes members by vDisk name; groups that become empty go. */
export function removeMembers(
  groups: readonly GroupRecord[],
  vdiskNames: readonly string[],
): { readonly groups: readonly GroupRecord[]; readonly removed: readonly MemberRecord[] } {
  const leaves = (member: MemberRecord): boolean => vdiskNames.includes(member.vdiskName);
  return {
    groups: groups
      .map((group) => ({ ...group, members: group.members.filter((member) => !leaves(member)) }))
      .filter((group) => group.members.length > 0),
    removed: membersOf(groups).filter(leaves),
  };
}

function checkLimits(groups: readonly GroupRecord[]): void {
  const tooMany = (what: string, max: number): never => {
    throw new AntipodeError("INVALID_ARGUMENT", `${what}; ${max} is the most`, { max });
  };
  if (groups.length > GROUPS_MAX) tooMany("too many consistency groups", GROUPS_MAX);
  if (groups.some((group) => group.members.length > GROUP_MEMBERS_MAX))
    tooMany("too many vDisks in a consistency group", GROUP_MEMBERS_MAX);
  if (membersOf(groups).length > PD_MEMBERS_MAX)
    tooMany("too many vDisks in a protection domain", PD_MEMBERS_MAX);
}
