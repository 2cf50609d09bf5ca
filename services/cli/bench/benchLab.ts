/** A lab made for a benchmark, and what its processes have used. */

import { deleteLab, listProcesses, type UpReport, upLab } from "../../lab/index.ts";
import type { Context } from "../command.ts";

const UNLIMITED = 0;

/** Starts a lab with links that neither delay nor limit. */
export function startBenchLab(
  context: Context,
  directory: string,
  sites: readonly string[],
): Promise<UpReport> {
  const shape = {
    sites: sites.map((name) => ({ name, cvms: 3 })),
    latencyMs: 0,
    jitterMs: 0,
    bitsPerSecond: UNLIMITED,
    etcd: "embedded",
  } as const;
  return upLab(context.world, {
    directory,
    shape,
    given: shape,
    autoRestart: true,
    logLevel: "info",
    signal: context.signal,
    onProgress: () => undefined,
  });
}

export async function endBenchLab(context: Context, directory: string): Promise<void> {
  await deleteLab(context.world, directory);
}

export interface Usage {
  readonly cpuMs: number;
  readonly rssBytes: number;
}

/** CPU time so far and memory now, over all processes of the lab. */
export async function usageOf(context: Context, up: UpReport): Promise<Usage> {
  const list = await listProcesses(context.world, up.open.plan);
  return {
    cpuMs: list.services.reduce((sum, service) => sum + service.cpuMs, list.genesisCpuMs),
    rssBytes: list.services.reduce(
      (sum, service) => sum + service.residentBytes,
      list.genesisResidentBytes,
    ),
  };
}
