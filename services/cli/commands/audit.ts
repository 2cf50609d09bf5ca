/** `antipode audit`: which acknowledged writes of a record a site still has, exactly. */

import type { Command } from "commander";
import { AntipodeError, exitCode } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { auditRecord, connectNbd, loadJournal } from "../../guest/index.ts";
import { parseDuration } from "../../lab/index.ts";
import { auditOf, type RunResult } from "../../report/index.ts";
import {
  addCommand,
  type Context,
  type Outcome,
  optional,
  repeated,
  required,
} from "../command.ts";
import { diskAtSite, diskByUri, type NamedDisk, recordPlace } from "../guestRecord.ts";
import { facts, table } from "../output.ts";
import { createProgress } from "../progress.ts";
import { siteOf } from "../siteClient.ts";

const MICROS_PER_MS = 1000;
/** Slots between two words of progress. */
const TELL_EVERY_SLOTS = 256;

type Audit = RunResult["audits"][number]["audit"];
/** What an audit comes to. Only `prefix` is good. */
type Verdict = "prefix" | "rpoExceeded" | "requiredMissing" | "damaged" | "outOfOrder";

const WORDS: Readonly<Record<Verdict, string>> = {
  prefix: "good: an exact prefix of the acknowledged order",
  rpoExceeded: "NOT GOOD: an exact prefix, but more is lost than --rpo-max allows",
  requiredMissing: "NOT GOOD: a prefix, but not all that --required-before demands",
  damaged: "NOT GOOD: there are blocks that no write left so",
  outOfOrder: "NOT GOOD: no prefix; writes are there without others that came before",
};

export function addAuditCommand(program: Command): void {
  addCommand(program, {
    usage: "audit",
    summary: "compare a writer's record with what a site has: kept, lost, torn, out of order",
    more: [
      "The record is the one of `antipode guest run`. Every block of its vDisks is read at --site (the",
      "survivor of a failover, say) and compared. By default the source counts as lost at the last answer",
      "in the record. Exit code 0 when what is there is an exact prefix of the acknowledged writes and the",
      "loss is within --rpo-max, 9 when not.",
    ].join(" "),
    options: [
      ["--record <file>", "record of the writer"],
      [
        "--vdisk <names...>",
        "only these: NAME, NAME@RECOVERY-POINT, or NAME=OTHER-NAME at the site",
      ],
      ["--uri <uris...>", "disks by NBD URI instead: nbd://HOST/EXPORT or NAME=nbd://…"],
      ["--rpo-max <duration>", "the loss in time that is allowed, e.g. 15s"],
      ["--failed-at <time>", "when the source was lost: ISO 8601, or Unix ms"],
      [
        "--required-before <time>",
        "what was acknowledged before must be there: ISO 8601, or Unix ms",
      ],
    ],
    atSite: true,
    examples: [
      "audit --record run.svwj --site B",
      "audit --record run.svwj --site B --rpo-max 15s --json",
      "audit --record run.svwj --site B --vdisk disk1@rp-3",
      "audit --record run.svwj --uri nbd://127.0.0.1:10809/disk1",
    ],
    run: audit,
  });
}

async function audit(context: Context): Promise<Outcome> {
  const { options, world } = context;
  const place = await recordPlace(context, required(options, "record", "--record"));
  if (!place.exists)
    throw new AntipodeError("INVALID_ARGUMENT", `there is no record ${place.file}`, {
      file: place.file,
    });
  const rpoMaxMs = rpoMaxOf(context);
  const [failedAtMs, requiredMs] = [timeOf(context, "failedAt"), timeOf(context, "requiredBefore")];
  const journal = await loadJournal(place.disk, place.path);
  const names = journal.header.vdisks.map(({ name }) => name);
  const disks = await disksOf(context, names);
  const progress = createProgress({ json: context.json });
  const bar = progress.bar("comparing", "bytes");
  const report = await auditRecord(world, {
    disk: place.disk,
    path: place.path,
    targets: (name) => targetsOf(disks, name),
    only: new Set(disks.map(({ name }) => name)),
    onProgress: (done, total) => {
      if (done % TELL_EVERY_SLOTS === 0) bar.update(done * 4096, total * 4096);
    },
    ...(failedAtMs === undefined ? {} : { failedAtMicros: failedAtMs * MICROS_PER_MS }),
    ...(requiredMs === undefined ? {} : { requiredBeforeMicros: requiredMs * MICROS_PER_MS }),
  }).finally(() => {
    bar.end();
  });
  const found = auditOf(report);
  const verdict = verdictOf(found, rpoMaxMs);
  const { runId } = journal.header;
  const about = {
    record: place.file,
    runId,
    complete: journal.isComplete,
    comparedWith: await placeOf(context),
  };
  const bound = rpoMaxMs === undefined ? {} : { rpoMaxMs };
  return {
    json: { ...about, verdict, ...bound, ...found, ok: verdict === "prefix" },
    text: textOf({ ...about, found, verdict, rpoMaxMs }),
    ...(verdict === "prefix" ? {} : { exit: exitCode.checkFailed }),
  };
}

/** The disks to compare with: URIs, named vDisks, or all of the record at the site. */
async function disksOf(context: Context, names: readonly string[]): Promise<readonly NamedDisk[]> {
  const { options, world } = context;
  const uris = repeated(options, "uri").map(diskByUri);
  const given = repeated(options, "vdisk");
  const site = optional(options, "site");
  if (uris.length === 0)
    return (given.length > 0 ? given : names).map((name) => diskAtSite(context, site, name));
  if (given.length > 0)
    throw new AntipodeError("INVALID_ARGUMENT", "give --vdisk or --uri, not both");
  // An address that nobody answers is told at once: nothing will start there by itself.
  for (const { targets } of uris)
    for (const target of await targets()) await (await connectNbd(world, target)).close();
  const [only] = uris;
  const [name] = names;
  const isOther = only !== undefined && !names.includes(only.name);
  if (uris.length === 1 && names.length === 1 && isOther && name !== undefined)
    return [{ name, targets: only.targets }];
  return uris;
}

/** What the record is compared with, for people. */
async function placeOf(context: Context): Promise<string> {
  const uris = repeated(context.options, "uri");
  if (uris.length > 0) return uris.join(", ");
  return `site ${siteOf(await context.lab(), optional(context.options, "site")).name}`;
}

function targetsOf(disks: readonly NamedDisk[], name: string): ReturnType<NamedDisk["targets"]> {
  const disk = disks.find((one) => one.name === name);
  if (disk === undefined)
    throw new AntipodeError("INVALID_ARGUMENT", `no disk is named for vDisk "${name}"`);
  return disk.targets();
}

function verdictOf(found: Audit, rpoMaxMs: number | undefined): Verdict {
  if (found.torn + found.rotten > 0) return "damaged";
  if (!found.isPrefix) return "outOfOrder";
  if (!found.ok) return "requiredMissing";
  return rpoMaxMs !== undefined && found.rpoMs > rpoMaxMs ? "rpoExceeded" : "prefix";
}

interface Told {
  readonly record: string;
  readonly runId: number;
  readonly complete: boolean;
  readonly comparedWith: string;
  readonly found: Audit;
  readonly verdict: Verdict;
  readonly rpoMaxMs: number | undefined;
}

function textOf(told: Told): string {
  const { record, runId, complete, comparedWith, found, verdict, rpoMaxMs } = told;
  const bound = rpoMaxMs === undefined ? "" : `, ${formatDuration(rpoMaxMs)} allowed`;
  const end = complete ? "" : ", its end is missing: newest answers count as unknown";
  const lines: (readonly [string, string | number])[] = [
    ["record", `${record} (run ${runId}${end})`],
    ["compared with", comparedWith],
    ["verdict", WORDS[verdict]],
    ["acknowledged", `${found.acknowledged} writes, ${formatBytes(found.bytes)}`],
    ["kept", found.kept],
    ["lost", `${found.lost} writes, ${formatBytes(found.lostBytes)}`],
    ["out of order", found.outOfOrder],
    ["torn, rotten", `${found.torn} and ${found.rotten} blocks`],
    ["RPO", `${found.rpoMs.toFixed(0)} ms until ${iso(found.failedAtMs)}${bound}`],
    [
      "complete until",
      found.completeUntilMs === undefined ? "the end" : iso(found.completeUntilMs),
    ],
    ...(found.firstLost === undefined ? [] : [["first lost", written(found.firstLost)] as const]),
    ...(found.lastLost === undefined ? [] : [["last lost", written(found.lastLost)] as const]),
  ];
  const { witness } = found;
  const proof =
    witness === undefined
      ? []
      : ["", `missing: ${written(witness.missing)}`, `there:   ${written(witness.present)}`];
  const problems = found.problems.length === 0 ? [] : ["", ...found.problems];
  const heads = [
    "vdisk",
    "acknowledged",
    "kept",
    "lost",
    "lost bytes",
    "out of order",
    "torn",
    "rotten",
  ];
  const rows = found.vdisks.map((one) => [
    one.vdisk,
    one.acknowledged,
    one.kept,
    one.lost,
    formatBytes(one.lostBytes),
    one.outOfOrder,
    one.torn,
    one.rotten,
  ]);
  return [facts(lines), "", table(heads, rows), ...proof, ...problems].join("\n");
}

function written(write: NonNullable<Audit["firstLost"]>): string {
  const at = write.acknowledgedAtMs ?? write.issuedAtMs;
  return `write ${write.gseq} on ${write.vdisk}, block ${write.lba}, acknowledged ${iso(at)}`;
}

function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

function rpoMaxOf({ options }: Context): number | undefined {
  const text = optional(options, "rpoMax");
  if (text === undefined) return undefined;
  const duration = parseDuration(text);
  if (duration === undefined)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `--rpo-max is a duration such as 15s, not "${text}"`,
    );
  return duration;
}

function timeOf({ options }: Context, name: "failedAt" | "requiredBefore"): number | undefined {
  const text = optional(options, name);
  if (text === undefined) return undefined;
  const wallMs = /^\d{10,15}(\.\d+)?$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(wallMs))
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `"${text}" is no time such as 2026-11-20T14:02:07.113Z`,
    );
  return wallMs;
}
