/** `antipode remote`: other sites as a site knows them. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { DEFAULT_CONTAINER, type OpenLab, type SitePlan } from "../../lab/index.ts";
import type { Address } from "../../platform/net.ts";
import { CerebroService, type RemoteSite } from "../../platform/wire/cerebro.ts";
import { addCommand, addNoun, type Context, type Outcome, optional } from "../command.ts";
import { facts, table } from "../output.ts";
import { callSite, newRequestId, siteOf } from "../siteClient.ts";
import { checkName } from "./site.ts";

const plan = { service: "cerebro" } as const;

export function addRemoteCommands(program: Command): void {
  const noun = addNoun(program, "remote", "remote sites: other sites as a site knows them");
  addCommand(noun, {
    usage: "create <name>",
    summary: "make a site known to another one",
    more: "Without addresses, <name> is a site of this lab, reached through the link. `lab up` does this for all.",
    options: [
      ["--cerebro <addresses>", "host:port of its Cerebros, with commas between"],
      ["--stargate <addresses>", "host:port of its Stargates, with commas between"],
      [
        "--container <mapping>",
        `local:remote name of a container (default: ${DEFAULT_CONTAINER}:${DEFAULT_CONTAINER})`,
      ],
    ],
    atSite: true,
    examples: [
      "remote create B",
      "remote create far --cerebro 10.0.0.1:2020 --stargate 10.0.0.1:2009,10.0.0.2:2009",
    ],
    run: create,
  });
  addCommand(noun, {
    usage: "list",
    summary: "list the remote sites of a site",
    atSite: true,
    examples: ["remote list --site B"],
    run: list,
  });
  addCommand(noun, {
    usage: "show <name>",
    summary: "show a remote site and whether it answers",
    atSite: true,
    examples: ["remote show B"],
    run: show,
  });
  addCommand(noun, {
    usage: "delete <name>",
    summary: "forget a remote site",
    atSite: true,
    examples: ["remote delete B"],
    run: remove,
  });
}

type Args = readonly (string | undefined)[];

/**
 * Parses "10.0.0.1:2020,10.0.0.2:2020".
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function parseAddresses(text: string, flag: string): readonly Address[] {
  return text.split(",").map((part) => {
    const match = /^\s*([^\s:]+):(\d{1,5})\s*$/.exec(part);
    const port = Number(match?.[2] ?? 0);
    if (match?.[1] === undefined || port < 1 || port > 65_535)
      throw new AntipodeError("INVALID_ARGUMENT", `${flag}: "${part.trim()}" is no host:port`);
    return { host: match[1], port };
  });
}

function addressesOf(
  context: Context,
  open: OpenLab,
  site: SitePlan,
  name: string,
): { readonly cerebros: readonly Address[]; readonly stargates: readonly Address[] } {
  const cerebro = optional(context.options, "cerebro");
  const stargate = optional(context.options, "stargate");
  if (cerebro !== undefined && stargate !== undefined)
    return {
      cerebros: parseAddresses(cerebro, "--cerebro"),
      stargates: parseAddresses(stargate, "--stargate"),
    };
  if (cerebro !== undefined || stargate !== undefined)
    throw new AntipodeError("INVALID_ARGUMENT", "--cerebro and --stargate go together");
  const seen = site.remotes.find((remote) => remote.site === name);
  if (seen === undefined) {
    siteOf(open, name);
    throw new AntipodeError("INVALID_ARGUMENT", `site ${name} is no remote of itself`);
  }
  return {
    cerebros: seen.cvms.map((cvm) => cvm.cerebro),
    stargates: seen.cvms.map((cvm) => cvm.stargate),
  };
}

async function create(context: Context, [given]: Args): Promise<Outcome> {
  const name = checkName(given);
  const [local = "", remote = local] = (
    optional(context.options, "container") ?? DEFAULT_CONTAINER
  ).split(":");
  const containers = [{ local: checkName(local), remote: checkName(remote) }];
  const open = await context.lab();
  const site = siteOf(open, optional(context.options, "site"));
  const request = {
    name,
    ...addressesOf(context, open, site, name),
    containers,
    requestId: newRequestId(context),
  };
  const answer = await callSite(context, site, plan, CerebroService.createRemote, request);
  if (answer.remote === undefined)
    throw new AntipodeError("MESSAGE_INVALID", "the answer lacks its content");
  return {
    json: { site: site.name, remote: answer.remote },
    text: remoteText(answer.remote, undefined),
  };
}

async function list(context: Context): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const { remotes } = await callSite(context, site, plan, CerebroService.listRemotes, {});
  const rows = remotes.map((remote) => [
    remote.name,
    remote.site || "not met yet",
    remote.cerebros.map(({ host, port }) => `${host}:${port}`).join(","),
  ]);
  return {
    json: { site: site.name, remotes },
    text: table(["remote", "site", "cerebros"], rows),
  };
}

async function show(context: Context, [given]: Args): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const answer = await callSite(context, site, plan, CerebroService.showRemote, { name });
  const { remote, reachable, roundTripMs, problem } = answer;
  if (remote === undefined)
    throw new AntipodeError("REMOTE_NOT_FOUND", `there is no remote "${name}"`);
  const state = reachable
    ? `answers after ${roundTripMs.toFixed(1)} ms`
    : `does not answer: ${problem}`;
  return { json: { site: site.name, ...answer }, text: remoteText(remote, state) };
}

async function remove(context: Context, [given]: Args): Promise<Outcome> {
  const name = checkName(given);
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  await callSite(context, site, plan, CerebroService.deleteRemote, { name });
  return { json: { site: site.name, name }, text: `Remote site ${name} is forgotten` };
}

function remoteText(remote: RemoteSite, state: string | undefined): string {
  const text = (addresses: readonly Address[]): string =>
    addresses.map(({ host, port }) => `${host}:${port}`).join(", ");
  const entries: (readonly [string, string])[] = [
    ["remote", remote.name],
    ["site", remote.site || "not met yet"],
    ["cerebros", text(remote.cerebros)],
    ["stargates", text(remote.stargates)],
    ["containers", remote.containers.map((one) => `${one.local} → ${one.remote}`).join(", ")],
  ];
  if (state !== undefined) entries.push(["state", state]);
  return facts(entries);
}
