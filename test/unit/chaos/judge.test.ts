/** Verdicts of a chaos run: held, violated, vacuous; and targets chosen by role. */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { type Facts, isGood, judge } from "../../../services/chaos/index.ts";
import {
  type Condition,
  chooseTargets,
  parseTarget,
  type View,
} from "../../../services/chaos/targets.ts";

const clean = { acknowledged: 9, lost: 0, missingRequired: 0, problems: 0, isPrefix: true };
const writer = { acknowledged: 9, unknown: 0, stalledMs: 500 };
const pd: Facts["pds"][number] = {
  pd: "gold",
  writer,
  sourceSpared: true,
  inSync: true,
  activeAt: ["B"],
  failedOver: false,
  pointsCompared: 2,
  rootsDiffer: [],
  bytesCompared: 100,
  bytesDiffer: [],
  live: clean,
  image: clean,
};
const job = { id: "j", state: "DONE", resentBytes: 0, superseded: false, strikes: 1 };
const facts: Facts = {
  faults: 1,
  rot: { places: 2, repaired: 1 },
  jobs: [job],
  pds: [pd],
  leaders: [
    { site: "A", epoch: 1, cvm: 1 },
    { site: "A", epoch: 2, cvm: 2 },
  ],
  notConverged: "",
};
const ALL = ["P1", "P2", "P3", "P4", "P5", "P7", "P8", "P9"] as const;
const verdictOf = (of: Facts, name: string): string =>
  judge(of).find((one) => one.invariant === name)?.verdict ?? "none";

describe("judge", () => {
  it("holds every promise of a run in which each was tested", () => {
    expect(judge(facts).map((one) => one.verdict)).toEqual(ALL.map(() => "held"));
    expect(isGood(judge(facts), ALL)).toBe(true);
  });

  it("lets a job fail whose site another one took over from (P9)", () => {
    const failed = { ...job, state: "FAILED", superseded: true };
    expect(verdictOf({ ...facts, jobs: [failed] }, "P9")).toBe("held");
  });

  it.each<[string, Facts]>([
    ["P1", { ...facts, pds: [{ ...pd, live: { ...clean, lost: 1 } }] }],
    ["P2", { ...facts, pds: [{ ...pd, image: { ...clean, isPrefix: false } }] }],
    ["P2", { ...facts, pds: [{ ...pd, image: { ...clean, missingRequired: 1 } }] }],
    ["P3", { ...facts, pds: [{ ...pd, rootsDiffer: ["rp-1"] }] }],
    ["P3", { ...facts, pds: [{ ...pd, bytesDiffer: ["d1"] }] }],
    ["P4", { ...facts, leaders: [...facts.leaders, { site: "A", epoch: 2, cvm: 3 }] }],
    ["P4", { ...facts, pds: [{ ...pd, activeAt: ["A", "B"] }] }],
    ["P5", { ...facts, jobs: [{ ...job, resentBytes: 1e9 }] }],
    ["P7", { ...facts, pds: [{ ...pd, live: { ...clean, problems: 1 } }] }],
    ["P7", { ...facts, pds: [{ ...pd, bytesDiffer: ["d1"] }] }],
    ["P8", { ...facts, pds: [{ ...pd, writer: { ...writer, unknown: 1 } }] }],
    ["P8", { ...facts, pds: [{ ...pd, writer: { ...writer, stalledMs: 6000 } }] }],
    ["P9", { ...facts, notConverged: "etcd@A is dead" }],
    ["P9", { ...facts, pds: [{ ...pd, inSync: false }] }],
    ["P9", { ...facts, jobs: [{ ...job, state: "FAILED", strikes: 0 }] }],
  ])("%s is violated by what breaks it, whether it is asserted or not", (name, broken) => {
    expect(verdictOf(broken, name)).toBe("violated");
    expect(isGood(judge(broken), [])).toBe(false);
  });

  it.each<[string, Facts]>([
    ["P1", { ...facts, faults: 0 }],
    ["P2", { ...facts, pds: [{ ...pd, image: undefined }] }],
    ["P3", { ...facts, pds: [{ ...pd, pointsCompared: 0 }] }],
    ["P4", { ...facts, leaders: facts.leaders.slice(0, 1) }],
    ["P5", { ...facts, jobs: [{ ...job, strikes: 0 }] }],
    ["P7", { ...facts, rot: { places: 2, repaired: 0 } }],
    ["P8", { ...facts, pds: [{ ...pd, sourceSpared: false }] }],
    ["P9", { ...facts, faults: 0 }],
  ])(
    "%s is vacuous when nothing could have broken it, which only an assertion minds",
    (name, of) => {
      expect(verdictOf(of, name)).toBe("vacuous");
      expect(isGood(judge(of), [])).toBe(true);
      expect(isGood(judge(of), ALL)).toBe(false);
    },
  );
});

describe("targets", () => {
  const service = (role: string, site: string, cvm: number, condition: Condition = "running") => ({
    id: cvm === 0 ? `${role}@${site}` : `${role}@${site}/${cvm}`,
    role,
    site,
    cvm,
    condition,
  });
  const view: View = {
    services: [
      service("etcd", "A", 0),
      service("stargate", "A", 1),
      service("stargate", "A", 2, "frozen"),
      service("stargate", "A", 3),
      service("cerebro", "A", 2),
      service("stargate", "B", 1),
    ],
    leaderCvm: 2,
    ownerCvm: 3,
  };
  const chosen = (text: string): readonly string[] => {
    const target = parseTarget(text);
    return target === undefined ? ["none"] : chooseTargets(target, view, createPrng(1));
  };

  it.each([
    ["cerebro.leader@A", ["cerebro@A/2"]],
    ["stargate.owner(d 1)@A", ["stargate@A/3"]],
    ["etcd@A", ["etcd@A"]],
    ["cvm@A/2", ["cerebro@A/2"]],
    ["site@B", ["stargate@B/1"]],
    ["stargate@A/2", []],
    ["etcd@B", []],
    ["etcd@A/1", ["none"]],
    ["stargate.leader@A", ["none"]],
    ["stargate.random@A", ["none"]],
    ["etcd@A:random", ["none"]],
    ["etcd:random", ["etcd@A"]],
    ["cerebro:random", ["cerebro@A/2"]],
    ["stargate@B:random", ["stargate@B/1"]],
    ["cvm@B:random", ["stargate@B/1"]],
    ["cerebro@B:random", []],
  ])("%s means %j of what runs", (text, ids) => {
    expect(chosen(text)).toEqual(ids);
  });

  it("at random are of the role and site, running, and the seed's own", () => {
    const target = parseTarget("stargate@A:random");
    if (target === undefined) throw new Error("a target");
    const draw = (seed: number): readonly string[] =>
      Array.from({ length: 20 }, () => 0).flatMap(
        (
          (prng) => () =>
            chooseTargets(target, view, prng)
        )(createPrng(seed)),
      );
    expect(new Set(draw(5))).toEqual(new Set(["stargate@A/1", "stargate@A/3"]));
    expect(draw(5)).toEqual(draw(5));
  });

  it("at random are whole: every process of a CVM or of a site", () => {
    const of = (text: string, seed: number): readonly string[] => {
      const target = parseTarget(text);
      if (target === undefined) throw new Error("a target");
      return chooseTargets(target, view, createPrng(seed));
    };
    const seeds = Array.from({ length: 40 }, (_, seed) => seed);
    expect(new Set(seeds.map((seed) => of("cvm@A:random", seed).join()))).toEqual(
      new Set(["stargate@A/1", "stargate@A/3", "cerebro@A/2"]),
    );
    expect(new Set(seeds.map((seed) => of("site:random", seed).length))).toEqual(new Set([4, 1]));
  });

  it("are the frozen ones for whoever lets them go on", () => {
    const target = parseTarget("stargate@A:random");
    if (target === undefined) throw new Error("a target");
    expect(chooseTargets(target, view, createPrng(1), "frozen")).toEqual(["stargate@A/2"]);
  });
});
