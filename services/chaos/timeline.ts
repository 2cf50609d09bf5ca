/** The time line of a scenario: repeats expanded, in order of time. Pure. */

import { formatDuration } from "../base/units.ts";
import type { Scenario, Step } from "./scenario.ts";

export interface Moment {
  readonly atMs: number;
  /** Unique within the run: step, then repetition. */
  readonly id: string;
  readonly step: Step;
}

/** Every moment of a scenario; those of one time in the order of the file. */
export function timelineOf(scenario: Pick<Scenario, "run">): readonly Moment[] {
  const all = scenario.run.flatMap((step, index) =>
    Array.from({ length: step.repeat.times }, (_, nth) => ({
      atMs: step.atMs + nth * step.repeat.everyMs,
      id: `${index + 1}.${nth + 1}`,
      step,
    })),
  );
  return all.sort((a, b) => a.atMs - b.atMs);
}

/** What happens at a step, for people: `kill cerebro.leader@A, left dead for 2 s`. */
export function describeStep({ does, whenReplicating }: Step): string {
  const when = whenReplicating ? ", as soon as a replication moves data" : "";
  if ("action" in does) return `${does.action.kind} ${does.action.pd}${when}`;
  const { fault } = does;
  const time = fault.forMs === undefined ? "" : ` for ${formatDuration(fault.forMs)}`;
  switch (fault.kind) {
    case "kill":
    case "stop":
    case "restart":
      return `${fault.kind} ${fault.targetText}${time}${when}`;
    case "cut":
    case "link":
      return `${fault.kind} ${fault.links.map((one) => `${one.from}→${one.to}`).join(", ")}${time}${when}`;
    case "heal":
      return `heal${when}`;
  }
}
