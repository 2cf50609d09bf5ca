/** Block I/O through NBD with fio: antipode at RF 1 and RF 2, beside other NBD servers on the same disk. */

import { join } from "node:path";
import { AntipodeError } from "../../base/errors.ts";
import { KIB, MIB } from "../../base/units.ts";
import { nbdUri } from "../../lab/index.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import type { Context } from "../command.ts";
import { SiteActions } from "../demo/siteActions.ts";
import { callSite } from "../siteClient.ts";
import { endBenchLab, startBenchLab, usageOf } from "./benchLab.ts";
import { type FioFigures, type FioJob, prefill, runFio } from "./fio.ts";
import { PEERS, startPeer } from "./peers.ts";

interface Job extends FioJob {
  /** Begins while the log is full of the job before: shows what is sustained, not what is absorbed. */
  readonly unsettled?: true;
}

const JOBS: readonly Job[] = [
  { name: "randwrite 4k QD 1", readWrite: "randwrite", blockBytes: 4 * KIB, depth: 1 },
  { name: "randwrite 4k QD 32", readWrite: "randwrite", blockBytes: 4 * KIB, depth: 32 },
  {
    name: "randwrite 4k QD 32, log full",
    readWrite: "randwrite",
    blockBytes: 4 * KIB,
    depth: 32,
    unsettled: true,
  },
  { name: "randread 4k QD 1", readWrite: "randread", blockBytes: 4 * KIB, depth: 1 },
  { name: "randread 4k QD 32", readWrite: "randread", blockBytes: 4 * KIB, depth: 32 },
  { name: "write 1m QD 8", readWrite: "write", blockBytes: MIB, depth: 8 },
  { name: "read 1m QD 8", readWrite: "read", blockBytes: MIB, depth: 8 },
];
const SPAN_BYTES = 256 * MIB;
const SETTLE_MS_MAX = 120_000;
const SETTLE_POLL_MS = 100;

export interface BlockIoResult extends FioFigures {
  readonly scenario: string;
  readonly subject: string;
  readonly guarantee: string;
  /** Of the lab's processes, during the job; 0 for peers. */
  readonly cpuSeconds: number;
}

export interface BlockIoPlan {
  readonly context: Context;
  readonly workFolder: string;
  readonly seconds: number;
  readonly repetitions: number;
  readonly tell: (line: string) => void;
}

/** Every job at every subject; peers that are not installed are left out and named. */
export async function benchBlockIo(
  plan: BlockIoPlan,
  installed: (command: string) => boolean,
): Promise<readonly BlockIoResult[]> {
  const results: BlockIoResult[] = [];
  for (let round = 0; round < plan.repetitions; round++) {
    for (const rf of [1, 2]) results.push(...(await benchAntipode(plan, rf)));
    for (const peer of PEERS) {
      if (!installed(peer.command)) {
        plan.tell(`${peer.name} is not installed: left out`);
        continue;
      }
      const running = await startPeer(plan.context.world, peer, plan.workFolder, SPAN_BYTES);
      try {
        await prefill(running.uri, SPAN_BYTES);
        for (const job of JOBS.filter((one) => one.unsettled === undefined)) {
          const figures = await runFio(job, running.uri, SPAN_BYTES, plan.seconds);
          results.push(
            told(plan, {
              ...figures,
              scenario: job.name,
              subject: peer.name,
              guarantee: peer.guarantee,
              cpuSeconds: 0,
            }),
          );
        }
      } finally {
        await running.end();
      }
    }
  }
  return results;
}

async function benchAntipode(plan: BlockIoPlan, rf: number): Promise<readonly BlockIoResult[]> {
  const { context } = plan;
  const directory = join(plan.workFolder, `lab-rf${rf}`);
  const up = await startBenchLab(context, directory, ["A"]);
  const results: BlockIoResult[] = [];
  try {
    const actions = new SiteActions(context, up.open);
    const site = actions.site("A");
    const stargate = { service: "stargate" } as const;
    const container = { name: `rf${rf}`, replicationFactor: rf, compression: true };
    await callSite(context, site, stargate, VdiskService.createContainer, container);
    const request = {
      name: "bench",
      container: container.name,
      sizeBytes: SPAN_BYTES,
      root: "",
      source: "",
    };
    await callSite(context, site, stargate, VdiskService.createVdisk, request);
    const [owner] = await actions.targets("A", "bench");
    const uri = nbdUri(owner?.address ?? { host: "", port: 0 }, "bench");
    await prefill(uri, SPAN_BYTES);
    for (const job of JOBS) {
      if (job.unsettled === undefined) await settle(plan, actions);
      const before = await usageOf(context, up);
      const figures = await runFio(job, uri, SPAN_BYTES, plan.seconds);
      const after = await usageOf(context, up);
      results.push(
        told(plan, {
          ...figures,
          scenario: job.name,
          subject: `antipode RF ${rf}`,
          guarantee: `durable, ${rf} ${rf === 1 ? "copy" : "copies"}, checksummed, deduplicated, compressed`,
          cpuSeconds: (after.cpuMs - before.cpuMs) / 1000,
        }),
      );
    }
  } finally {
    await endBenchLab(context, directory);
  }
  return results;
}

function told(plan: BlockIoPlan, result: BlockIoResult): BlockIoResult {
  plan.tell(
    `${result.subject.padEnd(18)} ${result.scenario.padEnd(20)} ${Math.round(result.iops)} IOPS  ${(result.bytesPerSecond / 1e6).toFixed(1)} MB/s  p50 ${result.latencyMsP50.toFixed(2)} ms  p99 ${result.latencyMsP99.toFixed(2)} ms`,
  );
  return result;
}

/** Waits until the log of the job before is in the extent store, so that jobs do not measure each other. */
async function settle({ context }: BlockIoPlan, actions: SiteActions): Promise<void> {
  const { clock } = context.world;
  const untilMs = clock.now() + SETTLE_MS_MAX;
  for (;;) {
    const { drainedLsn, lastLsn } = await actions.vdiskAtOwner("A", "bench");
    if (drainedLsn >= lastLsn) return;
    if (clock.now() > untilMs)
      throw new AntipodeError("DEADLINE_EXCEEDED", "the log of the disk is not drained in time");
    await clock.sleep(SETTLE_POLL_MS, context.signal);
  }
}
