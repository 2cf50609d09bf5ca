/** `antipode vdisk`: virtual disks and the addresses at which block clients find them. */

import type { Command } from "commander";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { formatBytes, MIB, parseSize, SECTOR_SIZE_BYTES, TIB } from "../../base/units.ts";
import type { Infer } from "../../base/wire.ts";
import { DEFAULT_CONTAINER, nbdUri, type SitePlan } from "../../lab/index.ts";
import { type VdiskMessage, VdiskService } from "../../platform/wire/stargate.ts";
import { addCommand, addNoun, type Context, type Outcome, optional, required } from "../command.ts";
import { facts, table, timeText } from "../output.ts";
import { callSite, siteOf } from "../siteClient.ts";
import { checkName } from "./site.ts";

type Vdisk = Infer<typeof VdiskMessage>;

/** Making one waits for its first owner. */
const CREATE_TIMEOUT_MS = 15_000;

export function addVdiskCommands(program: Command): void {
  const noun = addNoun(program, "vdisk", "virtual disks");
  addCommand(noun, {
    usage: "create <name>",
    summary: "create a vDisk, empty or as a clone of a recovery point",
    more: "The JSON gives `uri`, the NBD address at its owner, and `uris`, one at every CVM.",
    options: [
      ["--size <size>", "e.g. 512MiB or 10GiB; a clone has its source's size"],
      ["--container <name>", `container (default: ${DEFAULT_CONTAINER})`],
      ["--from <vdisk@recovery-point>", "clone this"],
    ],
    atSite: true,
    examples: [
      "vdisk create disk1 --size 10GiB",
      "vdisk create copy --from disk1@rp-1",
      "vdisk create disk1 --size 1GiB --json",
    ],
    run: create,
  });
  addCommand(noun, {
    usage: "list",
    summary: "list the vDisks of a site",
    atSite: true,
    examples: ["vdisk list", "vdisk list --site B --json"],
    run: list,
  });
  addCommand(noun, {
    usage: "show <name>",
    summary: "show a vDisk, its owner and its NBD addresses",
    atSite: true,
    examples: ["vdisk show disk1", "vdisk show disk1 --json | jq -r .uri"],
    run: show,
  });
  addCommand(noun, {
    usage: "delete <name>",
    summary: "delete a vDisk that is neither protected nor connected",
    atSite: true,
    examples: ["vdisk delete disk1"],
    run: remove,
  });
}

function sizeOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined || bytes % SECTOR_SIZE_BYTES !== 0 || bytes < MIB || bytes > 64 * TIB)
    throw new AntipodeError("SIZE_INVALID", `"${text}" is no size of a vDisk`, { size: text });
  return bytes;
}

async function create(
  context: Context,
  [given]: readonly (string | undefined)[],
): Promise<Outcome> {
  const name = checkName(given);
  const { options } = context;
  const source = optional(options, "from") ?? "";
  const sizeBytes =
    source !== "" && optional(options, "size") === undefined
      ? 0
      : sizeOf(required(options, "size", "--size"));
  const container = optional(options, "container") ?? DEFAULT_CONTAINER;
  const site = siteOf(await context.lab(), optional(options, "site"));
  const earlier = { mayHaveSucceeded: false };
  const plan = {
    service: "stargate",
    deadlineMs: CREATE_TIMEOUT_MS,
    onAmbiguous: () => {
      earlier.mayHaveSucceeded = true;
    },
  } as const;
  const request = { name, container, sizeBytes, root: "", source };
  let vdisk: Vdisk;
  try {
    vdisk = await callSite(context, site, plan, VdiskService.createVdisk, request);
  } catch (error) {
    // An attempt whose answer was lost may have made it: then it is as asked for, and ours.
    if (!earlier.mayHaveSucceeded || codeOf(error) !== "VDISK_EXISTS") throw error;
    vdisk = await showAt(context, site, name);
    if (vdisk.container !== container || (sizeBytes !== 0 && vdisk.sizeBytes !== sizeBytes))
      throw error;
  }
  return outcomeOf(site, vdisk);
}

async function list(context: Context): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const plan = { service: "stargate" } as const;
  const { vdisks } = await callSite(context, site, plan, VdiskService.listVdisks, {});
  const rows = vdisks.map((one) => [
    one.name,
    formatBytes(one.sizeBytes),
    one.container,
    one.replicationFactor,
    ownerText(one),
    uriAtOwner(site, one),
  ]);
  return {
    json: { site: site.name, vdisks: vdisks.map((one) => vdiskJson(site, one)) },
    text: table(["vdisk", "size", "container", "rf", "owner", "uri"], rows),
  };
}

async function show(context: Context, [given]: readonly (string | undefined)[]): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  return outcomeOf(site, await showAt(context, site, name));
}

async function remove(
  context: Context,
  [given]: readonly (string | undefined)[],
): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  await callSite(context, site, { service: "stargate" }, VdiskService.deleteVdisk, { name });
  return { json: { site: site.name, name }, text: `vDisk ${name} is deleted` };
}

function showAt(context: Context, site: SitePlan, name: string): Promise<Vdisk> {
  return callSite(context, site, { service: "stargate" }, VdiskService.showVdisk, { name });
}

/** The owner's front-end serves without forwarding; any other does when there is no owner now. */
function uriAtOwner(site: SitePlan, vdisk: Vdisk): string {
  const cvm = site.cvms.find((one) => one.cvm === vdisk.owner) ?? site.cvms[0];
  return cvm === undefined ? "" : nbdUri(cvm.nbd, vdisk.name);
}

function ownerText(vdisk: Vdisk): string {
  return vdisk.owner === 0 ? "none yet" : `CVM ${vdisk.owner}`;
}

function vdiskJson(site: SitePlan, vdisk: Vdisk): Readonly<Record<string, unknown>> {
  return {
    site: site.name,
    ...vdisk,
    uri: uriAtOwner(site, vdisk),
    uris: site.cvms.map((cvm) => nbdUri(cvm.nbd, vdisk.name)),
  };
}

function outcomeOf(site: SitePlan, vdisk: Vdisk): Outcome {
  const text = facts([
    ["vDisk", vdisk.name],
    ["site", site.name],
    ["size", formatBytes(vdisk.sizeBytes)],
    ["container", `${vdisk.container}, RF ${vdisk.replicationFactor}`],
    ["owner", `${ownerText(vdisk)}, epoch ${vdisk.epoch}`],
    ["oplog at", vdisk.peers.map((peer) => `CVM ${peer}`).join(", ")],
    ["LSN", `${vdisk.lastLsn}, drained to ${vdisk.drainedLsn}`],
    ["root", vdisk.root === "" ? "all zero" : vdisk.root],
    ["created", timeText(vdisk.createdAtMs)],
    ["uri", uriAtOwner(site, vdisk)],
  ]);
  return { json: vdiskJson(site, vdisk), text };
}
