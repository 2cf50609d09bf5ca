/** What other rooms may use of chaos: scenarios, their schema and time line, the runner, the verdicts. */

export {
  type ChaosLab,
  LEASE_MS,
  type RunnerLease,
  type RunReport,
  runTimeline,
} from "./runner.ts";
export {
  type Action,
  type Protection,
  parseScenario,
  type Scenario,
} from "./scenario.ts";
export { scenarioSchema } from "./schema.ts";
export type { View } from "./targets.ts";
export { describeStep, timelineOf } from "./timeline.ts";
export {
  type AuditFact,
  type Facts,
  isGood,
  type JobFact,
  judge,
  type PdFact,
  type Verdict,
} from "./verdict.ts";
