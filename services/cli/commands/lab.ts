/** `antipode lab`: starts, ends, shows and lists labs. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import {
  deleteLab,
  downLab,
  formatRate,
  knownLabs,
  type LabShape,
  listProcesses,
  type OpenLab,
  openLab,
  type ProcessList,
  parseCvmCounts,
  parseDuration,
  parseRate,
  parseReplicationFactor,
  parseSiteNames,
  runStateOf,
  upLab,
} from "../../lab/index.ts";
import {
  addCommand,
  addNoun,
  type Context,
  type Options,
  type Outcome,
  optional,
} from "../command.ts";
import { ownCommand } from "../context.ts";
import { requireUsableDirectory } from "../labFolder.ts";
import { facts, table, timeText } from "../output.ts";
import { createProgress } from "../progress.ts";

const DEFAULT_SITES = "A,B";
const DEFAULT_CVMS = "3";
const DEFAULT_LATENCY = "5ms";
const DEFAULT_BANDWIDTH = "1gbit";

export function addLabCommands(program: Command): void {
  const noun = addNoun(program, "lab", "start, end and look at labs");
  addCommand(noun, {
    usage: "up",
    summary: "start a lab, new or with the data it has",
    more: "A new lab is made in an empty directory. One that is there goes on with everything it holds.",
    options: [
      ["--sites <names>", `names of the sites (default: ${DEFAULT_SITES})`],
      ["--cvms <count>", `CVMs a site, or one count a site: 3,1 (default: ${DEFAULT_CVMS})`],
      ["--rf <count>", "copies that sites keep (default: 2, or 1 at a site of one CVM)"],
      ["--latency <duration>", `one-way delay of every link (default: ${DEFAULT_LATENCY})`],
      ["--jitter <duration>", "added to the latency at random (default: 0)"],
      ["--bandwidth <rate>", `of every link, each way (default: ${DEFAULT_BANDWIDTH})`],
      ["--etcd <kind>", "embedded, or real: needs `etcd` in PATH (default: embedded)"],
      ["--no-restart", "leave services dead that die"],
      ["--log-level <level>", "debug, info, warn or error (default: info)"],
    ],
    examples: [
      "lab up",
      "lab up --sites paris,tokyo --cvms 3 --latency 110ms --bandwidth 200mbit",
      "lab up --dir /tmp/lab2 --json",
    ],
    run: up,
  });
  addCommand(noun, {
    usage: "down",
    summary: "end every process of the lab; its data stays",
    examples: ["lab down"],
    run: down,
  });
  addCommand(noun, {
    usage: "status",
    summary: "show the lab and its processes",
    examples: ["lab status", "lab status --json"],
    run: status,
  });
  addCommand(noun, {
    usage: "list",
    summary: "list the labs of this user",
    examples: ["lab list"],
    run: list,
  });
  addCommand(noun, {
    usage: "delete",
    summary: "end the lab and remove its directory with all data",
    examples: ["lab delete --dir /tmp/lab2"],
    run: remove,
  });
}

function duration(text: string, flag: string): number {
  const ms = parseDuration(text);
  if (ms === undefined)
    throw new AntipodeError("INVALID_ARGUMENT", `${flag}: "${text}" is no duration such as 5ms`);
  return ms;
}

function rate(text: string, flag: string): number {
  const bitsPerSecond = parseRate(text);
  if (bitsPerSecond === undefined)
    throw new AntipodeError("INVALID_ARGUMENT", `${flag}: "${text}" is no rate such as 100mbit`);
  return bitsPerSecond;
}

function etcdKind(text: string): "embedded" | "real" {
  if (text === "embedded" || text === "real") return text;
  throw new AntipodeError("INVALID_ARGUMENT", `--etcd is embedded or real, not "${text}"`);
}

/** The shape asked for, and the part of it that was asked for on purpose. */
export function shapeOf(options: Options): {
  readonly shape: LabShape;
  readonly given: Partial<LabShape>;
} {
  const read = <T>(name: string, fallback: string, parse: (text: string) => T): [T, boolean] => {
    const text = optional(options, name);
    return [parse(text ?? fallback), text !== undefined];
  };
  const [names, sitesGiven] = read("sites", DEFAULT_SITES, parseSiteNames);
  const [counts, cvmsGiven] = read("cvms", DEFAULT_CVMS, (text) =>
    parseCvmCounts(text, names.length),
  );
  const sites = names.map((name, index) => ({ name, cvms: counts[index] ?? 1 }));
  const [latencyMs, latencyGiven] = read("latency", DEFAULT_LATENCY, (text) =>
    duration(text, "--latency"),
  );
  const [jitterMs, jitterGiven] = read("jitter", "0", (text) => duration(text, "--jitter"));
  const [bitsPerSecond, rateGiven] = read("bandwidth", DEFAULT_BANDWIDTH, (text) =>
    rate(text, "--bandwidth"),
  );
  const rf = optional(options, "rf");
  const copies = rf === undefined ? {} : { replicationFactor: parseReplicationFactor(rf, sites) };
  const [etcd, etcdGiven] = read("etcd", "embedded", etcdKind);
  return {
    shape: { sites, latencyMs, jitterMs, bitsPerSecond, etcd, ...copies },
    given: {
      ...(sitesGiven || cvmsGiven ? { sites } : {}),
      ...(latencyGiven ? { latencyMs } : {}),
      ...(jitterGiven ? { jitterMs } : {}),
      ...(rateGiven ? { bitsPerSecond } : {}),
      ...(etcdGiven ? { etcd } : {}),
      ...copies,
    },
  };
}

const levels = ["debug", "info", "warn", "error"] as const;

async function up(context: Context): Promise<Outcome> {
  const { world, directory, options, signal } = context;
  const wanted = optional(options, "logLevel") ?? "info";
  const logLevel = levels.find((level) => level === wanted);
  if (logLevel === undefined)
    throw new AntipodeError("INVALID_ARGUMENT", `--log-level is ${levels.join(", ")}`);
  const shape = shapeOf(options);
  await requireUsableDirectory(directory);
  const progress = createProgress({ json: context.json });
  const bar = progress.bar("starting", "services");
  try {
    const report = await upLab(world, {
      directory,
      ...shape,
      autoRestart: options["restart"] !== false,
      logLevel,
      signal,
      onProgress: (running, total) => {
        bar.update(running, total);
      },
    });
    bar.end();
    const { open, processes, upMs, created } = report;
    const text = [
      `The lab is up after ${formatDuration(upMs)}${created ? "" : ", with what it held"}: ${directory}`,
      "",
      labText(open, processes),
      "",
      ...nextSteps(optional(options, "dir")),
    ].join("\n");
    return { json: { upMs: Math.round(upMs), created, ...labJson(open, processes, "up") }, text };
  } finally {
    bar.end();
  }
}

/** Lines to copy: for this lab, with the command as it was called. */
function nextSteps(dir: string | undefined): readonly string[] {
  const at = dir === undefined ? "" : ` --dir ${dir}`;
  const own = ownCommand();
  return [
    "Go on with:",
    `  ${own} vdisk create disk1 --size 1GiB${at}`,
    `  ${own} lab status${at}`,
    `  ${own} lab down${at}`,
  ];
}

async function down(context: Context): Promise<Outcome> {
  const report = await downLab(context.world, context.directory);
  const killed = report.killed.length === 0 ? "" : `; killed: ${report.killed.join(", ")}`;
  return {
    json: { ...report, downMs: Math.round(report.downMs) },
    text: report.wasRunning
      ? `The lab in ${report.directory} is down after ${formatDuration(report.downMs)}${killed}`
      : `The lab in ${report.directory} was down already`,
  };
}

async function remove(context: Context): Promise<Outcome> {
  const report = await deleteLab(context.world, context.directory);
  return { json: { directory: report.directory }, text: `${report.directory} is removed` };
}

async function status(context: Context): Promise<Outcome> {
  const open = await openLab(context.world, context.directory);
  const state = await runStateOf(context.world, open);
  if (state.kind === "down")
    return {
      json: labJson(open, undefined, "down"),
      text: `${labFacts(open, undefined)}\n\nThe lab is down: \`antipode lab up\` continues it.`,
    };
  await context.lab();
  const processes = await listProcesses(context.world, open.plan);
  return { json: labJson(open, processes, "up"), text: labText(open, processes) };
}

async function list(context: Context): Promise<Outcome> {
  const { world } = context;
  const labs = await Promise.all(
    (await knownLabs(world)).map(async (known) => {
      const { kind } = await runStateOf(world, await openLab(world, known.directory));
      return { directory: known.directory, sites: known.sites, state: kind };
    }),
  );
  const rows = labs.map((lab) => [lab.state, lab.sites.join(","), lab.directory]);
  return {
    json: { labs },
    text: labs.length === 0 ? "There is no lab." : table(["state", "sites", "directory"], rows),
  };
}

function labText(open: OpenLab, processes: ProcessList): string {
  const rows = processes.services.map((one) => [
    one.id,
    one.crashLoop ? `${one.state}, crash loop` : one.paused ? `${one.state}, frozen` : one.state,
    one.pid,
    `${one.host}:${one.port}`,
    formatBytes(one.residentBytes),
    one.restarts,
    one.lastExit,
  ]);
  const header = ["service", "state", "pid", "address", "memory", "restarts", "last exit"];
  return `${labFacts(open, processes)}\n\n${table(header, rows)}`;
}

function labFacts(open: OpenLab, processes: ProcessList | undefined): string {
  const { lab, directory } = open;
  const sites = lab.sites.map((site) => `${site.name} (${site.cvms} CVMs)`).join(", ");
  const link = `${lab.latencyMs} ms, ${formatRate(lab.bitsPerSecond)} at first; now: antipode link show`;
  const entries: (readonly [string, string])[] = [
    ["directory", directory],
    ["sites", sites],
    ["etcd", lab.etcd],
    ["links", link],
    ["created", timeText(lab.createdAtMs)],
  ];
  if (processes !== undefined)
    entries.push(
      ["genesis", `pid ${processes.genesisPid}`],
      ["memory", formatBytes(residentOf(processes))],
    );
  return facts(entries);
}

function residentOf(processes: ProcessList): number {
  return processes.services.reduce(
    (sum, one) => sum + one.residentBytes,
    processes.genesisResidentBytes,
  );
}

/** The lab for programs: sites, CVMs, addresses, ports and process ids. */
function labJson(
  open: OpenLab,
  processes: ProcessList | undefined,
  state: "up" | "down",
): Readonly<Record<string, unknown>> {
  const { lab, plan, directory } = open;
  const pidOf = (id: string): number =>
    processes?.services.find((service) => service.id === id)?.pid ?? 0;
  return {
    directory,
    state,
    id: lab.id,
    etcd: lab.etcd,
    genesis: { address: plan.genesis, pid: processes?.genesisPid ?? 0 },
    wan: { address: plan.wan, pid: pidOf("wan") },
    sites: plan.sites.map((site) => ({
      name: site.name,
      etcd: { address: site.etcd, pid: pidOf(`etcd@${site.name}`) },
      cvms: site.cvms.map(({ cvm, stargate, cerebro, nbd }) => ({
        cvm,
        stargate: { address: stargate, pid: pidOf(`stargate@${site.name}/${cvm}`) },
        cerebro: { address: cerebro, pid: pidOf(`cerebro@${site.name}/${cvm}`) },
        nbd,
      })),
      remotes: site.remotes,
    })),
    residentBytes: processes === undefined ? 0 : residentOf(processes),
    processes: processes?.services ?? [],
  };
}
