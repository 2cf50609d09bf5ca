/** `antipode demo`: the whole story in a minute, on a lab of its own. */

import { mkdtemp, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { exitCode } from "../../base/errors.ts";
import { deleteLab, downLab, upLab } from "../../lab/index.ts";
import { addCommand, type Context, type Outcome, optional } from "../command.ts";
import { ownCommand } from "../context.ts";
import { runDrill } from "../demo/drill.ts";
import { type DrillReport, reportText } from "../demo/drillReport.ts";
import { type ImageSource, imageFromFile, imageFromMachine } from "../demo/imageSource.ts";
import { startLabKeeper } from "../demo/labKeeper.ts";
import { requireNewDirectory } from "../labFolder.ts";
import { createProgress, type Progress } from "../progress.ts";
import { shapeOf } from "./lab.ts";

const SITES = { sites: "A,B", cvms: "3" } as const;

export function addDemoCommand(program: Command): void {
  addCommand(program, {
    usage: "demo",
    summary: "rehearse a disaster: replicate a real disk, kill a leader, lose a site, compare",
    more: [
      "Starts sites A and B with 3 CVMs each, writes a disk through NBD, protects and replicates it,",
      "kills the Cerebro leader with -9 in the middle of a replication, kills every process of site A,",
      "activates at B, reads everything back, and accounts for every acknowledged write. The lab is its",
      "own, and deleted at the end. Exit status 0 only when every check held, 9 when one did not.",
    ].join(" "),
    options: [
      ["--input <image>", "raw disk image to replicate (default: real files of this machine)"],
      ["--latency <duration>", "one-way delay of the links (default: 5ms)"],
      ["--bandwidth <rate>", "of the links, each way (default: 1gbit)"],
      ["--keep", "leave the lab running and say how to look around"],
    ],
    examples: ["demo", "demo --input debian.raw", "demo --keep --dir /tmp/lab1", "demo --json"],
    run: demo,
  });
}

async function demo(context: Context): Promise<Outcome> {
  const keep = context.options["keep"] === true;
  const progress = createProgress({ json: context.json });
  const input = optional(context.options, "input");
  const image = input === undefined ? await imageFromMachine() : await imageFromFile(input);
  const given = optional(context.options, "dir");
  if (given !== undefined) await requireNewDirectory(context.directory);
  const directory = given === undefined ? await ownFolder("antipode-demo-") : context.directory;
  const history = await ownFolder("antipode-work-");
  try {
    const report = await drill(context, { directory, history, image, progress, keep });
    const text = reportText(report);
    // Standard output is the object's alone, and a lab that runs on must not be forgotten.
    if (keep && context.json) context.tell(lookAround(directory));
    return {
      json: { ...report },
      text: keep ? `${text}\n\n${lookAround(directory)}` : text,
      ...(report.ok ? {} : { exit: exitCode.checkFailed }),
    };
  } finally {
    await rm(history, { recursive: true, force: true });
    // A lab that did not come up leaves the empty folder that was made for it; any other is not empty.
    if (given === undefined) await rmdir(directory).catch(() => undefined);
  }
}

async function ownFolder(prefix: string): Promise<string> {
  return mkdtemp(join(tmpdir(), prefix));
}

async function drill(
  context: Context,
  plan: {
    readonly directory: string;
    readonly history: string;
    readonly image: ImageSource;
    readonly progress: Progress;
    readonly keep: boolean;
  },
): Promise<DrillReport> {
  const { world } = context;
  const { directory, progress, image } = plan;
  const { shape, given } = shapeOf({ ...context.options, ...SITES });
  const bar = progress.bar("starting the lab", "services");
  const up = await upLab(world, {
    directory,
    shape,
    given,
    autoRestart: true,
    logLevel: "info",
    signal: context.signal,
    onProgress: (running, total) => {
      bar.update(running, total);
    },
  }).finally(() => {
    bar.end();
  });
  const keeper = startLabKeeper(context, up.open);
  let end: "delete" | "keepFiles" | "keepRunning" = plan.keep ? "keepRunning" : "keepFiles";
  try {
    const report = await runDrill({
      context,
      up,
      keeper,
      progress,
      image,
      workFolder: plan.history,
    });
    if (report.ok && !plan.keep) end = "delete";
    return report;
  } catch (error) {
    if (plan.keep) context.tell(lookAfterFailure(directory));
    // Who stops a drill has no question about it.
    else if (context.signal.aborted) end = "delete";
    throw error;
  } finally {
    await keeper.stop();
    if (end === "delete") await deleteLab(world, directory);
    if (end === "keepFiles") {
      // What went wrong is in the logs: the processes end, the files stay.
      await downLab(world, directory);
      context.tell(
        `The lab's files and logs are kept in ${directory}\n  ${ownCommand()} lab delete --dir ${directory}`,
      );
    }
  }
}

function lookAfterFailure(directory: string): string {
  return [
    "The lab is still running. Look around, then end it:",
    `  ${ownCommand()} lab status --dir ${directory}`,
    `  ${ownCommand()} lab delete --dir ${directory}`,
  ].join("\n");
}

function lookAround(directory: string): string {
  const own = ownCommand();
  const at = `--dir ${directory}`;
  return [
    "The lab is still running; site A is dead, B serves the disk. Look around:",
    `  ${own} lab status ${at}`,
    `  ${own} vdisk list --site B ${at}`,
    `  ${own} recovery-point list --site B ${at}`,
    "The NBD URI that any client can open:",
    `  ${own} vdisk show disk --site B ${at}`,
    "End it and remove its files:",
    `  ${own} lab delete ${at}`,
  ].join("\n");
}
