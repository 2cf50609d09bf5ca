/** P10: a scenario is taken whole or refused by the path of what is wrong; its schema says the same. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import {
  describeStep,
  parseScenario,
  scenarioSchema,
  timelineOf,
} from "../../../services/chaos/index.ts";
import { parseYaml } from "../../../services/platform/adapters/yaml.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "..", "deploy", "chaos");

const good = {
  version: 1,
  name: "s",
  lab: {
    sites: { A: 3, B: 1 },
    links: [{ from: "A", to: "B", latency: "5ms", jitter: "1ms", bandwidth: "10mbit" }],
  },
  protection: [{ pd: "gold", at: "A", to: "B", vdisks: { d1: "64MiB" } }],
  workloads: [{ pd: "gold", rate: 5, depth: 2, span: "1MiB" }],
  setup: [{ kind: "snapshot", pd: "gold" }],
  steadyState: [{ pd: "gold", writes: 5, within: "2s" }],
  run: [
    { at: "2s", fault: { kind: "kill", target: "cerebro.leader@A" }, when: "replicating" },
    { at: "1s", fault: { kind: "cut", from: "A", to: "B", oneWay: true, for: "500ms" } },
    { at: "1500ms", action: { kind: "replicate", pd: "gold" } },
  ],
  converge: "10s",
  assert: ["P1"],
};
const step = (one: object): object => ({ ...good, run: [one] });
const fault = (one: object): object => step({ at: "1s", fault: one });
const kill = (target: string): object => fault({ kind: "kill", target });

function refusal(value: unknown): string {
  try {
    parseScenario(value);
  } catch (error) {
    if (error instanceof AntipodeError && error.code === "INVALID_ARGUMENT") return error.message;
    throw error;
  }
  return "taken";
}

describe("parseScenario", () => {
  it("takes a whole scenario and fills in what is left out", () => {
    const scenario = parseScenario(good);
    expect(scenario.sites).toEqual([
      { name: "A", cvms: 3 },
      { name: "B", cvms: 1 },
    ]);
    expect(scenario.links[0]).toMatchObject({ latencyMs: 5, jitterMs: 1, bitsPerSecond: 1e7 });
    expect(scenario.seed).toBeUndefined();
    expect(scenario.convergeMs).toBe(10_000);
    expect(scenario.run[0]?.repeat).toEqual({ everyMs: 0, times: 1 });
  });

  it.each<[string, object, string]>([
    ["an unknown key", { ...good, extra: 1 }, 'it has an unknown key "extra"'],
    [
      "an unknown key deep inside",
      fault({ kind: "cut", from: "A", to: "B", oneway: true }),
      'run[0].fault has an unknown key "oneway"',
    ],
    [
      "a key of another kind of fault",
      fault({ kind: "restart", target: "wan", for: "1s" }),
      '"for"',
    ],
    ["an unknown kind", fault({ kind: "melt" }), "run[0].fault.kind is none of kill"],
    ["no target", kill("stargate"), "run[0].fault.target is no target"],
    ["another site", kill("etcd@C"), "run[0].fault.target names a site"],
    ["a CVM that is not there", kill("stargate@B/2"), "run[0].fault.target names a CVM"],
    ["another vDisk", kill("stargate.owner(d2)@A"), "run[0].fault.target names a vDisk"],
    [
      "a frozen genesis",
      fault({ kind: "stop", target: "genesis" }),
      "genesis, which can be killed",
    ],
    ["a step that does nothing", step({ at: "1s" }), 'run[0] has neither "fault"'],
    ["a bare number as time", step({ at: 1, action: good.setup[0] }), "run[0].at is not a text"],
    [
      "another pd",
      { ...good, setup: [{ kind: "snapshot", pd: "x" }] },
      "setup[0].pd is none of gold",
    ],
    ["one site", { ...good, lab: { sites: { A: 3 } } }, "lab.sites has less than two sites"],
    [
      "no size",
      { ...good, protection: [{ ...good.protection[0], vdisks: { d1: "big" } }] },
      "vdisks.d1",
    ],
    [
      "a slow sync without its time",
      fault({ kind: "disk", target: "etcd@A", does: "slowSync" }),
      'run[0].fault has no "by"',
    ],
    [
      "a time for a full disk",
      fault({ kind: "disk", target: "etcd@A", does: "full", by: "1s" }),
      "run[0].fault.by is for slowSync",
    ],
    [
      "a disk of a process without one",
      fault({ kind: "disk", target: "cerebro@A/1", does: "full" }),
      "run[0].fault.target has no disk",
    ],
    [
      "rot of more than one CVM",
      fault({ kind: "rot", target: "cvm@A/1", file: "egroup" }),
      "run[0].fault.target is no single stargate",
    ],
    [
      "more copies than CVMs",
      { ...good, lab: { sites: { A: 3, B: 1 }, rf: 2 } },
      "lab.rf is more than a site has CVMs",
    ],
    [
      "a steady state of a pd without writer",
      { ...good, workloads: [], steadyState: good.steadyState },
      "steadyState[0].pd is none of",
    ],
    [
      "a time that ends before it begins",
      fault({ kind: "stop", target: "wan", for: "2s..1s" }),
      "run[0].fault.for ends before",
    ],
    [
      "half a time to draw",
      fault({ kind: "stop", target: "wan", for: "2s.." }),
      "run[0].fault.for is no duration",
    ],
    [
      "repetitions at no time",
      step({ at: "1s", action: good.setup[0], repeat: { times: 2 } }),
      'run[0].repeat has not one of "every" and "over"',
    ],
    [
      "repetitions at two times",
      step({ at: "1s", action: good.setup[0], repeat: { times: 2, every: "1s", over: "1s" } }),
      'run[0].repeat has not one of "every" and "over"',
    ],
    ["an unknown promise", { ...good, assert: ["P11"] }, "assert[0] is none of P1"],
    ["a missing key", { ...good, name: undefined }, "name"],
  ])("refuses %s and names its path", (_, value, path) => {
    expect(refusal(value)).toContain(path);
  });
});

describe("the time line", () => {
  it("is in order of time with every repetition", () => {
    const repeated = { ...good.run[0], repeat: { every: "2s", times: 3 } };
    const line = timelineOf(
      parseScenario({ ...good, run: [repeated, ...good.run.slice(1)] }),
      createPrng(1),
    );
    expect(line.map(({ atMs, id }) => [atMs, id])).toEqual([
      [1000, "2.1"],
      [1500, "3.1"],
      [2000, "1.1"],
      [4000, "1.2"],
      [6000, "1.3"],
    ]);
    expect(line.map((one) => describeStep(one.step)).slice(0, 3)).toEqual([
      "cut A→B for 500 ms",
      "replicate gold",
      "kill cerebro.leader@A, as soon as a replication moves data",
    ]);
  });
});

describe("what the seed draws", () => {
  const stop = { kind: "stop", target: "wan", for: "100ms..9s" };
  const scenario = parseScenario(
    step({ at: "5s", fault: stop, repeat: { over: "13m", times: 100 } }),
  );
  const drawn = (seed: number) =>
    timelineOf(scenario, createPrng(seed)).map((moment) => ({
      ...moment,
      forMs: "fault" in moment.step.does ? (moment.step.does.fault.forMs ?? 0) : 0,
    }));

  it("are instants within the stretch and times within their bounds, spread over both", () => {
    const all = drawn(1);
    expect(all.map((one) => one.id)).toEqual(all.map((_, nth) => `1.${nth + 1}`));
    const instants = all.map((one) => one.atMs);
    expect(instants).toEqual(instants.toSorted((a, b) => a - b));
    const times = all.map((one) => one.forMs);
    expect(Math.min(...instants)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...instants)).toBeLessThan(785_000);
    expect(Math.max(...instants) - Math.min(...instants)).toBeGreaterThan(600_000);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(100);
    expect(Math.max(...times)).toBeLessThanOrEqual(9000);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(7000);
  });

  it("are the same for one seed and others for another", () => {
    expect(drawn(1)).toEqual(drawn(1));
    expect(drawn(2)).not.toEqual(drawn(1));
  });
});

describe("the published schema", () => {
  it("is the one of the code", () => {
    const published = readFileSync(join(FOLDER, "scenario.schema.json"), "utf8");
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(scenarioSchema())));
  });

  it("demands what the reader demands", () => {
    const { required, properties } = scenarioSchema() as {
      required: readonly string[];
      properties: Readonly<Record<string, unknown>>;
    };
    for (const key of Object.keys(properties)) {
      // A steady state is one of a workload, and goes with it.
      const whole = { ...good, steadyState: key === "workloads" ? [] : good.steadyState };
      const without = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== key));
      const demanded = required.includes(key);
      if (key === "version") expect(() => parseScenario(without)).toThrow("version");
      else expect(refusal(without) === "taken", key).toBe(!demanded);
    }
  });
});

describe("the storm", () => {
  it("is of 300 kills and 100 pauses, many beyond a lease of 2 s", () => {
    const text = readFileSync(join(FOLDER, "storm.yaml"), "utf8");
    const { run } = parseScenario(parseYaml(text, "storm.yaml"));
    const faults = timelineOf({ run }, createPrng(1)).flatMap(({ step: { does } }) =>
      "fault" in does ? [does.fault] : [],
    );
    const kills = faults.filter((one) => one.kind === "kill" && one.forMs === undefined);
    const pauses = faults.filter((one) => one.kind === "stop");
    expect([kills.length, pauses.length, faults.length]).toEqual([300, 100, 400]);
    expect(pauses.filter((one) => (one.forMs ?? 0) > 2000).length).toBeGreaterThan(50);
  });
});

describe("the scenarios of deploy/chaos", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));

  it("are there", () => {
    expect(files.length).toBeGreaterThanOrEqual(3);
  });

  it.each(files)("%s is good and bears its file's name", (file) => {
    const scenario = parseScenario(parseYaml(readFileSync(join(FOLDER, file), "utf8"), file));
    expect(`${scenario.name}.yaml`).toBe(file);
  });

  it("are refused with line and column when they are no YAML", () => {
    expect(() => parseYaml("a: [1", "x.yaml")).toThrow(/x\.yaml is not YAML: .*line 1/s);
    expect(() => parseYaml("a: 1\na: 2", "x.yaml")).toThrow("unique");
  });
});
