/** How many faults of each kind a run really did, and to how many processes or links. Pure. */

import type { RunResult } from "./result.ts";

interface FaultCount {
  readonly fault: string;
  readonly done: number;
  /** Services or links; one that was struck twice counts twice. */
  readonly struck: number;
}

/** By kind, in the order in which they first struck; faults that were not done are not counted. */
export function faultCounts(result: Pick<RunResult, "events">): readonly FaultCount[] {
  const counts = new Map<string, FaultCount>();
  for (const { kind, fault, problem, struck } of result.events) {
    if (kind !== "fault" || fault === undefined || problem !== "") continue;
    const before = counts.get(fault) ?? { fault, done: 0, struck: 0 };
    counts.set(fault, { fault, done: before.done + 1, struck: before.struck + struck.length });
  }
  return [...counts.values()];
}

/** `300 kill (of 342), 100 stop`: how many struck are said where they are more. */
export function faultsText(result: Pick<RunResult, "events">): string {
  const texts = faultCounts(result).map(({ fault, done, struck }) =>
    struck === done ? `${done} ${fault}` : `${done} ${fault} (of ${struck})`,
  );
  return texts.length === 0 ? "none" : texts.join(", ");
}
