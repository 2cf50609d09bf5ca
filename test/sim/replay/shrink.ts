/**
 * Makes a failing case small: fewer faults (ddmin.ts), then fewer vDisks, less time, a smaller group, and
 * again fewer faults for as long as something helps. Every step is a run that still violates the
 * same promise in the eyes of the same checker; runs are bounded, and a case is run only once.
 */

import type { SimConfig } from "../config.ts";
import { type FirstFailing, minimise } from "./ddmin.ts";
import type { PlannedFault } from "./schedule.ts";
import { type Case, isSame, type Violation } from "./trial.ts";

/** Rounds of faults and configuration: the second one rarely finds anything. */
const ROUNDS_MAX = 4;

export interface ShrinkWorld {
  /** Runs the case; what it violated. */
  readonly run: (one: Case) => Promise<readonly Violation[]>;
  readonly runsMax: number;
  /** Cases that are run side by side. */
  readonly width: number;
  /** Told of every case that is smaller than all before. */
  readonly onSmaller?: (one: Case, runs: number) => void;
}

export interface Shrunk {
  readonly case: Case;
  /** As the small case shows it: its witness has other times and numbers than the first one's. */
  readonly violation: Violation;
  readonly runs: number;
  /** The runs were used up, so that it might become smaller still. */
  readonly isCutShort: boolean;
}

/** @param found violates `violation`; that is not tried again */
export async function shrink(
  found: Case,
  violation: Violation,
  world: ShrinkWorld,
): Promise<Shrunk> {
  const search = new Search(violation, world);
  let best = found;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = best;
    best = await fewerFaults(best, search);
    best = await smallerWorld(best, search);
    if (best === before) break;
  }
  const { runs, isCutShort } = search;
  return { case: best, violation: search.seenWith(best), runs, isCutShort };
}

/** Runs candidates, remembers what they showed, and stops at the bound. */
class Search {
  readonly #violation: Violation;
  readonly #world: ShrinkWorld;
  /** Case as text → the violation that was looked for, if it was there. */
  readonly #known = new Map<string, Violation | undefined>();
  runs = 0;
  isCutShort = false;

  constructor(violation: Violation, world: ShrinkWorld) {
    this.#violation = violation;
    this.#world = world;
  }

  /** The first candidate, in their order, that still violates the same promise. */
  async firstFailing(candidates: readonly Case[]): Promise<Case | undefined> {
    for (let at = 0; at < candidates.length; at += this.#world.width) {
      const group = candidates.slice(at, at + this.#world.width);
      const violations = await Promise.all(group.map((one) => this.#try(one)));
      const failing = group.find((_, i) => violations[i] !== undefined);
      if (failing === undefined) continue;
      this.#world.onSmaller?.(failing, this.runs);
      return failing;
    }
    return undefined;
  }

  seenWith(one: Case): Violation {
    return this.#known.get(keyOf(one)) ?? this.#violation;
  }

  async #try(one: Case): Promise<Violation | undefined> {
    const key = keyOf(one);
    if (this.#known.has(key)) return this.#known.get(key);
    if (this.runs >= this.#world.runsMax) {
      this.isCutShort = true;
      return undefined;
    }
    this.runs += 1;
    const violations = await this.#world.run(one);
    const same = violations.find((violation) => isSame(violation, this.#violation));
    this.#known.set(key, same);
    return same;
  }
}

function keyOf(one: Case): string {
  return JSON.stringify([one.config, one.schedule]);
}

async function fewerFaults(from: Case, search: Search): Promise<Case> {
  const { config, schedule } = from;
  const byList = new Map<readonly PlannedFault[], Case>();
  const firstFailing: FirstFailing<readonly PlannedFault[]> = async (lists) => {
    const failing = await search.firstFailing(lists.map((list) => ({ config, schedule: list })));
    if (failing !== undefined) byList.set(failing.schedule, failing);
    return failing?.schedule;
  };
  const kept = await minimise(schedule, firstFailing);
  return kept.length === schedule.length ? from : (byList.get(kept) ?? { config, schedule: kept });
}

/** Takes the first simplification that still fails, until none does. */
async function smallerWorld(from: Case, search: Search): Promise<Case> {
  let best = from;
  for (;;) {
    const next = await search.firstFailing(simplerCases(best));
    if (next === undefined) return best;
    best = next;
  }
}

/** Cases that are simpler in one thing, the boldest first; each of them is smaller, so they come to an end. */
export function simplerCases({ config, schedule }: Case): readonly Case[] {
  const changes: readonly Partial<SimConfig>[] = [
    ...fewer(config.vdisks, [1, config.vdisks - 1]).map((vdisks) => ({ vdisks })),
    ...shorter(config, schedule).map((untilMs) => ({ untilMs })),
    ...fewer(config.writers, [1]).map((writers) => ({ writers })),
    ...fewer(config.slotsPerVdisk, [16, 64]).map((slotsPerVdisk) => ({ slotsPerVdisk })),
    ...fewer(config.sites, [2]).map((sites) => ({ sites })),
    ...fewer(config.cvms, [2, config.cvms - 1]).map((cvms) => ({
      cvms,
      replicationFactor: Math.min(cvms, config.replicationFactor),
    })),
    ...fewer(config.replicationFactor, [2, 1]).map((replicationFactor) => ({
      replicationFactor,
    })),
    ...(config.tightOplog ? [{ tightOplog: false }] : []),
    ...(config.forgetful ? [{ forgetful: false }] : []),
    ...(config.rest.powerLoss ? [{ rest: { ...config.rest, powerLoss: false } }] : []),
    ...lessThan(config.rest.rotShare, [0]).map((rotShare) => ({
      rest: { ...config.rest, rotShare },
    })),
    ...lessThan(config.clockSkewMax, [0]).map((clockSkewMax) => ({ clockSkewMax })),
    ...lessThan(config.diskDelayMs, [0]).map((diskDelayMs) => ({ diskDelayMs })),
    ...lessThan(config.insideLoss, [0]).map((insideLoss) => ({ insideLoss })),
    ...lessThan(config.etcdDelayMs, [0, 1]).map((etcdDelayMs) => ({ etcdDelayMs })),
    ...lessThan(config.linkDelayMs, [0.5]).map((linkDelayMs) => ({ linkDelayMs })),
  ];
  return changes.map((change) => {
    const simpler = { ...config, ...change };
    return { config: simpler, schedule: schedule.filter(({ atMs }) => atMs < simpler.untilMs) };
  });
}

/** Of what a world cannot be without. */
function fewer(now: number, wanted: readonly number[]): readonly number[] {
  return lessThan(now, wanted).filter((count) => count >= 1);
}

function lessThan(now: number, wanted: readonly number[]): readonly number[] {
  return [...new Set(wanted)].filter((value) => value < now);
}

/** Times with faults, in whole seconds: just after the last fault, half, and a second less. */
function shorter({ untilMs }: SimConfig, schedule: readonly PlannedFault[]): readonly number[] {
  const SECOND_MS = 1000;
  const whole = (ms: number): number => Math.max(SECOND_MS, Math.ceil(ms / SECOND_MS) * SECOND_MS);
  const lastMs = schedule.at(-1)?.atMs ?? 0;
  return lessThan(untilMs, [whole(lastMs), whole(untilMs / 2), whole(untilMs - 2 * SECOND_MS)]);
}
