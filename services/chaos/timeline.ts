/** The time line of a scenario: repeats expanded, in order of time. Pure. */

import { formatDuration } from "../base/units.ts";
import type { Fault } from "./faults.ts";
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

/** What happens at a step, for people: `kill cerebro.leader@A, as soon as a replication is planned`. */
export function describeStep({ does, when, afterMs }: Step): string {
  const what =
    "action" in does ? `${does.action.kind} ${does.action.pd}` : describeFault(does.fault);
  if (when === undefined) return what;
  const moment = afterMs === 0 ? "as soon as" : `${formatDuration(afterMs)} after`;
  return `${what}, ${moment} ${whenTexts[when]}`;
}

const whenTexts: Readonly<Record<NonNullable<Step["when"]>, string>> = {
  planning: "a replication is planned",
  replicating: "a replication moves data",
  recording: "a replication is recorded",
  activating: "an activation is under way",
};

function describeFault(fault: Fault): string {
  const time = fault.forMs === undefined ? "" : ` for ${formatDuration(fault.forMs)}`;
  switch (fault.kind) {
    case "kill":
    case "stop":
    case "continue":
    case "restart":
      return `${fault.kind} ${fault.targetText}${time}`;
    case "disk": {
      const { kind, delayMs } = fault.disk;
      const by = delayMs === 0 ? "" : ` by ${formatDuration(delayMs)}`;
      return `disk of ${fault.targetText}: ${kind}${by}${time}`;
    }
    case "rot": {
      const last = fault.lastCopy ? ", the last copy too" : "";
      return `rot ${fault.count} places of ${fault.file} files of ${fault.targetText}${last}`;
    }
    case "cut":
    case "link":
      return `${fault.kind} ${fault.links.map((one) => `${one.from}→${one.to}`).join(", ")}${time}`;
    case "heal":
      return "heal";
  }
}
