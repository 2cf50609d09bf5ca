/** `antipode site` and `antipode container`. */

import type { Command } from "commander";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { isName } from "../../base/siteRecords.ts";
import type { SitePlan } from "../../lab/index.ts";
import { CerebroService } from "../../platform/wire/cerebro.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { addCommand, addNoun, type Context, type Outcome, optional } from "../command.ts";
import { facts, table } from "../output.ts";
import { callSite, siteOf } from "../siteClient.ts";

/** For looking around: a site that does not answer is shown as such, soon. */
const GLANCE_TIMEOUT_MS = 2000;

export function addSiteCommands(program: Command): void {
  const noun = addNoun(program, "site", "look at sites");
  addCommand(noun, {
    usage: "list",
    summary: "list the sites of the lab",
    examples: ["site list"],
    run: list,
  });
  addCommand(noun, {
    usage: "show [site]",
    summary: "show a site: CVMs, leader, what it holds",
    examples: ["site show B"],
    run: show,
  });
}

export function addContainerCommands(program: Command): void {
  const noun = addNoun(program, "container", "storage containers: the policy of their vDisks");
  addCommand(noun, {
    usage: "create <name>",
    summary: "create a container",
    options: [
      ["--rf <copies>", "copies of everything: 1, 2 or 3 (default: 2, or 1 with one CVM)"],
      ["--no-compression", "store chunks as they are"],
    ],
    atSite: true,
    examples: ["container create fast --rf 1", "container create safe --rf 3 --site B"],
    run: createContainer,
  });
  addCommand(noun, {
    usage: "list",
    summary: "list the containers of a site",
    atSite: true,
    examples: ["container list --site B"],
    run: listContainers,
  });
  addCommand(noun, {
    usage: "delete <name>",
    summary: "delete a container that holds no vDisk",
    atSite: true,
    examples: ["container delete fast"],
    run: deleteContainer,
  });
}

interface Glance {
  readonly leader: number;
  readonly epoch: number;
  /** Why nobody answered, or "". */
  readonly problem: string;
}

/** The site's Cerebro leader, or why it is not known. */
async function glanceAt(context: Context, site: SitePlan): Promise<Glance> {
  try {
    const plan = { service: "cerebro", deadlineMs: GLANCE_TIMEOUT_MS } as const;
    const { cvm, epoch } = await callSite(context, site, plan, CerebroService.leader, {});
    return { leader: cvm, epoch, problem: cvm === 0 ? "NO_LEADER" : "" };
  } catch (error) {
    const problem = codeOf(error);
    if (problem === undefined || context.signal.aborted) throw error;
    return { leader: 0, epoch: 0, problem };
  }
}

async function list(context: Context): Promise<Outcome> {
  const { plan } = await context.lab();
  const sites = await Promise.all(
    plan.sites.map(async (site) => ({
      name: site.name,
      cvms: site.cvms.length,
      etcd: site.etcd,
      ...(await glanceAt(context, site)),
    })),
  );
  const rows = sites.map((site) => [
    site.name,
    site.cvms,
    site.problem === "" ? `CVM ${site.leader}` : site.problem,
    `${site.etcd.host}:${site.etcd.port}`,
  ]);
  return { json: { sites }, text: table(["site", "cvms", "leader", "etcd"], rows) };
}

async function show(context: Context, [name]: readonly (string | undefined)[]): Promise<Outcome> {
  const open = await context.lab();
  const site = siteOf(open, name);
  const incarnation = open.lab.sites.find((one) => one.name === site.name)?.incarnation ?? "";
  const glance = await glanceAt(context, site);
  const [{ containers }, { vdisks }] = await Promise.all([
    callSite(context, site, { service: "stargate" }, VdiskService.listContainers, {}),
    callSite(context, site, { service: "stargate" }, VdiskService.listVdisks, {}),
  ]);
  const rows = site.cvms.map((cvm) => [
    cvm.cvm,
    `${cvm.stargate.host}:${cvm.stargate.port}`,
    `${cvm.cerebro.host}:${cvm.cerebro.port}`,
    `${cvm.nbd.host}:${cvm.nbd.port}`,
  ]);
  const summary = facts([
    ["site", site.name],
    ["incarnation", incarnation],
    [
      "leader",
      glance.problem === "" ? `CVM ${glance.leader}, epoch ${glance.epoch}` : glance.problem,
    ],
    ["etcd", `${site.etcd.host}:${site.etcd.port}`],
    ["containers", containers.map((container) => container.name).join(", ")],
    ["vDisks", vdisks.length],
  ]);
  return {
    json: { ...site, incarnation, ...glance, containers, vdisks: vdisks.map((one) => one.name) },
    text: `${summary}\n\n${table(["cvm", "stargate", "cerebro", "nbd"], rows)}`,
  };
}

/**
 * Refuses what can be no name before anybody is asked.
 * @throws AntipodeError `NAME_INVALID`
 */
export function checkName(name: string | undefined): string {
  if (name !== undefined && isName(name)) return name;
  throw new AntipodeError("NAME_INVALID", `"${name ?? ""}" is no valid name`, { name: name ?? "" });
}

async function createContainer(
  context: Context,
  [given]: readonly (string | undefined)[],
): Promise<Outcome> {
  const name = checkName(given);
  const rf = optional(context.options, "rf");
  if (rf !== undefined && !/^[123]$/.test(rf))
    throw new AntipodeError("INVALID_ARGUMENT", `--rf is 1, 2 or 3, not "${rf}"`);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const replicationFactor = rf === undefined ? Math.min(2, site.cvms.length) : Number(rf);
  if (replicationFactor > site.cvms.length)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `${replicationFactor} copies need as many CVMs; site ${site.name} has ${site.cvms.length}`,
    );
  const container = {
    name,
    replicationFactor,
    compression: context.options["compression"] !== false,
  };
  await callSite(context, site, { service: "stargate" }, VdiskService.createContainer, container);
  return {
    json: { site: site.name, container },
    text: `Container ${name} is at site ${site.name}: RF ${replicationFactor}, compression ${container.compression ? "on" : "off"}`,
  };
}

async function listContainers(context: Context): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const plan = { service: "stargate" } as const;
  const { containers } = await callSite(context, site, plan, VdiskService.listContainers, {});
  const rows = containers.map((one) => [
    one.name,
    one.replicationFactor,
    one.compression ? "lz4" : "off",
  ]);
  return {
    json: { site: site.name, containers },
    text: table(["container", "rf", "compression"], rows),
  };
}

async function deleteContainer(
  context: Context,
  [given]: readonly (string | undefined)[],
): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  await callSite(context, site, { service: "stargate" }, VdiskService.deleteContainer, { name });
  return { json: { site: site.name, name }, text: `Container ${name} is deleted` };
}
