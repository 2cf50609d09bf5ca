/** `antipode chaos`: kills, freezes and starts processes of the lab. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { callGenesis, type OpenLab } from "../../lab/index.ts";
import { GenesisService, type ServiceStatus } from "../../platform/wire/genesis.ts";
import { parseTarget, targetHelp } from "../chaosTarget.ts";
import { addCommand, addNoun, type Context, type Outcome } from "../command.ts";
import { leaderProcess } from "../leaderProcess.ts";
import { table } from "../output.ts";
import { siteOf } from "../siteClient.ts";
import { type SignalName, signalGenesis } from "./chaosGenesis.ts";
import { addChaosRunCommands } from "./chaosRun.ts";

export function addChaosCommands(program: Command): void {
  const noun = addNoun(program, "chaos", "kill, freeze and start processes");
  addCommand(noun, {
    usage: "kill <target>",
    summary: "kill -9; genesis starts it again unless told otherwise",
    more: targetHelp,
    options: [
      ["--stay-dead", "do not start it again, until `chaos start`"],
      ["--term", "SIGTERM instead of SIGKILL"],
    ],
    examples: [
      "chaos kill stargate@A/1",
      "chaos kill leader@A",
      "chaos kill site@A --stay-dead",
      "chaos kill wan --json",
    ],
    run: (context, [target]) =>
      send(context, target, context.options["term"] === true ? "SIGTERM" : "SIGKILL"),
  });
  addCommand(noun, {
    usage: "stop <target>",
    summary: "freeze (SIGSTOP): it keeps its connections and answers nothing",
    more: targetHelp,
    examples: ["chaos stop cerebro@A/2", "chaos stop etcd@B"],
    run: (context, [target]) => send(context, target, "SIGSTOP"),
  });
  addCommand(noun, {
    usage: "continue <target>",
    summary: "let a frozen process go on (SIGCONT)",
    more: targetHelp,
    examples: ["chaos continue cerebro@A/2", "chaos continue site@A"],
    run: (context, [target]) => send(context, target, "SIGCONT"),
  });
  addCommand(noun, {
    usage: "start <target>",
    summary: "start what was left dead",
    more: targetHelp,
    examples: ["chaos start site@A", "chaos start stargate@A/1"],
    run: start,
  });
  addChaosRunCommands(noun);
}

async function listServices(context: Context, open: OpenLab): Promise<readonly ServiceStatus[]> {
  const { world, signal } = context;
  return (await callGenesis(world, open, GenesisService.list, {}, signal)).services;
}

/** Ids of the services that a target means. */
async function resolve(context: Context, open: OpenLab, text: string): Promise<readonly string[]> {
  const target = parseTarget(text);
  const services = await listServices(context, open);
  switch (target.kind) {
    case "service":
      return [requireService(services, target.id)];
    case "site": {
      const site = siteOf(open, target.site);
      return services.filter((one) => one.site === site.name).map((one) => one.id);
    }
    case "cvm": {
      const site = siteOf(open, target.site);
      const ids = services.filter((one) => one.site === site.name && one.cvm === target.cvm);
      if (ids.length === 0)
        throw new AntipodeError("CVM_NOT_FOUND", `site ${site.name} has no CVM ${target.cvm}`);
      return ids.map((one) => one.id);
    }
    case "leader":
      return [await leaderProcess(context, open, siteOf(open, target.site))];
    case "genesis":
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        "genesis can be killed, stopped and continued only",
      );
  }
}

function requireService(services: readonly ServiceStatus[], id: string): string {
  if (services.some((one) => one.id === id)) return id;
  throw new AntipodeError("PROCESS_NOT_FOUND", `no service is called "${id}"`, { id });
}

async function send(
  context: Context,
  text: string | undefined,
  signal: SignalName,
): Promise<Outcome> {
  const target = parseTarget(text ?? "");
  const open = await context.lab();
  if (target.kind === "genesis") return signalGenesis(context, open, signal);
  const ids = await resolve(context, open, text ?? "");
  const stayDead = context.options["stayDead"] === true;
  const request = { ids, signal, stayDead };
  const { world } = context;
  const { services } = await callGenesis(world, open, GenesisService.kill, request, context.signal);
  const sent = services.map(({ id, pid }) => ({ id, pid }));
  return {
    json: { signal, stayDead, services: sent },
    text: table(
      ["service", "pid", "got"],
      sent.map(({ id, pid }) => [id, pid, signal]),
    ),
  };
}

async function start(context: Context, [text]: readonly (string | undefined)[]): Promise<Outcome> {
  const open = await context.lab();
  const ids = await resolve(context, open, text ?? "");
  const { world, signal } = context;
  const { services } = await callGenesis(world, open, GenesisService.start, { ids }, signal);
  const states = services.map(({ id, state, pid }) => ({ id, state, pid }));
  return {
    json: { services: states },
    text: table(
      ["service", "state"],
      states.map(({ id, state }) => [id, state]),
    ),
  };
}
