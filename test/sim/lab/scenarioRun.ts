/**
 * A chaos scenario in virtual time: `lab up` on a simulated machine, then the run that `antipode chaos
 * run` makes of a real lab, unchanged (services/cli/commands/chaosScenario.ts): its planner, its targets,
 * its writers, its audits, its verdicts. Only what the run stands on is simulated. To its verdicts come
 * those of checkers that see what nobody outside of a lab can see: which epochs were taken, which processes
 * ended by a bug, which failures nobody handled.
 */

import type { Scenario } from "../../../services/chaos/index.ts";
import { runScenario } from "../../../services/cli/commands/chaosScenario.ts";
import { shapeOfScenario } from "../../../services/cli/commands/chaosShape.ts";
import { upLab } from "../../../services/lab/index.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { RunResult } from "../../../services/report/index.ts";
import type { Verdict } from "../check/contracts.ts";
import { checkEpochs } from "../check/fencing.ts";
import { complaintsOf, Rejections } from "../complaints.ts";
import { Observer } from "../observe/observer.ts";
import { Recorder } from "../record.ts";
import type { TraceEvent } from "../trace.ts";
import { labTap } from "./labTap.ts";
import { createMachine, type SimMachine } from "./machine.ts";
import { SCALE_DEFAULT, scaled } from "./scaled.ts";

const LAB = "/lab";
const WORK = "/work";
/** A hundred times what the busiest scenario of the library makes at 1:8. */
const EVENTS_MAX = 5_000_000;
/** A run that has not come to its end then never does. */
const RUN_MS_MAX = 4 * 3_600_000;
/** Classes of the catalogue that a fault of a scenario stands for, for what explains a line of a log. */
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  disk: ["F9", "F10", "F11"],
  rot: ["F7"],
};

export interface ScenarioOrder {
  readonly scenario: Scenario;
  /** As it was given. */
  readonly file: string;
  readonly seed: number;
  /** Everything that costs real time is divided by this (scaled.ts). */
  readonly scale: number;
  readonly tell?: (line: string) => void;
  readonly onEvent?: ((event: TraceEvent) => void) | undefined;
}

export interface ScenarioTrial {
  readonly result: RunResult;
  /** Of the checkers that see inside. */
  readonly checks: readonly Verdict[];
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
}

/**
 * Runs a scenario; equal orders give equal trials. One at a time in a process.
 * @throws AntipodeError when it could not be set up; Error when it does not come to its end
 */
export async function runInSimulator(order: ScenarioOrder): Promise<ScenarioTrial> {
  const rejections = new Rejections();
  const recorder = new Recorder(() => machine.clock.now());
  const { observer, machine } = await createWorld(order, recorder);
  let result: RunResult;
  try {
    result = await machine.wait(play(machine, order), RUN_MS_MAX);
  } finally {
    machine.end();
    await rejections.close();
  }
  const kinds = order.scenario.run.flatMap(({ does }) =>
    "fault" in does ? (CLASSES[does.fault.kind] ?? []) : [],
  );
  const checks = [
    checkEpochs({ acceptances: observer.acceptances() }),
    ...complaintsOf(
      machine,
      rejections.errors,
      kinds.map((kind) => ({ kind })),
    ),
  ];
  return {
    ...{ result: { ...withChecks(result, checks), ...againOf(order) }, checks },
    traceHash: machine.trace.hash(),
    events: machine.trace.count,
    virtualMs: machine.clock.now(),
  };
}

async function createWorld(
  { seed, onEvent }: ScenarioOrder,
  recorder: Recorder,
): Promise<{ readonly observer: Observer; readonly machine: SimMachine }> {
  const observer = new Observer(recorder, await createCodec());
  const tap = labTap(observer.tap);
  const machine = await createMachine({ seed, eventsMax: EVENTS_MAX, onEvent, tap });
  return { observer, machine };
}

/** What `antipode chaos run` does with a lab of its own. */
async function play(machine: SimMachine, order: ScenarioOrder): Promise<RunResult> {
  const { file, seed } = order;
  const tell = (line: string): void => {
    machine.trace.event("world", line);
    order.tell?.(line);
  };
  const scenario = scaled(order.scenario, order.scale);
  const { world, codec } = machine;
  const { signal } = new AbortController();
  const { open } = await upLab(world, {
    ...{ directory: LAB, ...shapeOfScenario(scenario, {}), autoRestart: true, logLevel: "info" },
    ...{ signal, onProgress: () => undefined },
  });
  await world.diskAt(WORK).makeFolder("");
  const context = {
    ...{ world, directory: LAB, options: {}, signal, json: false, tell },
    lab: () => Promise.resolve(open),
  };
  return runScenario({
    ...{ context, open, scenario, file, seed, tell, workFolder: WORK, engine: "sim" },
    codec: () => Promise.resolve(codec),
  });
}

/** The command that runs it again, where `antipode chaos run` has no option for it. */
function againOf({ file, seed, scale }: ScenarioOrder): Partial<RunResult> {
  if (scale === SCALE_DEFAULT) return {};
  return { reproduce: `scripts/sim --scenario ${file} --seed ${seed} --scale ${scale}` };
}

/** A promise that one of the checkers saw broken is broken, whatever could be seen from outside. */
function withChecks(result: RunResult, checks: readonly Verdict[]): RunResult {
  const broken = checks.filter(({ verdict }) => verdict === "violated");
  const verdicts = result.verdicts.map((one) => {
    const found = broken
      .filter(({ promise }) => promise === one.invariant)
      .map(({ name, text }) => `${name}: ${text}`);
    if (found.length === 0) return one;
    if (one.verdict === "violated") found.unshift(one.found);
    return { ...one, verdict: "violated" as const, found: found.join("; ") };
  });
  return { ...result, verdicts, ok: result.ok && broken.length === 0 };
}
