/** The time line of a scenario: repeats expanded, what is left to chance drawn, in order of time. Pure. */

import type { Prng } from "../base/prng.ts";
import { formatDuration } from "../base/units.ts";
import type { Fault } from "./faults.ts";
import type { Repeat, Scenario, Step } from "./scenario.ts";

export interface Moment {
  readonly atMs: number;
  /** Unique within the run: step, then repetition. */
  readonly id: string;
  /** With nothing left to draw but targets. */
  readonly step: Step;
}

/** Every moment of a scenario; those of one time in the order of the file. */
export function timelineOf(scenario: Pick<Scenario, "run">, prng: Prng): readonly Moment[] {
  const all = scenario.run.flatMap((step, index) =>
    instantsOf(step.repeat, prng).map((afterMs, nth) => ({
      atMs: step.atMs + afterMs,
      id: `${index + 1}.${nth + 1}`,
      step:
        "fault" in step.does ? { ...step, does: { fault: drawn(step.does.fault, prng) } } : step,
    })),
  );
  return all.sort((a, b) => a.atMs - b.atMs);
}

function instantsOf({ times, everyMs, overMs }: Repeat, prng: Prng): readonly number[] {
  const all = Array.from({ length: times }, (_, nth) =>
    overMs === undefined ? nth * everyMs : Math.floor(prng.unit() * overMs),
  );
  return all.sort((a, b) => a - b);
}

/** The fault with a time that lasts as long as was drawn. */
function drawn(fault: Fault, prng: Prng): Fault {
  if (!("forMsMax" in fault) || fault.forMs === undefined || fault.forMsMax === undefined)
    return fault;
  const forMs = fault.forMs + prng.below(fault.forMsMax - fault.forMs + 1);
  return { ...fault, forMs, forMsMax: undefined };
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
  struck: "all faults before it have struck",
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
