/**
 * Cases that once broke a promise (P1 to P9), kept as files: each must hold now. And the way such a file
 * comes to be, with a planted violation over real worlds: found, made small, kept, found again.
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawConfig, type SimConfig } from "./config.ts";
import {
  decodeRegression,
  encodeRegression,
  readRegression,
  regressionFileName,
  regressionOf,
} from "./replay/regression.ts";
import { shrink } from "./replay/shrink.ts";
import { type Case, drawnCase, runCase, type Violation, violationText } from "./replay/trial.ts";

const FOLDER = join(import.meta.dirname, "regressions");
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
const SHRINK_RUNS = 16;

describe("cases that once broke a promise", () => {
  it.each(files)("hold now: %s", async (name) => {
    const regression = readRegression(join(FOLDER, name));
    expect(regressionFileName(regression)).toBe(name);
    const { violations } = await runCase(regression.case);
    expect(violations.map(violationText), regression.what).toEqual([]);
  });

  it("are there: a folder that is not found shows nothing", () => {
    expect(files.length).toBeGreaterThan(0);
  });
});

/** A small world in which many faults strike in little time. */
const DRAWN = drawConfig(1, 1500);
const CONFIG: SimConfig = {
  ...DRAWN,
  ...{ sites: 2, cvms: 1, replicationFactor: 1, vdisks: 2, writers: 1, slotsPerVdisk: 16 },
  ...{ linkDelayMs: 0.5, diskDelayMs: 0, clockSkewMax: 0, tightOplog: false, thinkMs: 100 },
  ...{ faultEveryMs: 250, faultLastsMs: 200, faults: ["killProcess", "cutLink", "tearLink"] },
  operator: { ...DRAWN.operator, failover: false },
};

/** As if a process that is killed while a link is cut were a broken promise. */
async function plantedRun(one: Case): Promise<readonly Violation[]> {
  const { violations, counters } = await runCase(one);
  const isSeen = (what: string): boolean => (counters[`fault ${what}`] ?? 0) > 0;
  const planted: Violation = {
    promise: "P9",
    name: "no process is killed while a link is cut",
    text: "planted",
    witness: undefined,
  };
  return isSeen("killProcess") && isSeen("cutLink") ? [...violations, planted] : violations;
}

describe("a violation", () => {
  it("is made small over real worlds, kept, and found again from its file", async () => {
    const found = drawnCase(CONFIG);
    const [violation] = await plantedRun(found);
    if (violation === undefined) throw new Error("the planted violation is not in the drawn case");
    expect(violation.text).toBe("planted");
    const small = await shrink(found, violation, {
      run: plantedRun,
      runsMax: SHRINK_RUNS,
      width: 1,
    });
    expect(small.case.schedule.map(({ kind }) => kind).sort()).toEqual(["cutLink", "killProcess"]);
    expect(small.case.config.vdisks).toBe(1);
    expect(small.runs).toBeLessThanOrEqual(SHRINK_RUNS);
    const text = encodeRegression(regressionOf(small.case, small.violation, "0123abc"));
    expect(await plantedRun(decodeRegression(text).case)).toContainEqual(violation);
  });

  it("of determinism is seen when two runs differ", async () => {
    const one = drawnCase({ ...CONFIG, untilMs: 500 });
    const { violations } = await runCase(one, { isTwice: true });
    expect(violations.map(violationText)).toEqual([]);
    let calls = 0;
    const entropy = {
      ...one,
      config: {
        ...one.config,
        get linkDelayMs() {
          calls += 1;
          return calls;
        },
      },
    };
    const differing = await runCase(entropy, { isTwice: true });
    expect(differing.violations.map(({ promise }) => promise)).toContain("determinism");
  });
});
