/** `antipode demo`: the whole story in a minute, on a lab of its own. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { exitCode } from "../../base/errors.ts";
import { deleteLab, downLab, upLab } from "../../lab/index.ts";
import { addCommand, type Context, type Outcome, optional } from "../command.ts";
import { runDrill } from "../demo/drill.ts";
import { type DrillReport, reportText } from "../demo/drillReport.ts";
import { type ImageSource, imageFromFile, imageFromMachine } from "../demo/imageSource.ts";
import { startLabKeeper } from "../demo/labKeeper.ts";
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
      "activates at B, reads everything back, and accounts for every acknowledged write.",
    ].join("\n"),
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
  // A drill that fails leaves its files for a look; one that went well leaves nothing.
  const workFolder = await mkdtemp(join(tmpdir(), "antipode-demo-"));
  const directory =
    optional(context.options, "dir") === undefined ? join(workFolder, "lab") : context.directory;
  const history = join(workFolder, "work");
  await context.world.diskAt(history).makeFolder("");
  const report = await drill(context, { directory, history, image, progress, keep });
  await rm(keep ? history : workFolder, { recursive: true, force: true });
  return {
    json: { ...report },
    text: keep ? `${reportText(report)}\n\n${lookAround(directory)}` : reportText(report),
    ...(report.ok ? {} : { exit: exitCode.checkFailed }),
  };
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
  let ended = false;
  try {
    const report = await runDrill({
      context,
      up,
      keeper,
      progress,
      image,
      workFolder: plan.history,
    });
    ended = true;
    return report;
  } finally {
    await keeper.stop();
    if (!plan.keep) {
      if (ended) await deleteLab(world, directory);
      else {
        // What went wrong is in the logs: the processes end, the files stay.
        await downLab(world, directory);
        context.tell(`The lab's files and logs are kept in ${directory}`);
      }
    }
  }
}

function lookAround(directory: string): string {
  const at = `--dir ${directory}`;
  return [
    "The lab is still running; site A is dead, B serves the disk. Look around:",
    `  antipode lab status ${at}`,
    `  antipode vdisk list --site B ${at}`,
    `  antipode recovery-point list --site B ${at}`,
    `  antipode vdisk show disk --site B ${at}        the NBD URI that any client can open`,
    `  antipode lab delete ${at}`,
  ].join("\n");
}
