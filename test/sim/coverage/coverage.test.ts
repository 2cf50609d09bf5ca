/**
 * What runs have reached and seen is told truly: nothing is counted that did not happen, nothing that
 * happened is missed, and whoever looks changes nothing. Each test plants what must be noticed.
 */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { jobTable, nextJobState } from "../../../services/cerebro/replication/jobMachine.ts";
import { drawConfig, type SimConfig } from "../config.ts";
import { Summary } from "../replay/summary.ts";
import { drawnCase, runCase, type Trial } from "../replay/trial.ts";
import { runConfig } from "../run.ts";
import { everything, judgeCoverage } from "./judge.ts";
import { cellNames } from "./machines.ts";
import { observeCoverage, watchCells } from "./observe.ts";
import { neverSeen, promises, SEEDS_FEW, SEEDS_MIN, sometimes } from "./sometimes.ts";
import { unreachable } from "./unreachable.ts";

const CONFIG: SimConfig = {
  ...drawConfig(1, 2000),
  ...{ sites: 2, cvms: 1, replicationFactor: 1, vdisks: 1, writers: 1, slotsPerVdisk: 16 },
};

describe("looking at state machines and errors", () => {
  it("counts a cell when it is looked up, and gives what is in it", () => {
    const observation = observeCoverage();
    expect(nextJobState("RUNNING", "shipped")).toBe("RECORDING");
    expect(nextJobState("RUNNING", "shipped")).toBe("RECORDING");
    expect(observation.take()).toEqual({ "cell job RUNNING shipped": 2 });
    expect(observation.take()).toEqual({});
    observation.end();
  });

  it("leaves a table as it was to everybody who reads it", () => {
    const table = { on: { press: "off" }, off: { press: "on" } };
    const seen: string[] = [];
    watchCells(table, (cell) => seen.push(cell.join(" ")));
    expect([table.on.press, table.off.press]).toEqual(["off", "on"]);
    expect(seen).toEqual(["on press", "off press"]);
    expect(table).toEqual({ on: { press: "off" }, off: { press: "on" } });
    expect(Object.keys(jobTable.PLANNING)).toContain("planned");
  });

  it("counts an error where it is made, also one that nobody ever sees, and changes nothing of it", () => {
    const observation = observeCoverage();
    const cause = new Error("below");
    const error = new AntipodeError("DISK_FULL", "no room", { path: "a" }, cause);
    expect(error).toMatchObject({ code: "DISK_FULL", message: "no room", name: "AntipodeError" });
    expect(error.cause).toBe(cause);
    expect(error).toBeInstanceOf(AntipodeError);
    expect(error.stack?.split("\n")[1]).toContain("coverage.test.ts");
    expect(Object.keys(error).sort()).toEqual(["code", "details", "name"]);
    expect(observation.take()).toEqual({ "code DISK_FULL": 1 });
    observation.end();
  });

  it("counts nothing after its end", () => {
    const observation = observeCoverage();
    observation.end();
    nextJobState("RUNNING", "shipped");
    expect(observation.take()).toEqual({});
  });

  it("sees a real run, and the run is the same as one that nobody looks at", async () => {
    const trial = await runCase(drawnCase(CONFIG));
    const unseen = await runConfig(CONFIG);
    expect(trial.traceHash).toBe(unseen.traceHash);
    expect(trial.counters).toMatchObject({
      "cell pd active cut": expect.any(Number) as number,
      "cell election winning raised": expect.any(Number) as number,
    });
    const unknown = Object.keys(trial.counters).filter(
      (name) => /^(?:cell|code) /.test(name) && !everything.includes(name),
    );
    expect(unknown).toEqual([]);
  });
});

describe("what was reached", () => {
  const [first = "", second = ""] = everything;

  it("is every cell of every machine, except those that are assertions", () => {
    expect(cellNames).toContain("job RUNNING incomplete");
    expect(cellNames).not.toContain("job PLANNING shipped");
    expect(new Set(everything).size).toBe(everything.length);
  });

  it("is wrong to be listed as unreachable", () => {
    const list = [{ what: [first, second], why: "planted" }];
    expect(judgeCoverage({ [first]: 3 }, list).wrongs).toEqual([
      `${first} is listed as unreachable but was reached`,
    ]);
  });

  it("is missed when nothing reached it and no line excuses it", () => {
    const { missed, reached } = judgeCoverage({ [first]: 1 }, [{ what: [second], why: "planted" }]);
    expect(reached).toEqual([first]);
    expect(missed).toEqual(everything.slice(2));
  });

  it("cannot be excused by a line about something that does not exist", () => {
    const list = [{ what: ["cell job PLANNING sung"], why: "planted" }];
    expect(judgeCoverage({}, list).wrongs).toEqual([
      "cell job PLANNING sung is listed as unreachable but does not exist",
    ]);
    expect(judgeCoverage({}, unreachable).wrongs).toEqual([]);
  });

  it("is excused once, with a reason", () => {
    const names = unreachable.flatMap(({ what }) => what);
    expect(new Set(names).size).toBe(names.length);
    expect(unreachable.filter(({ why }) => why.length < 20)).toEqual([]);
  });
});

describe("a set of runs", () => {
  const seen = Object.fromEntries(
    sometimes.flatMap(({ counters }) => counters.map((one) => [one, 1])),
  );
  const trialOf = (seed: number, changes: Partial<Trial> = {}): Trial => ({
    ...{ seed, config: CONFIG, schedule: [], faults: [], tail: [] },
    ...{ counters: seen, events: 10, virtualMs: 1000, traceHash: "0", wallMs: 1 },
    verdicts: promises.map(({ promise }) => ({
      ...{ promise, name: "it holds", verdict: "held", examined: 1, text: "" },
    })),
    violations: [],
    ...changes,
  });
  const setOf = (count: number, changes: Partial<Trial> = {}): Summary => {
    const summary = new Summary();
    for (let seed = 1; seed <= count; seed++) summary.add(trialOf(seed, changes));
    return summary;
  };

  it("is good when everything held and was seen", () => {
    expect(setOf(SEEDS_MIN).isGood).toBe(true);
  });

  it.each(sometimes.map(({ counters, fromSeeds }) => [counters[0] ?? "", fromSeeds] as const))(
    "is vacuous when it never saw: %s, in %i seeds",
    (name, fromSeeds) => {
      const counters = { ...seen, [name]: 0 };
      expect(neverSeen(counters, fromSeeds).map((one) => one.counters)).toEqual([[name]]);
      const summary = setOf(fromSeeds, { counters });
      expect(summary.isGood).toBe(false);
      expect(summary.lines().join("\n")).toContain(name);
    },
  );

  it("is vacuous when no checker examined a promise, and says which", () => {
    const verdicts = trialOf(1).verdicts.map((one) =>
      one.promise === "P5" ? { ...one, verdict: "vacuous" as const } : one,
    );
    const summary = setOf(SEEDS_MIN, { verdicts });
    expect(summary.isGood).toBe(false);
    expect(summary.vacuousPromises).toEqual(["P5"]);
    expect(summary.tallies.find(({ promise }) => promise === "P5")).toMatchObject({
      ...{ green: 0, red: 0, vacuous: SEEDS_MIN },
    });
  });

  it("need not have seen in few seeds what is rare, nor anything in fewer", () => {
    expect(neverSeen({}, SEEDS_MIN - 1).map(({ fromSeeds }) => fromSeeds)).not.toContain(SEEDS_MIN);
    expect(neverSeen({}, SEEDS_FEW).length).toBeGreaterThan(0);
    expect(setOf(SEEDS_FEW - 1, { counters: {} }).isGood).toBe(true);
    expect(setOf(SEEDS_FEW, { counters: {} }).isGood).toBe(false);
  });

  it("is bad when one run of it violated something", () => {
    const summary = setOf(3);
    const found = { promise: "P1", name: "it holds", text: "planted" };
    summary.add(
      trialOf(4, {
        violations: [{ ...found, witness: undefined }],
        verdicts: [{ ...found, verdict: "violated", examined: 1 }],
      }),
    );
    expect(summary.isGood).toBe(false);
    expect(summary.failed).toEqual([4]);
    expect(summary.lines().join("\n")).toMatch(/RED +P1 +it holds +3 +1 +0/);
  });

  it("is a table that fits a terminal of 100 columns", () => {
    const lines = setOf(SEEDS_MIN, { counters: {} }).lines();
    expect(lines.filter(({ length }) => length > 100)).toEqual([]);
  });
});
