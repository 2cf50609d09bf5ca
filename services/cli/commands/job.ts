/** `antipode job`: replication jobs, and following one until it has ended. */

import type { Command } from "commander";
import { AntipodeError, isErrorCode } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { SitePlan } from "../../lab/index.ts";
import { CerebroService, type Job } from "../../platform/wire/cerebro.ts";
import { addCommand, addNoun, type Context, type Outcome, optional } from "../command.ts";
import { facts, shortId, table, timeText } from "../output.ts";
import { createProgress } from "../progress.ts";
import { callSite, siteOf, trySite } from "../siteClient.ts";

const plan = { service: "cerebro" } as const;
/** A watch that says nothing for this long is tried at another CVM. */
const SILENCE_MS_MAX = 5000;

export function addJobCommands(program: Command): void {
  const noun = addNoun(program, "job", "replication jobs");
  addCommand(noun, {
    usage: "list",
    summary: "list the jobs of a site, newest first",
    atSite: true,
    examples: ["job list"],
    run: list,
  });
  addCommand(noun, {
    usage: "show <id>",
    summary: "show a job and its byte ledger; the first digits of its id suffice",
    atSite: true,
    examples: ["job show 3f0a"],
    run: show,
  });
  addCommand(noun, {
    usage: "watch [id]",
    summary: "follow a job until it has ended (default: the newest)",
    more: "Ctrl-C ends the watching, not the job.",
    atSite: true,
    examples: ["job watch", "job watch 3f0a"],
    run: watch,
  });
  addCommand(noun, {
    usage: "cancel <id>",
    summary: "cancel a job; what has arrived at the target stays there",
    atSite: true,
    examples: ["job cancel 3f0a"],
    run: cancel,
  });
}

type Args = readonly (string | undefined)[];

/** A job with its outcome: one that failed sets the exit code. */
export function jobOutcome(site: string, job: Job): Outcome {
  const outcome = { json: { site, job }, text: jobText(job) };
  if (job.state !== "FAILED" && job.state !== "CANCELLED") return outcome;
  const code = isErrorCode(job.errorCode) ? job.errorCode : "CANCELLED";
  const message = job.errorMessage || `job ${shortId(job.id)} is ${job.state.toLowerCase()}`;
  throw new AntipodeError(code, message, { job: job.id, state: job.state });
}

/** Follows a job with a progress bar, across the death of the CVM that is asked. */
export async function watchJob(context: Context, site: SitePlan, id: string): Promise<Job> {
  const bar = createProgress({ json: context.json }).bar("replicating", "bytes");
  try {
    return await trySite(context, site, plan, async (address) => {
      const stream = context.world.rpc.connect(address).stream(CerebroService.watchJob);
      const stop = (): void => {
        stream.cancel();
      };
      context.signal.addEventListener("abort", stop, { once: true });
      let silence = context.world.clock.after(SILENCE_MS_MAX, stop);
      try {
        await stream.send({ id });
        stream.end();
        for await (const { job } of stream.incoming) {
          silence.cancel();
          silence = context.world.clock.after(SILENCE_MS_MAX, stop);
          if (job === undefined) continue;
          bar.update(job.ledger?.logicalBytes ?? 0, job.totalBytes, noteOf(job));
          if (isEnded(job.state)) return job;
        }
        throw new AntipodeError("PEER_UNREACHABLE", "the watch ended before the job", { id });
      } catch (error) {
        if (error instanceof AntipodeError && error.code === "CANCELLED" && !context.signal.aborted)
          throw new AntipodeError("PEER_UNREACHABLE", "the watched CVM fell silent", { id }, error);
        throw error;
      } finally {
        silence.cancel();
        context.signal.removeEventListener("abort", stop);
        stream.cancel();
      }
    });
  } finally {
    bar.end();
  }
}

function noteOf(job: Job): string {
  const sent = `sent ${formatBytes(job.ledger?.wireBytes ?? 0)}`;
  return job.waiting === "" ? sent : `${sent}, ${job.waiting}`;
}

async function list(context: Context): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const { jobs } = await callSite(context, site, plan, CerebroService.listJobs, {});
  const rows = jobs.map((job) => [
    shortId(job.id),
    job.pd,
    job.recoveryPointName,
    job.remote,
    job.state,
    `${job.tasksDone}/${job.tasksTotal}`,
    formatBytes(job.ledger?.wireBytes ?? 0),
    formatDuration(job.durationMs),
    job.waiting,
  ]);
  const header = ["job", "pd", "recovery point", "to", "state", "tasks", "sent", "took", "waiting"];
  return { json: { site: site.name, jobs }, text: table(header, rows) };
}

/** The whole id of a job from its first digits, or of the newest job. */
async function resolveId(
  context: Context,
  site: SitePlan,
  given: string | undefined,
): Promise<string> {
  if (given !== undefined && /^[0-9a-f]{32}$/.test(given)) return given;
  const { jobs } = await callSite(context, site, plan, CerebroService.listJobs, {});
  const found =
    given === undefined ? jobs.slice(0, 1) : jobs.filter((job) => job.id.startsWith(given));
  const [job] = found;
  if (job !== undefined && found.length === 1) return job.id;
  if (found.length > 1)
    throw new AntipodeError("INVALID_ARGUMENT", `several jobs begin with "${given ?? ""}"`);
  throw new AntipodeError(
    "JOB_NOT_FOUND",
    given === undefined ? `site ${site.name} has no job` : `no job begins with "${given}"`,
  );
}

async function show(context: Context, [given]: Args): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const id = await resolveId(context, site, given);
  const { job } = await callSite(context, site, plan, CerebroService.showJob, { id });
  if (job === undefined) throw new AntipodeError("JOB_NOT_FOUND", `there is no job ${id}`);
  return { json: { site: site.name, job }, text: jobText(job) };
}

async function watch(context: Context, [given]: Args): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const id = await resolveId(context, site, given);
  return jobOutcome(site.name, await watchJob(context, site, id));
}

async function cancel(context: Context, [given]: Args): Promise<Outcome> {
  const site = siteOf(await context.lab(), optional(context.options, "site"));
  const id = await resolveId(context, site, given);
  const { job } = await callSite(context, site, plan, CerebroService.cancelJob, { id });
  if (job === undefined) throw new AntipodeError("JOB_NOT_FOUND", `there is no job ${id}`);
  return { json: { site: site.name, job }, text: jobText(job) };
}

function jobText(job: Job): string {
  const { ledger } = job;
  const bytes = (value: number | undefined): string => formatBytes(value ?? 0);
  const entries: (readonly [string, string])[] = [
    ["job", job.id],
    ["recovery point", `${job.recoveryPointName} of ${job.pd}, to ${job.remote}`],
    [
      "kind",
      job.baseRecoveryPointId === "" ? "full" : `changes since ${job.baseRecoveryPointName}`,
    ],
    ["state", job.waiting === "" ? job.state : `${job.state}, ${job.waiting}`],
    ["tasks", `${job.tasksDone} of ${job.tasksTotal}`],
    ["size", bytes(job.totalBytes)],
    ["zero", bytes(ledger?.zeroBytes)],
    ["unchanged", bytes(ledger?.unchangedBytes)],
    ["deduplicated", bytes(ledger?.dedupedBytes)],
    ["sent", `${bytes(ledger?.uniqueBytes)}, compressed to ${bytes(ledger?.compressedBytes)}`],
    ["on the wire", bytes(ledger?.wireBytes)],
    ["sent in vain", bytes(ledger?.resentBytes)],
    ["rate", `${formatBytes(Math.round(job.bytesPerSecond))}/s`],
    ["took", formatDuration(job.durationMs)],
    ["leader changes", String(job.leaderChanges)],
    ["started", timeText(job.createdAtMs)],
  ];
  if (job.errorCode !== "") entries.push(["error", `${job.errorCode}: ${job.errorMessage}`]);
  return facts(entries);
}
