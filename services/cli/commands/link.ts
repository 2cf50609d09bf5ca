/** `antipode link`: the links between sites, changed while everything runs. */

import type { Command } from "commander";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import { formatRate, type OpenLab, parseDuration, parseRate } from "../../lab/index.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import { type Link, type LinkName, WanService } from "../../platform/wire/wan.ts";
import { addCommand, addNoun, type Context, type Outcome, optional } from "../command.ts";
import { table } from "../output.ts";

const CALL_TIMEOUT_MS = 3000;
/** Genesis starts a dead wan again within this. */
const PATIENCE_MS = 8000;
const RETRY_INTERVAL_MS = 150;

const WHICH =
  "Without names: every link. With one: every link of that site. With two: both directions, or one with --one-way.";
const ONE_WAY = ["--one-way", "only from the first site to the second"] as const;

export function addLinkCommands(program: Command): void {
  const noun = addNoun(program, "link", "links between sites: latency, jitter, bandwidth, cuts");
  addCommand(noun, {
    usage: "show [from] [to]",
    summary: "show links and their counters",
    more: WHICH,
    options: [ONE_WAY],
    examples: ["link show", "link show A B --one-way --json"],
    run: (context, args) => act(context, args, "show"),
  });
  addCommand(noun, {
    usage: "set [from] [to]",
    summary: "change links",
    more: WHICH,
    options: [
      ["--latency <duration>", "one way, e.g. 5ms"],
      ["--jitter <duration>", "added at random, e.g. 1ms"],
      ["--bandwidth <rate>", "e.g. 100mbit, 1gbit or unlimited"],
      ONE_WAY,
    ],
    examples: [
      "link set --latency 20ms --bandwidth 100mbit",
      "link set A B --jitter 2ms",
      "link set A B --one-way --bandwidth unlimited",
    ],
    run: (context, args) => act(context, args, "set"),
  });
  addCommand(noun, {
    usage: "cut [from] [to]",
    summary: "cut links: nothing is answered, nothing is refused",
    more: WHICH,
    options: [ONE_WAY],
    examples: ["link cut", "link cut A B --one-way"],
    run: (context, args) => act(context, args, "cut"),
  });
  addCommand(noun, {
    usage: "heal [from] [to]",
    summary: "heal links: what was held goes on",
    more: WHICH,
    options: [ONE_WAY],
    examples: ["link heal", "link heal A B"],
    run: (context, args) => act(context, args, "heal"),
  });
}

/**
 * The directions that a command means.
 * @throws AntipodeError `SITE_NOT_FOUND`, `INVALID_ARGUMENT`
 */
export function chooseLinks(
  sites: readonly string[],
  from: string | undefined,
  to: string | undefined,
  oneWay: boolean,
): readonly LinkName[] {
  if (sites.length < 2)
    throw new AntipodeError("INVALID_ARGUMENT", "a lab of one site has no link");
  for (const name of [from, to])
    if (name !== undefined && !sites.includes(name))
      throw new AntipodeError(
        "SITE_NOT_FOUND",
        `there is no site "${name}"; there are ${sites.join(", ")}`,
        { site: name },
      );
  if (from !== undefined && from === to)
    throw new AntipodeError("INVALID_ARGUMENT", `site ${from} has no link to itself`);
  if (oneWay && to === undefined)
    throw new AntipodeError("INVALID_ARGUMENT", "--one-way needs both sites");
  const all = sites.flatMap((a) => sites.filter((b) => b !== a).map((b) => ({ from: a, to: b })));
  return all.filter((link) => {
    if (from === undefined) return true;
    if (to === undefined) return link.from === from || link.to === from;
    const there = link.from === from && link.to === to;
    return there || (!oneWay && link.from === to && link.to === from);
  });
}

type Verb = "show" | "set" | "cut" | "heal";

async function act(
  context: Context,
  [from, to]: readonly (string | undefined)[],
  verb: Verb,
): Promise<Outcome> {
  const changes = verb === "set" ? readChanges(context) : undefined;
  const open = await context.lab();
  const names = open.plan.sites.map((site) => site.name);
  const links = chooseLinks(names, from, to, context.options["oneWay"] === true);
  const answer = await askWan(context, open, async (client) => {
    const options = { deadlineMs: CALL_TIMEOUT_MS, signal: context.signal };
    switch (verb) {
      case "show": {
        const all = await client.unary(WanService.show, {}, options);
        const wanted = (link: Link): boolean =>
          links.some((one) => one.from === link.from && one.to === link.to);
        return all.links.filter(wanted);
      }
      case "set":
        return (await client.unary(WanService.set, { links, ...readDefaults, ...changes }, options))
          .links;
      case "cut":
        return (await client.unary(WanService.cut, { links }, options)).links;
      case "heal":
        return (await client.unary(WanService.heal, { links }, options)).links;
    }
  });
  return { json: { links: answer }, text: linkTable(answer) };
}

const readDefaults = {
  latencyMs: undefined,
  jitterMs: undefined,
  bitsPerSecond: undefined,
} as const;

function readChanges(context: Context): {
  readonly latencyMs: number | undefined;
  readonly jitterMs: number | undefined;
  readonly bitsPerSecond: number | undefined;
} {
  const read = (
    name: string,
    what: string,
    parse: (text: string) => number | undefined,
  ): number | undefined => {
    const text = optional(context.options, name);
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined)
      throw new AntipodeError("INVALID_ARGUMENT", `--${name}: "${text}" is no ${what}`);
    return value;
  };
  const changes = {
    latencyMs: read("latency", "duration such as 5ms", parseDuration),
    jitterMs: read("jitter", "duration such as 1ms", parseDuration),
    bitsPerSecond: read("bandwidth", "rate such as 100mbit or unlimited", parseRate),
  };
  if (Object.values(changes).every((value) => value === undefined))
    throw new AntipodeError("INVALID_ARGUMENT", "--latency, --jitter or --bandwidth is needed");
  return changes;
}

/** Asks the wan process; one that has just died comes back within moments. Every order is idempotent. */
async function askWan<A>(
  context: Context,
  open: OpenLab,
  ask: (client: RpcClient) => Promise<A>,
): Promise<A> {
  const { clock, rpc } = context.world;
  const startedMs = clock.now();
  for (;;) {
    const client = rpc.connect(open.plan.wan);
    try {
      return await ask(client);
    } catch (error) {
      if (codeOf(error) !== "PEER_UNREACHABLE" || clock.now() - startedMs > PATIENCE_MS)
        throw error;
    } finally {
      client.close();
    }
    await clock.sleep(RETRY_INTERVAL_MS, context.signal);
  }
}

function linkTable(links: readonly Link[]): string {
  const rows = links.map((link) => [
    `${link.from} → ${link.to}`,
    link.cut ? "cut" : "up",
    `${link.latencyMs} ms`,
    `${link.jitterMs} ms`,
    formatRate(link.bitsPerSecond),
    formatBytes(link.bytesEntered),
    formatBytes(link.bytesDelivered),
    formatBytes(link.bytesBuffered),
    link.connectionsOpen,
  ]);
  return table(
    [
      "link",
      "state",
      "latency",
      "jitter",
      "bandwidth",
      "entered",
      "delivered",
      "held",
      "connections",
    ],
    rows,
  );
}
