/** What the lab library offers to the CLI: planning, starting, ending and finding labs. */

export {
  type CvmPlan,
  type LabPlan,
  nbdUri,
  planAddresses,
  type SitePlan,
} from "./addresses.ts";
export { type DownReport, deleteLab, downLab } from "./down.ts";
export { listProcesses, type ProcessList } from "./genesisClient.ts";
export { DEFAULT_CONTAINER } from "./introduce.ts";
export type { LabFile } from "./labFile.ts";
export { type OpenLab, openLab, openRunningLab, type RunState, runStateOf } from "./open.ts";
export { formatRate, parseDuration, parseRate } from "./quantities.ts";
export { type KnownLab, knownLabs } from "./registry.ts";
export { type LabShape, parseCvmCounts, parseSiteNames, type SiteShape } from "./shape.ts";
export { type UpOptions, type UpReport, upLab } from "./up.ts";
export type { LabWorld } from "./world.ts";
