/**
 * What a run proved: for each promise held, violated, or vacuous (nothing happened that could have
 * broken it). Pure: facts in, verdicts out. A run is good when nothing is violated and everything that
 * the scenario asserts is held: a vacuous assertion is a scenario that tests nothing.
 */

import type { Invariant } from "./scenario.ts";

/** A replication job of the run. */
export interface JobFact {
  readonly id: string;
  readonly state: string;
  readonly resentBytes: number;
  /** Of a site that another one took over from while it ran: it may fail. */
  readonly superseded: boolean;
  /** Faults that hit while its tasks ran. */
  readonly strikes: number;
}

/** What an audit of a writer's history found in one image. */
export interface AuditFact {
  readonly acknowledged: number;
  readonly lost: number;
  /** Lost although acknowledged before the recovery point was asked for. */
  readonly missingRequired: number;
  readonly problems: number;
  readonly isPrefix: boolean;
}

/** What the writer of a pd, a block client at the source, went through while faults struck. */
export interface WriterFact {
  readonly acknowledged: number;
  /** Ended without a good answer. */
  readonly unknown: number;
  /** The longest time in which not one was acknowledged. Not a latency: those grow with any slow machine. */
  readonly stalledMs: number;
}

export interface PdFact {
  readonly pd: string;
  readonly writer: WriterFact | undefined;
  /** Every fault struck links or other sites only: its writer had no reason to notice. */
  readonly sourceSpared: boolean;
  readonly inSync: boolean;
  readonly activeAt: readonly string[];
  /** The site failed over to another while it ran: its last writes may be gone. */
  readonly failedOver: boolean;
  readonly pointsCompared: number;
  readonly rootsDiffer: readonly string[];
  readonly bytesCompared: number;
  /** vDisks whose bytes differ between the sites. */
  readonly bytesDiffer: readonly string[];
  /** Of the vDisks where they were written, after all faults. */
  readonly live: AuditFact | undefined;
  /** Of the vDisks that the other site made from the last recovery point. */
  readonly image: AuditFact | undefined;
}

export interface Facts {
  readonly faults: number;
  /** Places that were made to rot, and how many of them were found and repaired. */
  readonly rot: { readonly places: number; readonly repaired: number };
  readonly jobs: readonly JobFact[];
  readonly pds: readonly PdFact[];
  readonly leaders: readonly {
    readonly site: string;
    readonly epoch: number;
    readonly cvm: number;
  }[];
  /** Why it is not well again, or "". */
  readonly notConverged: string;
}

/** The promises that a run can be held to, in words. */
export const promises: Readonly<Record<Invariant, string>> = {
  P1: "no acknowledged write is lost",
  P2: "a recovery point is a prefix of the acknowledged order",
  P3: "both sites hold the same recovery points",
  P4: "one leader an epoch, one active site a protection domain",
  P5: "what had arrived is not sent again",
  P7: "bytes that fail their check are never returned",
  P8: "a remote site never slows or fails writes at the source",
  P9: "after faults end, everything converges by itself",
};

export interface Verdict {
  readonly invariant: Invariant;
  readonly verdict: "held" | "violated" | "vacuous";
  readonly found: string;
}

/** What a lane may have under way when it is struck (16 MiB a worker), for every CVM that works. */
const RESENT_BYTES_MAX_PER_STRIKE = 64 * 1024 * 1024;

/** Shorter than any cut that is to prove something, longer than a busy machine stands still. */
const SPARED_STALL_MS_MAX = 5000;

/** Verdicts on all promises. */
export function judge(facts: Facts): readonly Verdict[] {
  return [p1, p2, p3, p4, p5, p7, p8, p9].map((promise) => promise(facts));
}

/** Was the run good? */
export function isGood(verdicts: readonly Verdict[], asserted: readonly Invariant[]): boolean {
  return verdicts.every(
    ({ invariant, verdict }) =>
      verdict === "held" || (verdict === "vacuous" && !asserted.includes(invariant)),
  );
}

function verdictOf(
  invariant: Invariant,
  problems: readonly string[],
  tested: boolean,
  found: string,
): Verdict {
  if (problems.length > 0) return { invariant, verdict: "violated", found: problems.join("; ") };
  return { invariant, verdict: tested ? "held" : "vacuous", found };
}

function p1({ faults, pds }: Facts): Verdict {
  const audits = pds.flatMap((one) => (one.live === undefined ? [] : [one.live]));
  const problems = pds.flatMap(({ pd, live }) =>
    live === undefined || live.lost + live.problems === 0
      ? []
      : [`${pd}: ${live.lost} acknowledged writes lost, ${live.problems} blocks damaged`],
  );
  const acknowledged = audits.reduce((sum, one) => sum + one.acknowledged, 0);
  return verdictOf(
    "P1",
    problems,
    faults > 0 && acknowledged > 0,
    `${acknowledged} acknowledged writes, none lost, after ${faults} faults`,
  );
}

function p2({ pds }: Facts): Verdict {
  const audits = pds.flatMap((one) => (one.image === undefined ? [] : [one.image]));
  const problems = pds.flatMap(({ pd, image }) =>
    image === undefined || (image.isPrefix && image.missingRequired + image.problems === 0)
      ? []
      : [
          `${pd}: ${image.isPrefix ? "a prefix" : "no prefix"}, ${image.missingRequired} required writes missing, ${image.problems} blocks damaged`,
        ],
  );
  const acknowledged = audits.reduce((sum, one) => sum + one.acknowledged, 0);
  return verdictOf(
    "P2",
    problems,
    acknowledged > 0,
    `the other site holds a prefix of ${acknowledged} acknowledged writes`,
  );
}

function p3({ pds }: Facts): Verdict {
  const problems = pds.flatMap(({ pd, rootsDiffer, bytesDiffer }) => [
    ...rootsDiffer.map((point) => `${pd}: roots of ${point} differ`),
    ...bytesDiffer.map((vdisk) => `${pd}: bytes of ${vdisk} differ`),
  ]);
  const points = pds.reduce((sum, one) => sum + one.pointsCompared, 0);
  const bytes = pds.reduce((sum, one) => sum + one.bytesCompared, 0);
  const found = `roots of ${points} recovery points and ${bytes} bytes are equal at both sites`;
  return verdictOf("P3", problems, points > 0, found);
}

function p4({ pds, leaders }: Facts): Verdict {
  const cvms = new Map<string, number>();
  const problems: string[] = [];
  for (const { site, epoch, cvm } of leaders) {
    const key = `${site} epoch ${epoch}`;
    const before = cvms.get(key);
    if (before !== undefined && before !== cvm)
      problems.push(`${key}: led by CVM ${before} and CVM ${cvm}`);
    cvms.set(key, cvm);
  }
  for (const { pd, activeAt } of pds)
    if (activeAt.length > 1) problems.push(`${pd} is active at ${activeAt.join(" and ")}`);
  const sites = new Set(leaders.map((one) => one.site)).size;
  const found = `${cvms.size} leaders' epochs at ${sites} sites, each of one CVM; each pd active at one site`;
  return verdictOf("P4", problems, cvms.size > sites, found);
}

function p5({ jobs }: Facts): Verdict {
  const struck = jobs.filter((one) => one.strikes > 0);
  const problems = struck.flatMap(({ id, state, resentBytes, strikes, superseded }) => [
    ...(state === "DONE" || superseded ? [] : [`job ${id} ended as ${state}`]),
    ...(resentBytes <= strikes * RESENT_BYTES_MAX_PER_STRIKE
      ? []
      : [`job ${id} sent ${resentBytes} bytes again after ${strikes} faults`]),
  ]);
  const resent = struck.reduce((sum, one) => sum + one.resentBytes, 0);
  const found = `${struck.length} replications were struck while they moved data; ${resent} bytes sent again`;
  return verdictOf("P5", problems, struck.length > 0, found);
}

function p7({ rot, pds }: Facts): Verdict {
  const problems = pds.flatMap(({ pd, live, image, bytesDiffer }) => [
    ...[live, image].flatMap((audit) =>
      audit === undefined || audit.problems === 0
        ? []
        : [`${pd}: ${audit.problems} blocks damaged`],
    ),
    ...bytesDiffer.map((vdisk) => `${pd}: bytes of ${vdisk} differ`),
  ]);
  const found = `${rot.repaired} of ${rot.places} rotten places were found and repaired, none was ever returned`;
  return verdictOf("P7", problems, rot.repaired > 0, found);
}

function p8({ faults, pds }: Facts): Verdict {
  const spared = pds.flatMap(({ pd, sourceSpared, writer }) =>
    sourceSpared && writer !== undefined ? [{ pd, ...writer }] : [],
  );
  const problems = spared.flatMap(({ pd, unknown, stalledMs }) => [
    ...(unknown === 0 ? [] : [`${pd}: ${unknown} writes failed at the source`]),
    ...(stalledMs <= SPARED_STALL_MS_MAX
      ? []
      : [`${pd}: no write was answered for ${Math.round(stalledMs)} ms`]),
  ]);
  const acknowledged = spared.reduce((sum, one) => sum + one.acknowledged, 0);
  const stalledMs = Math.round(Math.max(0, ...spared.map((one) => one.stalledMs)));
  const found = `${acknowledged} writes at the source, none failed, never longer than ${stalledMs} ms without an answer, under ${faults} faults elsewhere`;
  return verdictOf("P8", problems, faults > 0 && acknowledged > 0, found);
}

function p9({ faults, jobs, pds, notConverged }: Facts): Verdict {
  const problems = [
    ...(notConverged === "" ? [] : [notConverged]),
    ...jobs
      .filter((one) => one.state !== "DONE" && !one.superseded)
      .map((one) => `job ${one.id} is ${one.state}`),
    ...pds.filter((one) => !one.inSync).map((one) => `${one.pd} is not in sync`),
  ];
  const found = `${jobs.length} jobs done and ${pds.length} pds in sync after ${faults} faults`;
  return verdictOf("P9", problems, faults > 0, found);
}
