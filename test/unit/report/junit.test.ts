/** JUnit XML: each check a test case, counts that agree with the cases, and XML whatever the names are. */

import { describe, expect, it } from "vitest";
import { junitOf } from "../../../services/report/index.ts";
import { goodRun, violatedRun } from "./sampleResults.ts";

const shape = { seed: 42, elapsedMs: 34_000, faults: 6 };
const count = (xml: string, pattern: RegExp): number => xml.match(pattern)?.length ?? 0;

describe("junitOf", () => {
  it("has a case for each promise and each audit, all passed in a good run", () => {
    const xml = junitOf(goodRun(shape));
    expect(count(xml, /<testcase /g)).toBe(7);
    expect(count(xml, /<failure |<skipped /g)).toBe(0);
    expect(xml).toContain(
      '<testsuite name="chaos.leader-kill" tests="7" failures="0" errors="0" skipped="0" time="34.900">',
    );
  });

  it("fails what is violated, skips what was not tested, fails that when it is asserted", () => {
    const run = violatedRun(shape);
    const xml = junitOf(run);
    expect(xml).toContain('tests="8" failures="2" errors="0" skipped="1"');
    expect(xml).toContain('<failure message="violated: gold: no prefix');
    expect(xml).toContain("again: antipode chaos run deploy/chaos/leader-kill.yaml --seed 42");
    const asserted = run.verdicts.map((one) => ({ ...one, asserted: true }));
    expect(junitOf({ ...run, verdicts: asserted })).toContain(
      'failures="3" errors="0" skipped="0"',
    );
  });

  it("is XML whatever the run found", () => {
    const run = goodRun(shape);
    const verdicts = run.verdicts.map((one) => ({ ...one, found: `]]> <x a="&">\u0007 \ud800 '` }));
    const xml = junitOf({ ...run, verdicts, scenario: { ...run.scenario, name: "<&\"'" } });
    expect(xml).not.toMatch(/<x a|\]\]>/);
    expect(xml).not.toContain("\u0007");
    expect(xml).not.toContain("\ud800 ");
    const names = Array.from(xml.matchAll(/<(\/?)([a-z-]+)[^>]*>/g), ([, closing, name]) => [
      closing,
      name,
    ]);
    for (const name of new Set(names.map(([, one]) => one)))
      expect(names.filter(([closing, one]) => one === name && closing === "/").length, name).toBe(
        names.filter(([closing, one]) => one === name && closing === "").length,
      );
  });
});
