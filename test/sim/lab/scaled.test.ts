/** What a scale does to a scenario: everything that costs real time is less, and nothing else is another. */

import { describe, expect, it } from "vitest";
import { KIB, MIB } from "../../../services/base/units.ts";
import { parseScenario } from "../../../services/chaos/index.ts";
import { parseOptions } from "../replay/options.ts";
import { SCALE_DEFAULT, scaled } from "./scaled.ts";

const scenario = parseScenario({
  version: 1,
  name: "s",
  lab: {
    sites: { A: 3, B: 3 },
    links: [{ from: "A", to: "B", latency: "10ms", bandwidth: "4mbit" }],
  },
  protection: [{ pd: "gold", at: "A", to: "B", vdisks: { d1: "64MiB", d2: "1MiB" } }],
  workloads: [{ pd: "gold", rate: 150, span: "16MiB" }],
  steadyState: [{ pd: "gold", writes: 30, within: "20s" }],
  run: [{ at: "1s", fault: { kind: "kill", target: "etcd@A", for: "5s" } }],
  assert: ["P1"],
});

describe("a scaled scenario", () => {
  it("divides rates, sizes, bandwidths and steady writes, and says so", () => {
    const small = scaled(scenario, 8);
    expect(small.links).toMatchObject([{ latencyMs: 10, bitsPerSecond: 500_000 }]);
    expect(small.protection[0]?.vdisks).toEqual([
      { name: "d1", sizeBytes: 8 * MIB },
      { name: "d2", sizeBytes: MIB },
    ]);
    expect(small.workloads).toMatchObject([{ ratePerSecond: 18.75, spanBytes: 2 * MIB }]);
    expect(small.steadyState).toMatchObject([{ writes: 4, withinMs: 20_000 }]);
    expect(small.description).toContain("1:8");
  });

  it("keeps sites, times and what is asserted", () => {
    const { sites, run, assert, convergeMs } = scaled(scenario, 8);
    expect({ sites, run, assert, convergeMs }).toEqual({
      sites: scenario.sites,
      run: scenario.run,
      assert: scenario.assert,
      convergeMs: scenario.convergeMs,
    });
  });

  it("is the scenario itself at 1", () => {
    expect(scaled(scenario, 1)).toBe(scenario);
  });

  it("leaves every disk and span large enough to be written to", () => {
    const tiny = scaled(scenario, 64);
    expect(tiny.protection[0]?.vdisks.map(({ sizeBytes }) => sizeBytes)).toEqual([MIB, MIB]);
    expect(tiny.workloads[0]?.spanBytes).toBe(256 * KIB);
  });
});

describe("the options of a scenario", () => {
  it("take the scenario's own seed and the default scale where none is given", () => {
    expect(parseOptions(["--scenario", "s.yaml"])?.scenario).toEqual({
      file: "s.yaml",
      seed: undefined,
      scale: SCALE_DEFAULT,
    });
    const given = parseOptions(["--scenario", "s.yaml", "--seed", "7", "--scale", "1"]);
    expect(given?.scenario).toEqual({ file: "s.yaml", seed: 7, scale: 1 });
  });

  it.each([
    [["--scale", "2"], "--scale is for --scenario"],
    [["--scenario", "s.yaml", "--scale", "0"], "--scale takes 1 to 64"],
    [["--scenario", "s.yaml", "--seeds", "3"], "--seeds does not go with --scenario"],
    [["--scenario", "s.yaml", "--keep"], "--keep does not go with --scenario"],
  ])("refuse %j (P10)", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});
