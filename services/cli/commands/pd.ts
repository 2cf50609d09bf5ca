/** `antipode pd`: protection domains, from protecting vDisks to activating them at the other site. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import type { ProtectionDomain } from "../../platform/wire/cerebro.ts";
import { CerebroService } from "../../platform/wire/cerebro.ts";
import { addCommand, addNoun, type Context, type Outcome, optional, required } from "../command.ts";
import { facts, table, timeText } from "../output.ts";
import { callSite, newRequestId, siteOf } from "../siteClient.ts";
import { jobOutcome, watchJob } from "./job.ts";
import { pointJson, pointText } from "./recoveryPoint.ts";
import { checkName } from "./site.ts";

/** Its roots are known when the drains have passed the markers: with a full oplog that takes long. */
const SNAPSHOT_TIMEOUT_MS = 180_000;
/** Cloning is quick; asking a source that is gone takes its time. */
const ACTIVATE_TIMEOUT_MS = 60_000;
const plan = { service: "cerebro" } as const;

export function addPdCommands(program: Command): void {
  const noun = addNoun(
    program,
    "pd",
    "protection domains: what is cut, replicated, failed over together",
  );
  addMembership(noun);
  addCommand(noun, {
    usage: "snapshot <pd>",
    summary: "take a recovery point of everything in the protection domain",
    options: [["--name <name>", "name of the recovery point (default: the next rp-N)"]],
    atSite: true,
    examples: ["pd snapshot gold", "pd snapshot gold --name before-upgrade"],
    run: snapshot,
  });
  addCommand(noun, {
    usage: "replicate <pd>",
    summary: "replicate a recovery point to a remote site",
    options: [
      ["--to <remote>", "the remote site"],
      ["--recovery-point <id-or-name>", "which one (default: the newest)"],
      ["--wait", "show progress until it has ended"],
    ],
    atSite: true,
    examples: ["pd replicate gold --to B --wait", "pd replicate gold --to B --recovery-point rp-1"],
    run: replicate,
  });
  addCommand(noun, {
    usage: "activate <pd>",
    summary: "make the protection domain active at a site, from a recovery point it holds",
    more: "This is the failover: run it with --site of the surviving site. Failing back is the same in the other direction, after `pd snapshot` and `pd replicate` at the active site; what a site had before is kept under another name.",
    options: [
      ["--recovery-point <id-or-name>", "which one (default: the newest)"],
      ["--force", "also while the other site is reachable and active: it is told to deactivate"],
    ],
    atSite: true,
    examples: [
      "pd activate gold --site B",
      "pd activate gold --site B --recovery-point rp-2 --force",
    ],
    run: activate,
  });
}

function addMembership(noun: Command): void {
  addCommand(noun, {
    usage: "create <name>",
    summary: "create a protection domain",
    atSite: true,
    examples: ["pd create gold"],
    run: create,
  });
  addCommand(noun, {
    usage: "delete <pd>",
    summary: "delete a protection domain; its vDisks stay",
    atSite: true,
    examples: ["pd delete gold"],
    run: remove,
  });
  addCommand(noun, {
    usage: "list",
    summary: "list the protection domains of a site",
    atSite: true,
    examples: ["pd list", "pd list --site B"],
    run: list,
  });
  addCommand(noun, {
    usage: "show <pd>",
    summary: "show a protection domain",
    atSite: true,
    examples: ["pd show gold"],
    run: show,
  });
  addCommand(noun, {
    usage: "protect <pd> <vdisks...>",
    summary: "put vDisks into a consistency group: they are cut at the same instant",
    options: [["--group <name>", "consistency group (default: default)"]],
    atSite: true,
    examples: ["pd protect gold disk1 disk2", "pd protect gold db log --group database"],
    run: protect,
  });
  addCommand(noun, {
    usage: "unprotect <pd> <vdisks...>",
    summary: "take vDisks out",
    atSite: true,
    examples: ["pd unprotect gold disk2"],
    run: unprotect,
  });
}

type Args = readonly (string | undefined)[];

const siteNameOf = (context: Context): string | undefined => optional(context.options, "site");

function pdOutcome(site: string, pd: ProtectionDomain | undefined): Outcome {
  if (pd === undefined) throw new AntipodeError("MESSAGE_INVALID", "the answer lacks its content");
  const groups = pd.groups.map(
    (group) => `${group.name}: ${group.members.map((member) => member.vdiskName).join(", ")}`,
  );
  return {
    json: { site, pd },
    text: facts([
      ["protection domain", pd.name],
      ["site", site],
      ["state", `${pd.state}, generation ${pd.generation}`],
      ["groups", groups.join("; ") || "none"],
      ["newest recovery point", pd.newestPointName || "none"],
      ["source", pd.sourceSite],
      ["created", timeText(pd.createdAtMs)],
    ]),
  };
}

async function create(context: Context, [given]: Args): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), siteNameOf(context));
  const request = { name, requestId: newRequestId(context) };
  const { pd } = await callSite(context, site, plan, CerebroService.createPd, request);
  return pdOutcome(site.name, pd);
}

async function remove(context: Context, [given]: Args): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), siteNameOf(context));
  await callSite(context, site, plan, CerebroService.deletePd, { name });
  return { json: { site: site.name, name }, text: `Protection domain ${name} is deleted` };
}

async function list(context: Context): Promise<Outcome> {
  const site = siteOf(await context.lab(), siteNameOf(context));
  const { pds } = await callSite(context, site, plan, CerebroService.listPds, {});
  const rows = pds.map((pd) => [
    pd.name,
    pd.state,
    pd.generation,
    pd.groups.flatMap((group) => group.members).length,
    pd.newestPointName || "-",
  ]);
  return {
    json: { site: site.name, pds },
    text: table(["pd", "state", "generation", "vdisks", "newest"], rows),
  };
}

async function show(context: Context, [given]: Args): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), siteNameOf(context));
  const { pd } = await callSite(context, site, plan, CerebroService.showPd, { name });
  return pdOutcome(site.name, pd);
}

async function protect(context: Context, [given, ...vdisks]: Args): Promise<Outcome> {
  const group = optional(context.options, "group");
  const request = {
    pd: checkName(given),
    group: group === undefined ? "" : checkName(group),
    vdisks: vdisks.map(checkName),
  };
  const site = siteOf(await context.lab(), siteNameOf(context));
  const { pd } = await callSite(context, site, plan, CerebroService.protect, request);
  return pdOutcome(site.name, pd);
}

async function unprotect(context: Context, [given, ...vdisks]: Args): Promise<Outcome> {
  const request = { pd: checkName(given), vdisks: vdisks.map(checkName) };
  const site = siteOf(await context.lab(), siteNameOf(context));
  const { pd } = await callSite(context, site, plan, CerebroService.unprotect, request);
  return pdOutcome(site.name, pd);
}

async function snapshot(context: Context, [given]: Args): Promise<Outcome> {
  const name = optional(context.options, "name");
  const request = {
    pd: checkName(given),
    name: name === undefined ? "" : checkName(name),
    requestId: newRequestId(context),
  };
  const site = siteOf(await context.lab(), siteNameOf(context));
  const patient = { ...plan, deadlineMs: SNAPSHOT_TIMEOUT_MS };
  const answer = await callSite(context, site, patient, CerebroService.snapshot, request);
  const point = answer.recoveryPoint;
  if (point === undefined)
    throw new AntipodeError("MESSAGE_INVALID", "the answer lacks its content");
  return { json: { site: site.name, recoveryPoint: pointJson(point) }, text: pointText(point) };
}

async function replicate(context: Context, [given]: Args): Promise<Outcome> {
  const request = {
    pd: checkName(given),
    recoveryPoint: optional(context.options, "recoveryPoint") ?? "",
    remote: checkName(required(context.options, "to", "--to")),
    requestId: newRequestId(context),
  };
  const site = siteOf(await context.lab(), siteNameOf(context));
  const { job } = await callSite(context, site, plan, CerebroService.replicate, request);
  if (job === undefined) throw new AntipodeError("MESSAGE_INVALID", "the answer lacks its content");
  if (context.options["wait"] !== true) return jobOutcome(site.name, job);
  return jobOutcome(site.name, await watchJob(context, site, job.id));
}

async function activate(context: Context, [given]: Args): Promise<Outcome> {
  const request = {
    pd: checkName(given),
    recoveryPoint: optional(context.options, "recoveryPoint") ?? "",
    force: context.options["force"] === true,
    requestId: newRequestId(context),
  };
  const site = siteOf(await context.lab(), siteNameOf(context));
  const startedMs = context.world.clock.now();
  const patient = { ...plan, deadlineMs: ACTIVATE_TIMEOUT_MS };
  const answer = await callSite(context, site, patient, CerebroService.activate, request);
  const activateMs = context.world.clock.now() - startedMs;
  const point = answer.recoveryPoint;
  const text = [
    `Protection domain ${request.pd} is active at site ${site.name} after ${formatDuration(activateMs)}`,
    facts([
      [
        "recovery point",
        point === undefined ? "" : `${point.name} of ${timeText(point.createdAtMs)}`,
      ],
      ["vDisks", answer.vdisks.map((one) => one.vdiskName).join(", ")],
    ]),
    ...answer.warnings.map((warning) => `warning: ${warning}`),
  ].join("\n");
  return { json: { site: site.name, activateMs: Math.round(activateMs), ...answer }, text };
}
