/**
 * The plan of a soak: every scenario, so many rounds in a row, each run with a seed of its own that
 * follows from the soak's. A scenario's seeds do not depend on the others, so that a part of a soak can
 * be run again. Pure.
 */

import { createPrng } from "../base/prng.ts";

export interface SoakStep {
  /** From 1. */
  readonly round: number;
  readonly scenario: string;
  readonly seed: number;
}

/** What is known of a run for the estimate of the others. */
export interface TimedRun {
  readonly scenario: string;
  readonly durationMs: number;
}

const HASH_START = 0x811c9dc5;
const HASH_PRIME = 0x01000193;

/** All runs in their order: round by round, in each the scenarios as they are given. */
export function planSoak(
  scenarios: readonly string[],
  { times, seed }: { readonly times: number; readonly seed: number },
): readonly SoakStep[] {
  return Array.from({ length: times }, (_, index) =>
    scenarios.map((scenario) => {
      const round = index + 1;
      return { round, scenario, seed: seedOf(`${seed} ${round} ${scenario}`) };
    }),
  ).flat();
}

/**
 * How long the runs that are left will take, by the mean of each scenario's runs so far; a scenario
 * that has not run takes as long as the mean of all. `undefined` while nothing has run.
 */
export function remainingMs(
  done: readonly TimedRun[],
  left: readonly { readonly scenario: string }[],
): number | undefined {
  const mean = (runs: readonly TimedRun[]): number | undefined =>
    runs.length === 0
      ? undefined
      : runs.reduce((sum, one) => sum + one.durationMs, 0) / runs.length;
  const ofAll = mean(done);
  if (ofAll === undefined) return undefined;
  return left.reduce(
    (sum, { scenario }) => sum + (mean(done.filter((one) => one.scenario === scenario)) ?? ofAll),
    0,
  );
}

/** FNV-1a, mixed by the generator: texts that differ in one digit must not give like seeds. */
function seedOf(text: string): number {
  let hash = HASH_START;
  for (const character of text)
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), HASH_PRIME) >>> 0;
  return createPrng(hash).uint32();
}
