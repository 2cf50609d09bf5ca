/** The result of a soak: its counts, its published form (P10), and what a CI is told. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  parseSoak,
  type SoakRun,
  soakJunitOf,
  soakOf,
  soakSchema,
} from "../../../services/report/index.ts";

const SCHEMA = join(import.meta.dirname, "..", "..", "..", "deploy", "chaos", "soak.schema.json");
const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function run(scenario: string, durationMs: number, more: Partial<SoakRun> = {}): SoakRun {
  return {
    round: 1,
    scenario,
    file: `${scenario}.yaml`,
    seed: 3,
    ok: true,
    why: "",
    leaks: [],
    durationMs,
    faults: 2,
    acknowledged: 100,
    lost: 0,
    kept: [],
    ...more,
  };
}
const bad = run("b", 5, { ok: false, why: "P1 violated: <lost>", kept: ["/tmp/x"] });
const leaky = run("a", 5, {
  ok: false,
  why: "it left something behind",
  leaks: ["process 7: node, listens on 2009"],
});

function soak(runs: readonly SoakRun[], planned = runs.length) {
  const facts = { seed: 9, reproduce: "again", antipode: "0", startedAtMs: 1, durationMs: 2000 };
  return soakOf({ ...facts, planned, runs });
}

describe("a soak", () => {
  it("is good when every planned run was done and was good", () => {
    const runs = [run("a", 10), run("b", 20)];
    expect(soak(runs)).toMatchObject({ ok: true, goodInARow: 2 });
    expect(soak(runs, 3)).toMatchObject({ ok: false, goodInARow: 2 });
    expect(soak([...runs, bad, run("a", 1)])).toMatchObject({ ok: false, goodInARow: 2 });
    expect(soak([leaky])).toMatchObject({ ok: false, goodInARow: 0 });
  });

  it("counts each scenario by itself", () => {
    const { scenarios } = soak([run("a", 30), bad, run("a", 10), run("a", 20)]);
    expect(scenarios).toEqual([
      { scenario: "a", passed: 3, failed: 0, shortestMs: 10, medianMs: 20, longestMs: 30 },
      { scenario: "b", passed: 0, failed: 1, shortestMs: 5, medianMs: 5, longestMs: 5 },
    ]);
  });

  it("is read back as it was written, and has the published schema", () => {
    const whole = soak([run("a", 10), bad, leaky]);
    expect(parseSoak(throughJson(whole))).toEqual(whole);
    expect(() => parseSoak({ ...whole, version: 2 })).toThrow();
    expect(JSON.parse(readFileSync(SCHEMA, "utf8"))).toEqual(throughJson(soakSchema()));
  });

  it("tells a CI each run as a test case, a bad one with its reason and how to do it again", () => {
    const xml = soakJunitOf(soak([run("a", 1500), bad, leaky]));
    expect(xml).toContain('tests="3" failures="2" errors="0" skipped="0" time="2.000"');
    expect(xml).toContain('name="round 1, seed 3" classname="chaos.a" time="1.500"');
    expect(xml).toContain('message="P1 violated: &lt;lost&gt;" type="failed"');
    expect(xml).toContain("antipode chaos run b.yaml --seed 3");
    expect(xml).toContain("listens on 2009");
    expect(xml).toContain('type="leak"');
  });
});
