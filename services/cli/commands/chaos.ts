/** `antipode chaos`: kills, freezes and starts processes of the lab. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { createPrng } from "../../base/prng.ts";
import { type Condition, chooseTargets, type Target } from "../../chaos/index.ts";
import { callGenesis, type OpenLab } from "../../lab/index.ts";
import { GenesisService } from "../../platform/wire/genesis.ts";
import { parseTarget, targetHelp } from "../chaosTarget.ts";
import { addCommand, addNoun, type Context, type Outcome } from "../command.ts";
import { leaderProcess } from "../leaderProcess.ts";
import { table } from "../output.ts";
import { siteOf } from "../siteClient.ts";
import { type SignalName, signalGenesis } from "./chaosGenesis.ts";
import { viewOf } from "./chaosLab.ts";
import { addChaosRunCommands } from "./chaosRun.ts";
import { addChaosSoakCommand } from "./chaosSoak.ts";

/** Stands for the first site of a lab that is not known yet. */
const FIRST_SITE = "A";

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
  addChaosSoakCommand(noun);
}

/** Ids of the services that a target means; one left to chance is of those that are so now. */
async function resolve(
  context: Context,
  open: OpenLab,
  text: string,
  condition: Condition,
): Promise<readonly string[]> {
  const target = parseTarget(text, siteOf(open, undefined).name);
  if (target.kind === "genesis")
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      "genesis can be killed, stopped and continued only",
    );
  if (target.kind !== "service" && target.site !== "") siteOf(open, target.site);
  // Who asks for the leader just after a kill means the next one.
  if (target.kind === "leader" && condition === "running")
    return [await leaderProcess(context, open, siteOf(open, target.site))];
  const view = await viewOf(context, open, target);
  const seed = new DataView(context.world.random.bytes(4).buffer).getUint32(0);
  const services = view.services.map((one) =>
    target.kind === "random" ? one : { ...one, condition },
  );
  const ids = chooseTargets(target, { ...view, services }, createPrng(seed), condition);
  if (ids.length === 0) throw nobody(target, text, condition);
  return ids;
}

function nobody(target: Target, text: string, condition: Condition): AntipodeError {
  switch (target.kind) {
    case "cvm": {
      const message = `site ${target.site} has no CVM ${target.cvm}`;
      return new AntipodeError("CVM_NOT_FOUND", message);
    }
    case "leader":
      return new AntipodeError("NO_LEADER", `site ${target.site} has no leader now`);
    case "random":
      return new AntipodeError("PROCESS_NOT_FOUND", `of ${text} none is ${condition} now`);
    case "service":
    case "owner":
    case "site":
    case "genesis":
      return new AntipodeError("PROCESS_NOT_FOUND", `no service is called "${text}"`, { id: text });
  }
}

async function send(
  context: Context,
  text: string | undefined,
  signal: SignalName,
): Promise<Outcome> {
  // Refused before a lab is looked for.
  const isGenesis = parseTarget(text ?? "", FIRST_SITE).kind === "genesis";
  const open = await context.lab();
  if (isGenesis) return signalGenesis(context, open, signal);
  const condition = signal === "SIGCONT" ? "frozen" : "running";
  const ids = await resolve(context, open, text ?? "", condition);
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
  parseTarget(text ?? "", FIRST_SITE);
  const open = await context.lab();
  const ids = await resolve(context, open, text ?? "", "down");
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
