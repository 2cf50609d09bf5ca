/** What other rooms may use of chaos: scenarios, their schema and time line, the runner, the verdicts. */

export type { Rot } from "./faults.ts";
export {
  type ChaosLab,
  type JobLook,
  LEASE_MS,
  type RunnerLease,
  type RunReport,
  runTimeline,
  type StepReport,
} from "./runner.ts";
export {
  type Action,
  type Protection,
  parseScenario,
  type Scenario,
  type SteadyState,
} from "./scenario.ts";
export { scenarioSchema } from "./schema.ts";
export { planSoak, remainingMs, type SoakStep } from "./soak.ts";
export {
  type Condition,
  chooseTargets,
  parseTarget,
  type Target,
  type View,
} from "./targets.ts";
export { describeStep, timelineOf } from "./timeline.ts";
export {
  type AuditFact,
  type Facts,
  isGood,
  judge,
  type PdFact,
  promises,
  type Verdict,
  type WriterFact,
} from "./verdict.ts";
