/**
 * What a chaos run proves with after all is healed: roots and bytes of both sites, and the audit of what
 * the writers were told against what the sites hold.
 */

import type { AuditFact, PdFact, Protection, Scenario, WriterFact } from "../../chaos/index.ts";
import { type AuditReport, auditRecord, openSteadyDisk } from "../../guest/index.ts";
import { CerebroService, type RecoveryPoint } from "../../platform/wire/cerebro.ts";
import { auditOf, type RunResult } from "../../report/index.ts";
import type { Context } from "../command.ts";
import { type CopyFile, compareWithCopy, keepCopy } from "../demo/diskCopy.ts";
import type { SiteActions } from "../demo/siteActions.ts";
import { callSite } from "../siteClient.ts";
import { historyOf } from "./chaosWriters.ts";

const nothing = (): void => undefined;

export interface EvidenceWorld {
  readonly context: Context;
  readonly actions: SiteActions;
  readonly scenario: Scenario;
  /** Absolute path of a folder outside the lab. */
  readonly workFolder: string;
  /** Replicates the newest recovery point and waits; false when the job did not end well. */
  readonly replicate: (from: string, pd: string, to: string) => Promise<boolean>;
}

export interface Examination {
  readonly fact: PdFact;
  readonly audits: RunResult["audits"];
}

/** What the run knows of a pd. */
export interface PdStory {
  readonly writer: WriterFact | undefined;
  readonly sourceSpared: boolean;
  /** The recovery point that it was activated from, and when that was asked for. */
  readonly activated: { readonly id: string; readonly askedMicros: number | undefined } | undefined;
}

/** Everything about one pd after the lab is well: brings it in sync, then compares. */
export async function examine(
  world: EvidenceWorld,
  protection: Protection,
  story: PdStory,
): Promise<Examination> {
  const { pd, at, to } = protection;
  const before = await activeSites(world, pd);
  const failedOver = before.includes(to) && (story.activated !== undefined || !before.includes(at));
  const { writer, sourceSpared } = story;
  const about = { pd, writer, sourceSpared, failedOver };
  return failedOver
    ? examineFailedOver(world, protection, story, about)
    : examineSource(world, protection, about);
}

type About = Pick<PdFact, "pd" | "writer" | "sourceSpared" | "failedOver">;

/** Still active where it was: compares there, replicates, fails over for the sake of comparing. */
async function examineSource(
  world: EvidenceWorld,
  protection: Protection,
  about: About,
): Promise<Examination> {
  const { pd, at, to } = protection;
  const audits: Audited[] = [];
  const hasWriter = about.writer !== undefined;
  const live = hasWriter
    ? await audit(world, audits, { pd, site: at, of: "source" }, undefined)
    : undefined;
  const askedMicros = nowMicros(world);
  const point = await world.actions.snapshot(at, pd);
  const inSync = await world.replicate(at, pd, to);
  const roots = await compareRoots(world, pd, at, to);
  const activeAt = await activeSites(world, pd);
  const facts = { ...about, inSync, live, ...roots };
  if (!inSync)
    return {
      fact: { ...facts, activeAt, bytesCompared: 0, bytesDiffer: [], image: undefined },
      audits,
    };
  await copyPoint(world, protection, point.id);
  await world.actions.activate(to, pd, point.id);
  const bytes = await compareBytes(world, protection);
  const image = hasWriter
    ? await audit(world, audits, { pd, site: to, of: "copy" }, askedMicros)
    : undefined;
  return { fact: { ...facts, activeAt: await activeSites(world, pd), ...bytes, image }, audits };
}

/** Activated in the run: what was made there is compared with the point that it was made from. */
async function examineFailedOver(
  world: EvidenceWorld,
  protection: Protection,
  story: PdStory,
  about: About,
): Promise<Examination> {
  const { pd, at, to } = protection;
  const audits: Audited[] = [];
  const { activated } = story;
  let bytes: Bytes = { bytesCompared: 0, bytesDiffer: [] };
  if (activated !== undefined) {
    await copyPoint(world, protection, activated.id);
    bytes = await compareBytes(world, protection);
  }
  const image =
    about.writer === undefined
      ? undefined
      : await audit(world, audits, { pd, site: to, of: "copy" }, activated?.askedMicros);
  await world.actions.snapshot(to, pd);
  const inSync = await world.replicate(to, pd, at);
  const roots = await compareRoots(world, pd, to, at);
  const activeAt = await activeSites(world, pd);
  const fact = { ...about, inSync, activeAt, ...roots, ...bytes, live: undefined, image };
  return { fact, audits };
}

/** The writers' journals count on the wall clock. */
function nowMicros({ context }: EvidenceWorld): number {
  return Math.round(context.world.clock.wall() * 1000);
}

type Audited = RunResult["audits"][number];

async function audit(
  { context, actions, workFolder }: EvidenceWorld,
  audits: Audited[],
  about: Omit<Audited, "audit">,
  requiredBeforeMicros: number | undefined,
): Promise<AuditFact> {
  const required = requiredBeforeMicros === undefined ? {} : { requiredBeforeMicros };
  const report = await auditRecord(context.world, {
    disk: context.world.diskAt(workFolder),
    path: historyOf(about.pd),
    targets: (vdisk) => actions.targets(about.site, vdisk),
    ...required,
  });
  audits.push({ ...about, audit: auditOf(report) });
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

type Bytes = Pick<PdFact, "bytesCompared" | "bytesDiffer">;

function copyOf({ context, workFolder }: EvidenceWorld, vdisk: string): CopyFile {
  return { disk: context.world.diskAt(workFolder), path: `copy-${vdisk}` };
}

/** Keeps what the point holds at the site where it was cut. */
async function copyPoint(
  world: EvidenceWorld,
  { at, vdisks }: Protection,
  pointId: string,
): Promise<void> {
  for (const { name } of vdisks) {
    const targets = await world.actions.targets(at, name, `${name}@${pointId}`);
    const client = await openSteadyDisk(world.context.world, targets);
    await keepCopy(client, copyOf(world, name), nothing).finally(() => client.close());
  }
}

/** What the other site serves against the copies, byte for byte. */
async function compareBytes(world: EvidenceWorld, { to, vdisks }: Protection): Promise<Bytes> {
  let bytesCompared = 0;
  const bytesDiffer: string[] = [];
  for (const { name, sizeBytes } of vdisks) {
    const targets = await world.actions.targets(to, name);
    const client = await openSteadyDisk(world.context.world, targets);
    const found = await compareWithCopy(client, copyOf(world, name), nothing).finally(() =>
      client.close(),
    );
    bytesCompared += found.bytes;
    if (found.firstDifference !== undefined || found.bytes !== sizeBytes) bytesDiffer.push(name);
  }
  return { bytesCompared, bytesDiffer };
}
