/** The lab of its own that a scenario runs on: its sites and copies, the rest as `lab up` has it. */

import type { Scenario } from "../../chaos/index.ts";
import type { Options } from "../command.ts";
import { shapeOf } from "./lab.ts";

/** @param options for what a scenario does not say */
export function shapeOfScenario(scenario: Scenario, options: Options): ReturnType<typeof shapeOf> {
  return shapeOf({
    ...options,
    sites: scenario.sites.map((site) => site.name).join(","),
    cvms: scenario.sites.map((site) => site.cvms).join(","),
    ...(scenario.rf === undefined ? {} : { rf: String(scenario.rf) }),
  });
}
