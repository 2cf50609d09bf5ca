/** What a run says of its faults: those that were done, by kind, and none that was not. */

import { describe, expect, it } from "vitest";
import { faultsText, junitOf } from "../../../services/report/index.ts";
import type { RunResult } from "../../../services/report/result.ts";
import { goodRun } from "./sampleResults.ts";

type Event = RunResult["events"][number];

const event = (fault: string, struck: readonly string[], problem = ""): Event => ({
  id: "1.1",
  kind: "fault",
  fault,
  what: fault,
  fromMs: 0,
  toMs: 1,
  struck,
  problem,
});

describe("the count of faults", () => {
  const events = [
    event("kill", ["stargate@A/1"]),
    event("stop", ["wan"]),
    event("kill", ["stargate@A/2", "cerebro@A/2"]),
    event("kill", [], "nothing that runs is meant by it now"),
    { ...event("kill", []), kind: "action" as const },
  ];

  it("is of those that were done, and says how many processes they struck", () => {
    expect(faultsText({ events })).toBe("2 kill (of 3), 1 stop");
    expect(faultsText({ events: [] })).toBe("none");
  });

  it("stands in the JUnit file beside the seed", () => {
    const run = { ...goodRun({ seed: 5, elapsedMs: 9000, faults: 0 }), events };
    expect(junitOf(run)).toContain('name="faults" value="2 kill (of 3), 1 stop"');
    expect(junitOf(run)).toContain('name="seed" value="5"');
  });
});
