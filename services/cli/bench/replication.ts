/**
 * Replication between two sites over a link without limits: the first one in full, then after 1 % of
 * the disk has changed; CPU time of all processes of both sites; and how long a cut holds writes, on a
 * small vDisk and on one of 1 TiB.
 */

import { join } from "node:path";
import { createPrng } from "../../base/prng.ts";
import { GIB, KIB, MIB, TIB } from "../../base/units.ts";
import { type NbdClient, openSteadyDisk, writeDisk } from "../../guest/index.ts";
import type { Context } from "../command.ts";
import { imageFromMachine } from "../demo/imageSource.ts";
import { SiteActions } from "../demo/siteActions.ts";
import { endBenchLab, startBenchLab, usageOf } from "./benchLab.ts";

export interface ReplicationResult {
  readonly scenario: string;
  readonly logicalBytes: number;
  readonly uniqueBytes: number;
  readonly wireBytes: number;
  readonly durationMs: number;
  readonly logicalBytesPerSecond: number;
  /** Both sites and the link together, per GiB of the disk. */
  readonly cpuSecondsPerGib: number;
  readonly rssBytes: number;
}

export interface CutResult {
  readonly scenario: string;
  readonly holdMs: number;
}

const CHANGED_SHARE = 0.01;
const CHANGE_BYTES = 64 * KIB;
const CUTS = 5;
/** The first one runs code that no process has run before. */
const INCREMENTS = 3;

export async function benchReplication(
  context: Context,
  workFolder: string,
  tell: (line: string) => void,
): Promise<{
  readonly replications: readonly ReplicationResult[];
  readonly cuts: readonly CutResult[];
}> {
  const directory = join(workFolder, "lab-replication");
  const up = await startBenchLab(context, directory, ["A", "B"]);
  try {
    const actions = new SiteActions(context, up.open);
    const image = await imageFromMachine();
    await actions.createVdisk("A", "disk", image.diskBytes);
    const client = await openSteadyDisk(context.world, await actions.targets("A", "disk"));
    await writeDisk(client, image.open(), { pieceBytes: MIB, depth: 8 });
    await actions.createPd("A", "bench", ["disk"]);
    const measure = async (scenario: string): Promise<ReplicationResult> => {
      const point = await actions.snapshot("A", "bench");
      const before = await usageOf(context, up);
      const started = await actions.startReplication("A", "bench", point.id, "B");
      const job = await actions.endedJob("A", started.id);
      const after = await usageOf(context, up);
      const seconds = job.durationMs / 1000;
      const result: ReplicationResult = {
        scenario,
        logicalBytes: job.totalBytes,
        uniqueBytes: job.ledger?.uniqueBytes ?? 0,
        wireBytes: job.ledger?.wireBytes ?? 0,
        durationMs: job.durationMs,
        logicalBytesPerSecond: job.totalBytes / seconds,
        cpuSecondsPerGib: ((after.cpuMs - before.cpuMs) / 1000) * (GIB / job.totalBytes),
        rssBytes: after.rssBytes,
      };
      tell(
        `${scenario}: ${(result.logicalBytesPerSecond / 1e6).toFixed(0)} MB/s logical, ${job.durationMs} ms, ${result.cpuSecondsPerGib.toFixed(1)} CPU s per GiB`,
      );
      return result;
    };
    const replications = [await measure("full")];
    for (let round = 1; round <= INCREMENTS; round++) {
      await change(client, round);
      replications.push(await measure(`incremental ${round}, 1 % changed`));
    }
    await client.close();
    const cuts = [await cutOf(actions, "small", "bench"), await bigCut(actions)];
    for (const cut of cuts) tell(`${cut.scenario}: writes held ${cut.holdMs.toFixed(1)} ms`);
    return { replications, cuts };
  } finally {
    await endBenchLab(context, directory);
  }
}

/** New random content in pieces spread over the disk. */
async function change(client: NbdClient, round: number): Promise<void> {
  const prng = createPrng(round);
  const pieces = Math.ceil((client.sizeBytes * CHANGED_SHARE) / CHANGE_BYTES);
  const slots = Math.floor(client.sizeBytes / CHANGE_BYTES);
  for (let i = 0; i < pieces; i++)
    await client.write(prng.below(slots) * CHANGE_BYTES, prng.fill(new Uint8Array(CHANGE_BYTES)));
}

/** The longest hold of several cuts: a bound is kept by the worst. */
async function cutOf(actions: SiteActions, scenario: string, pd: string): Promise<CutResult> {
  let holdMs = 0;
  for (let i = 0; i < CUTS; i++)
    holdMs = Math.max(holdMs, (await actions.snapshot("A", pd)).holdMs);
  return { scenario: `cut, ${scenario} vDisk, longest of ${CUTS}`, holdMs };
}

async function bigCut(actions: SiteActions): Promise<CutResult> {
  await actions.createVdisk("A", "big", TIB);
  await actions.createPd("A", "big", ["big"]);
  return cutOf(actions, "1 TiB", "big");
}
