/** What the lab library offers to the CLI: planning, starting, ending and finding labs. */

export {
  type CvmPlan,
  nbdUri,
  type SitePlan,
} from "./addresses.ts";
export { callGenesis } from "./callGenesis.ts";
export { deleteLab, downLab } from "./down.ts";
export { listProcesses, type ProcessList } from "./genesisClient.ts";
export { DEFAULT_CONTAINER } from "./introduce.ts";
export { type OpenLab, openLab, openRunningLab, runStateOf } from "./open.ts";
export { formatRate, parseDuration, parseRate } from "./quantities.ts";
export { knownLabs } from "./registry.ts";
export {
  type LabShape,
  parseCvmCounts,
  parseReplicationFactor,
  parseSiteNames,
  replicationFactorOf,
} from "./shape.ts";
export { type UpReport, upLab } from "./up.ts";
export type { LabWorld } from "./world.ts";
