/** `antipode recovery-point`: list, show, verify, compare and delete recovery points. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import type { Method } from "../../base/wire.ts";
import type { SitePlan } from "../../lab/index.ts";
import type { Address } from "../../platform/net.ts";
import { CerebroService, type RecoveryPoint } from "../../platform/wire/cerebro.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { addCommand, addNoun, type Context, type Outcome, optional } from "../command.ts";
import { facts, shortId, table, timeText } from "../output.ts";
import { createProgress } from "../progress.ts";
import { callSite, siteOf, trySite } from "../siteClient.ts";

const plan = { service: "cerebro" } as const;
/** More regions than this are summed up for people; --json has all. */
const REGIONS_SHOWN_MAX = 40;
/** What the answer of a diff may hold in memory. */
const REGIONS_MAX = 1_000_000;
const PD_OPTION = [
  "--pd <name>",
  "its protection domain; needed with a name, not with an id",
] as const;

export function addRecoveryPointCommands(program: Command): void {
  const noun = addNoun(
    program,
    "recovery-point",
    "recovery points: signed snapshots that never change",
  );
  addCommand(noun, {
    usage: "list",
    summary: "list the recovery points that a site holds",
    options: [["--pd <name>", "of this protection domain only"]],
    atSite: true,
    examples: ["recovery-point list", "recovery-point list --pd gold --site B"],
    run: list,
  });
  addCommand(noun, {
    usage: "show <id-or-name>",
    summary: "show a recovery point and the roots of its vDisks",
    options: [PD_OPTION],
    atSite: true,
    examples: ["recovery-point show rp-1 --pd gold"],
    run: show,
  });
  addCommand(noun, {
    usage: "verify <id-or-name>",
    summary: "read everything below its roots and recompute every fingerprint",
    options: [PD_OPTION],
    atSite: true,
    examples: ["recovery-point verify rp-1 --pd gold --site B"],
    run: verify,
  });
  addCommand(noun, {
    usage: "diff <from> <to>",
    summary: "show the regions that differ between two recovery points",
    options: [PD_OPTION, ["--vdisk <name>", "of this vDisk only"]],
    atSite: true,
    examples: ["recovery-point diff rp-1 rp-2 --pd gold"],
    run: diff,
  });
  addCommand(noun, {
    usage: "delete <id-or-name>",
    summary: "delete a recovery point that no job uses",
    options: [PD_OPTION],
    atSite: true,
    examples: ["recovery-point delete rp-1 --pd gold"],
    run: remove,
  });
}

type Args = readonly (string | undefined)[];

/** A recovery point for programs. */
export function pointJson(point: RecoveryPoint): Readonly<Record<string, unknown>> {
  return { ...point };
}

/** A recovery point for people. */
export function pointText(point: RecoveryPoint): string {
  const rows = point.disks.map((disk) => [
    disk.vdiskName,
    formatBytes(disk.sizeBytes),
    disk.lsn,
    disk.root === "" ? "all zero" : disk.root,
  ]);
  const summary = facts([
    ["recovery point", `${point.name} of ${point.protectionDomain}`],
    ["id", point.id],
    ["taken", `${timeText(point.createdAtMs)} at site ${point.sourceSite}`],
    ["writes were held", `${point.holdMs.toFixed(1)} ms`],
    ["after", point.parentId === "" ? "none" : point.parentId],
  ]);
  return `${summary}\n\n${table(["vdisk", "size", "lsn", "root"], rows)}`;
}

function reference(
  context: Context,
  given: string | undefined,
): { pd: string; recoveryPoint: string } {
  if (given === undefined || given === "")
    throw new AntipodeError("INVALID_ARGUMENT", "the id or name of a recovery point is needed");
  const pd = optional(context.options, "pd") ?? "";
  if (pd === "" && !/^[0-9a-f]{32}$/.test(given))
    throw new AntipodeError("INVALID_ARGUMENT", `"${given}" is a name, so --pd is needed`);
  return { pd, recoveryPoint: given };
}

async function list(context: Context): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const pd = optional(context.options, "pd") ?? "";
  const answer = await callSite(context, site, plan, CerebroService.listRecoveryPoints, { pd });
  const rows = answer.recoveryPoints.map((point) => [
    point.protectionDomain,
    point.name,
    shortId(point.id),
    timeText(point.createdAtMs),
    point.sourceSite,
    point.disks.length,
    formatBytes(point.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0)),
  ]);
  return {
    json: { site: site.name, recoveryPoints: answer.recoveryPoints.map(pointJson) },
    text: table(["pd", "name", "id", "taken", "source", "vdisks", "size"], rows),
  };
}

async function pointOf(
  context: Context,
  site: SitePlan,
  given: string | undefined,
): Promise<RecoveryPoint> {
  const request = reference(context, given);
  const answer = await callSite(context, site, plan, CerebroService.showRecoveryPoint, request);
  const point = answer.recoveryPoint;
  if (point === undefined)
    throw new AntipodeError(
      "RECOVERY_POINT_NOT_FOUND",
      `there is no recovery point "${given ?? ""}"`,
    );
  return point;
}

async function show(context: Context, [given]: Args): Promise<Outcome> {
  const request = reference(context, given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const answer = await callSite(context, site, plan, CerebroService.showRecoveryPoint, request);
  const point = answer.recoveryPoint;
  if (point === undefined)
    throw new AntipodeError(
      "RECOVERY_POINT_NOT_FOUND",
      `there is no recovery point "${given ?? ""}"`,
    );
  const held = answer.heldBy.length === 0 ? "" : `\n\nused by jobs ${answer.heldBy.join(", ")}`;
  return {
    json: { site: site.name, recoveryPoint: pointJson(point), heldBy: answer.heldBy },
    text: pointText(point) + held,
  };
}

/** Messages of a server stream from one address; cancelled on Ctrl-C. */
async function* messages<Q, A>(
  context: Context,
  address: Address,
  method: Method<Q, A, "serverStream">,
  request: Q,
): AsyncGenerator<A> {
  const stream = context.world.rpc.connect(address).stream(method);
  const stop = (): void => {
    stream.cancel();
  };
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    await stream.send(request);
    stream.end();
    yield* stream.incoming;
  } finally {
    context.signal.removeEventListener("abort", stop);
    stream.cancel();
  }
}

async function verify(context: Context, [given]: Args): Promise<Outcome> {
  const request = reference(context, given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const bar = createProgress({ json: context.json }).bar("verifying", "bytes");
  const last = await trySite(context, site, plan, async (address) => {
    for await (const progress of messages(
      context,
      address,
      CerebroService.verifyRecoveryPoint,
      request,
    )) {
      bar.update(progress.checkedBytes, progress.totalBytes, progress.vdiskName);
      if (!progress.done) continue;
      bar.update(progress.totalBytes, progress.totalBytes);
      return progress;
    }
    throw new AntipodeError("PEER_UNREACHABLE", "the verification ended early");
  }).finally(() => {
    bar.end();
  });
  const { signatureValid, checkedBytes, missingChunks, corruptChunks } = last;
  const valid = signatureValid && missingChunks === 0 && corruptChunks === 0;
  if (!valid)
    throw new AntipodeError(
      "CHECK_FAILED",
      `the recovery point is damaged: ${missingChunks} chunks missing, ${corruptChunks} corrupt, signature ${signatureValid ? "valid" : "not valid"}`,
      { missingChunks, corruptChunks, signatureValid },
    );
  return {
    json: { site: site.name, valid, ...last },
    text: `Every fingerprint holds and the signature is valid: ${formatBytes(checkedBytes)} read`,
  };
}

async function diff(context: Context, [from, to]: Args): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const only = optional(context.options, "vdisk");
  const [before, after] = [await pointOf(context, site, from), await pointOf(context, site, to)];
  const disks = after.disks.filter((disk) => only === undefined || disk.vdiskName === only);
  if (disks.length === 0)
    throw new AntipodeError("VDISK_NOT_FOUND", `the recovery points hold no vDisk "${only ?? ""}"`);
  const results = [];
  for (const disk of disks) {
    const baseRoot = before.disks.find((one) => one.vdiskId === disk.vdiskId)?.root ?? "";
    const request = { root: disk.root, baseRoot, sizeBytes: disk.sizeBytes };
    const regions = await trySite(context, site, { service: "stargate" }, async (address) => {
      const found: { offsetBytes: number; lengthBytes: number; zero: boolean }[] = [];
      for await (const part of messages(context, address, VdiskService.diff, request)) {
        found.push(...part.regions);
        if (found.length > REGIONS_MAX)
          throw new AntipodeError("OVERLOADED", `more than ${REGIONS_MAX} regions differ`);
      }
      return found;
    });
    const changedBytes = regions.reduce((sum, region) => sum + region.lengthBytes, 0);
    results.push({ vdisk: disk.vdiskName, changedBytes, regions });
  }
  const text = results
    .map(({ vdisk, changedBytes, regions }) => {
      const rows = regions
        .slice(0, REGIONS_SHOWN_MAX)
        .map((one) => [one.offsetBytes, one.lengthBytes, one.zero ? "zero" : "data"]);
      const rest = regions.length - rows.length;
      const title = `${vdisk}: ${formatBytes(changedBytes)} differ in ${regions.length} regions`;
      const more = rest > 0 ? `\n… and ${rest} more; --json has all` : "";
      return regions.length === 0
        ? title
        : `${title}\n${table(["offset", "length", "now"], rows)}${more}`;
    })
    .join("\n\n");
  return { json: { site: site.name, from: before.id, to: after.id, vdisks: results }, text };
}

async function remove(context: Context, [given]: Args): Promise<Outcome> {
  const request = reference(context, given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  await callSite(context, site, plan, CerebroService.deleteRecoveryPoint, request);
  return {
    json: { site: site.name, ...request },
    text: `Recovery point ${given ?? ""} is deleted`,
  };
}
