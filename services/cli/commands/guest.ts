/** `antipode guest`: an emulated VM that writes to vDisks and keeps its own record of every answer. */

import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { formatBytes, formatDuration, parseSize } from "../../base/units.ts";
import {
  loadJournal,
  type NbdTarget,
  SvwWriter,
  type WriterConfig,
  type WriterStatus,
} from "../../guest/index.ts";
import { parseDuration } from "../../lab/index.ts";
import {
  addCommand,
  addNoun,
  type Context,
  type Outcome,
  optional,
  repeated,
  required,
} from "../command.ts";
import { diskAtSite, diskByUri, type RecordPlace, recordPlace } from "../guestRecord.ts";
import { facts } from "../output.ts";
import { createProgress } from "../progress.ts";
import { quietLog } from "../quietLog.ts";

const DEFAULT_RATE = 100;
const DEFAULT_DEPTH = 8;
const DEFAULT_SPAN = "64MiB";
const RATE_MAX = 1_000_000;
const DEPTH_MAX = 1024;
const TELL_EVERY_MS = 1000;
/** Without an end in sight, a line now and then is enough. */
const LINE_EVERY_MS = 10_000;

export function addGuestCommands(program: Command): void {
  const noun = addNoun(program, "guest", "a block client that keeps a record of every answer");
  addCommand(noun, {
    usage: "run [vdisks...]",
    summary: "write blocks that say which write they are, and record what was acknowledged",
    more: [
      "Overwrites the first --span bytes of each vDisk, all vDisks as one group. The record is a file of",
      "its own, outside the lab: whatever happens to a site, `antipode audit` can say afterwards which",
      "acknowledged writes a surviving site still has. Ends after --for, or with Ctrl-C; with the same",
      "record it goes on later. When a site dies it goes on trying, as a guest would.",
    ].join(" "),
    options: [
      ["--record <file>", "where to keep the record; an existing one is gone on with"],
      [
        "--uri <uris...>",
        "disks by NBD URI, also outside a lab: nbd://HOST/EXPORT or NAME=nbd://…",
      ],
      ["--rate <number>", `writes a second (default: ${DEFAULT_RATE})`],
      ["--for <duration>", "end after this, e.g. 30s (default: until Ctrl-C)"],
      ["--depth <number>", `writes in flight (default: ${DEFAULT_DEPTH})`],
      ["--span <size>", `bytes of each disk that are written (default: ${DEFAULT_SPAN})`],
    ],
    atSite: true,
    examples: [
      "guest run disk1 disk2 --record run.svwj --for 30s",
      "guest run disk1 --record run.svwj --rate 500 --site A",
      "guest run --uri nbd://127.0.0.1/disk1 --record run.svwj --for 9s",
    ],
    run,
  });
}

async function run(context: Context, args: readonly (string | undefined)[]): Promise<Outcome> {
  const { options, world } = context;
  const place = await recordPlace(context, required(options, "record", "--record"));
  const disks = await disksOf(context, args);
  const before = place.exists ? (await loadJournal(place.disk, place.path)).header : undefined;
  const fresh = freshRun(context);
  const durationMs = durationOf(context);
  const config: WriterConfig = {
    vdisks: disks,
    runId: before?.runId ?? fresh.runId,
    seed: before?.seed ?? fresh.seed,
    queueDepth: wholeNumber(options["depth"], "--depth", DEFAULT_DEPTH, DEPTH_MAX),
    ratePerSecond: wholeNumber(options["rate"], "--rate", DEFAULT_RATE, RATE_MAX),
    historyPath: place.path,
    ...(durationMs === undefined ? {} : { durationMs }),
  };
  const writer = new SvwWriter(
    { net: world.net, clock: world.clock, disk: place.disk, log: quietLog },
    config,
  );
  const status = await watched(context, writer, durationMs);
  return outcomeOf(place, config, status);
}

async function disksOf(
  context: Context,
  names: readonly (string | undefined)[],
): Promise<WriterConfig["vdisks"]> {
  const { options } = context;
  const site = optional(options, "site");
  const spanBytes = spanOf(options["span"]);
  const named = [
    ...names.flatMap((name) => (name === undefined ? [] : [diskAtSite(context, site, name)])),
    ...repeated(options, "uri").map(diskByUri),
  ];
  if (named.length === 0)
    throw new AntipodeError("INVALID_ARGUMENT", "name a vDisk, or an NBD URI with --uri");
  if (new Set(named.map(({ name }) => name)).size !== named.length)
    throw new AntipodeError("INVALID_ARGUMENT", "one vDisk is named twice; use NAME=URI");
  const disks: { name: string; targets: readonly NbdTarget[]; spanBytes: number }[] = [];
  for (const { name, targets } of named) disks.push({ name, targets: await targets(), spanBytes });
  return disks;
}

/** Identity and seed of a run that is not the continuation of another. */
function freshRun({ world }: Context): { readonly runId: number; readonly seed: number } {
  const bytes = world.random.bytes(6);
  const runId = bytes.reduce((value, byte) => value * 256 + byte, 0) || 1;
  return { runId, seed: runId % 2 ** 32 };
}

/** Runs the writer, and says every now and then how far it is. */
async function watched(
  context: Context,
  writer: SvwWriter,
  durationMs: number | undefined,
): Promise<WriterStatus> {
  const { clock } = context.world;
  const progress = createProgress({ json: context.json });
  const bar = durationMs === undefined ? undefined : progress.bar("writing", "seconds");
  const ended = new AbortController();
  const tell = async (): Promise<void> => {
    for (;;) {
      const everyMs = bar === undefined ? LINE_EVERY_MS : TELL_EVERY_MS;
      await clock.sleep(everyMs, ended.signal);
      const status = writer.status();
      const seconds = Math.round(status.elapsedMs / 1000);
      if (bar === undefined) progress.line(`[${seconds} s] ${noteOf(status)}`);
      else bar.update(seconds, Math.round((durationMs ?? 0) / 1000), noteOf(status));
    }
  };
  // It ends by the signal only.
  const telling = tell().catch(() => undefined);
  try {
    return await writer.run(context.signal);
  } finally {
    ended.abort();
    await telling;
    bar?.end();
  }
}

function noteOf({ acknowledged, unknown, reconnects, latency }: WriterStatus): string {
  const trouble =
    unknown + reconnects === 0 ? "" : `, ${unknown} without answer, ${reconnects} reconnects`;
  return `${acknowledged} acknowledged, p99 ${formatDuration(latency.p99Ms)}${trouble}`;
}

function outcomeOf(place: RecordPlace, config: WriterConfig, status: WriterStatus): Outcome {
  const { runId, seed } = config;
  const vdisks = config.vdisks.map(({ name }) => name);
  const seconds = Math.max(1, status.elapsedMs) / 1000;
  return {
    json: { record: place.file, runId, seed, vdisks, ...status },
    text: facts([
      ["record", place.file],
      ["vDisks", vdisks.join(", ")],
      ["acknowledged", `${status.acknowledged} writes, ${formatBytes(status.acknowledgedBytes)}`],
      ["without answer", status.unknown],
      ["rate", `${(status.acknowledged / seconds).toFixed(0)} writes a second`],
      [
        "latency",
        `p50 ${ms(status.latency.p50Ms)}, p99 ${ms(status.latency.p99Ms)}, max ${ms(status.latency.maxMs)}`,
      ],
      ["ran", formatDuration(status.elapsedMs)],
    ]),
  };
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function durationOf({ options }: Context): number | undefined {
  const text = optional(options, "for");
  if (text === undefined) return undefined;
  const duration = parseDuration(text);
  if (duration === undefined || duration < 1)
    throw new AntipodeError("INVALID_ARGUMENT", `--for is a duration such as 30s, not "${text}"`);
  return duration;
}

function spanOf(given: unknown): number {
  const text = typeof given === "string" ? given : DEFAULT_SPAN;
  const bytes = parseSize(text);
  if (bytes === undefined || bytes < 4096)
    throw new AntipodeError("INVALID_ARGUMENT", `--span is a size such as 64MiB, not "${text}"`);
  return bytes;
}

function wholeNumber(given: unknown, flag: string, otherwise: number, max: number): number {
  if (typeof given !== "string") return otherwise;
  const value = /^\d{1,9}$/.test(given) ? Number(given) : 0;
  if (value < 1 || value > max)
    throw new AntipodeError("INVALID_ARGUMENT", `${flag} is from 1 to ${max}, not "${given}"`);
  return value;
}
