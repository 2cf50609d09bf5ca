/**
 * What a chaos run proves with: writers that keep a history while faults strike, and, after all is
 * healed, roots and bytes of both sites and the audit of those histories.
 */

import { join } from "node:path";
import type { AuditFact, PdFact, Protection, Scenario } from "../../chaos/index.ts";
import {
  type AuditReport,
  auditRecord,
  openSteadyDisk,
  SvwWriter,
  type WriterStatus,
} from "../../guest/index.ts";
import { CerebroService, type RecoveryPoint } from "../../platform/wire/cerebro.ts";
import type { Context } from "../command.ts";
import { compareWithCopy, keepCopy } from "../demo/diskCopy.ts";
import type { SiteActions } from "../demo/siteActions.ts";
import { quietLog } from "../quietLog.ts";
import { callSite } from "../siteClient.ts";

const nothing = (): void => undefined;

export interface EvidenceWorld {
  readonly context: Context;
  readonly actions: SiteActions;
  readonly scenario: Scenario;
  /** Absolute path of a folder outside the lab. */
  readonly workFolder: string;
  readonly seed: number;
  /** Replicates the newest recovery point and waits; false when the job did not end well. */
  readonly replicate: (from: string, pd: string, to: string) => Promise<boolean>;
}

/** The writers of a scenario. */
export class Writers {
  readonly #world: EvidenceWorld;
  readonly #running = new Map<string, { abort: AbortController; done: Promise<WriterStatus> }>();

  constructor(world: EvidenceWorld) {
    this.#world = world;
  }

  async start(): Promise<void> {
    const { context, actions, scenario, workFolder, seed } = this.#world;
    const { net, clock } = context.world;
    for (const [index, workload] of scenario.workloads.entries()) {
      const one = scenario.protection.find(({ pd }) => pd === workload.pd);
      const vdisks = await Promise.all(
        (one?.vdisks ?? []).map(async ({ name, sizeBytes }) => ({
          name,
          targets: await actions.targets(one?.at ?? "", name),
          spanBytes: Math.min(sizeBytes, workload.spanBytes),
        })),
      );
      const { queueDepth, ratePerSecond } = workload;
      const writer = new SvwWriter(
        { net, clock, disk: context.world.diskAt(workFolder), log: quietLog },
        {
          vdisks,
          runId: index + 1,
          seed: (seed + index) >>> 0,
          queueDepth,
          ratePerSecond,
          historyPath: historyOf(workload.pd),
        },
      );
      const abort = new AbortController();
      const done = writer.run(abort.signal);
      done.catch(nothing); // looked at when the writer is stopped
      this.#running.set(workload.pd, { abort, done });
    }
  }

  /** Ends the writer of a pd; harmless when it has none, or it has ended. */
  async stop(pd: string): Promise<void> {
    const running = this.#running.get(pd);
    running?.abort.abort();
    await running?.done;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((pd) => this.stop(pd)));
  }

  has(pd: string): boolean {
    return this.#running.has(pd);
  }
}

/** Everything about one pd after the lab is well: brings it in sync, then compares. */
export async function examine(
  world: EvidenceWorld,
  protection: Protection,
  about: { readonly hasWriter: boolean; readonly failedOver: boolean },
): Promise<PdFact> {
  const { actions } = world;
  const { pd, at, to } = protection;
  const active = about.failedOver ? to : at;
  const other = about.failedOver ? at : to;
  const live =
    about.hasWriter && !about.failedOver
      ? await audit(world, protection, at, undefined)
      : undefined;
  const askedMicros = nowMicros(world);
  const point = await actions.snapshot(active, pd);
  const inSync = await world.replicate(active, pd, other);
  const { pointsCompared, rootsDiffer } = await compareRoots(world, pd, active, other);
  const activeAt = await activeSites(world, pd);
  const facts = { pd, inSync, failedOver: about.failedOver, activeAt, pointsCompared, rootsDiffer };
  if (about.failedOver || !inSync) {
    const image =
      about.hasWriter && about.failedOver
        ? await audit(world, protection, to, undefined)
        : undefined;
    return { ...facts, bytesCompared: 0, bytesDiffer: [], live, image };
  }
  const bytes = await compareBytes(world, protection, point);
  const image = about.hasWriter ? await audit(world, protection, to, askedMicros) : undefined;
  return { ...facts, activeAt: await activeSites(world, pd), ...bytes, live, image };
}

function historyOf(pd: string): string {
  return `history-${pd}`;
}

/** The writers' journals count on the wall clock. */
function nowMicros({ context }: EvidenceWorld): number {
  return Math.round(context.world.clock.wall() * 1000);
}

async function audit(
  { context, actions, workFolder }: EvidenceWorld,
  { pd }: Protection,
  site: string,
  requiredBeforeMicros: number | undefined,
): Promise<AuditFact> {
  const required = requiredBeforeMicros === undefined ? {} : { requiredBeforeMicros };
  const report = await auditRecord(context.world, {
    disk: context.world.diskAt(workFolder),
    path: historyOf(pd),
    targets: (vdisk) => actions.targets(site, vdisk),
    ...required,
  });
  return factOf(report);
}

function factOf(report: AuditReport): AuditFact {
  return {
    acknowledged: report.writesAcknowledged,
    lost: report.lost.length,
    missingRequired: report.missingRequired,
    problems: report.problems.length,
    isPrefix: report.isPrefix,
  };
}

async function compareRoots(
  world: EvidenceWorld,
  pd: string,
  active: string,
  other: string,
): Promise<{ readonly pointsCompared: number; readonly rootsDiffer: readonly string[] }> {
  const [here, there] = await Promise.all([
    pointsOf(world, active, pd),
    pointsOf(world, other, pd),
  ]);
  const pairs = there.flatMap((point) => {
    const own = here.find((one) => one.id === point.id);
    return own === undefined ? [] : [[own, point] as const];
  });
  const rootsOf = (point: RecoveryPoint): string =>
    JSON.stringify(point.disks.map((disk) => [disk.vdiskName, disk.root]).sort());
  const differ = pairs.filter(([own, point]) => rootsOf(own) !== rootsOf(point));
  return { pointsCompared: pairs.length, rootsDiffer: differ.map(([own]) => own.name) };
}

async function pointsOf(
  { context, actions }: EvidenceWorld,
  site: string,
  pd: string,
): Promise<readonly RecoveryPoint[]> {
  const call = { service: "cerebro" } as const;
  const plan = actions.site(site);
  return (await callSite(context, plan, call, CerebroService.listRecoveryPoints, { pd }))
    .recoveryPoints;
}

async function activeSites(
  { context, actions, scenario }: EvidenceWorld,
  pd: string,
): Promise<readonly string[]> {
  const call = { service: "cerebro" } as const;
  const active: string[] = [];
  for (const { name } of scenario.sites) {
    const plan = actions.site(name);
    const { pds } = await callSite(context, plan, call, CerebroService.listPds, {});
    if (pds.some((one) => one.name === pd && one.state === "active")) active.push(name);
  }
  return active;
}

/** Keeps what the point holds at its site, fails over to the other, and compares byte for byte. */
async function compareBytes(
  { context, actions, workFolder }: EvidenceWorld,
  { pd, at, to, vdisks }: Protection,
  point: RecoveryPoint,
): Promise<{ readonly bytesCompared: number; readonly bytesDiffer: readonly string[] }> {
  const copyOf = (name: string): string => join(workFolder, `copy-${name}`);
  for (const { name } of vdisks) {
    const targets = await actions.targets(at, name, `${name}@${point.id}`);
    const client = await openSteadyDisk(context.world, targets);
    await keepCopy(client, copyOf(name), nothing).finally(() => client.close());
  }
  await actions.activate(to, pd, point.id);
  let bytesCompared = 0;
  const bytesDiffer: string[] = [];
  for (const { name, sizeBytes } of vdisks) {
    const client = await openSteadyDisk(context.world, await actions.targets(to, name));
    const found = await compareWithCopy(client, copyOf(name), nothing).finally(() =>
      client.close(),
    );
    bytesCompared += found.bytes;
    if (found.firstDifference !== undefined || found.bytes !== sizeBytes) bytesDiffer.push(name);
  }
  return { bytesCompared, bytesDiffer };
}
