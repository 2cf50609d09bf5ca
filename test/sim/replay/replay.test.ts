/**
 * Failing cases are made small, drawn and kept (P9 of the simulator itself): every test plants a
 * violation with a known cause, and the cause must be all that is left of it.
 */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { drawConfig, type SimConfig } from "../config.ts";
import type { TraceEvent } from "../trace.ts";
import { ChartRows } from "./chart.ts";
import { chartPage, chartSvg } from "./chartSvg.ts";
import { chartText } from "./chartText.ts";
import { minimise } from "./ddmin.ts";
import { parseOptions } from "./options.ts";
import {
  decodeRegression,
  encodeRegression,
  regressionFileName,
  regressionOf,
} from "./regression.ts";
import { drawSchedule, type PlannedFault } from "./schedule.ts";
import { shrink } from "./shrink.ts";
import type { Case, Violation } from "./trial.ts";

const CONFIG: SimConfig = {
  ...drawConfig(3, 20_000),
  ...{ sites: 3, cvms: 4, replicationFactor: 3, vdisks: 3, writers: 4, slotsPerVdisk: 256 },
};
const PLANTED: Violation = {
  promise: "P1",
  name: "acknowledged writes are there at the end",
  text: "planted",
  witness: undefined,
};
const OTHER: Violation = { ...PLANTED, promise: "P2", name: "recovery points are prefixes" };

function faultsOf(count: number): readonly PlannedFault[] {
  return Array.from({ length: count }, (_, i) => ({
    ...{ atMs: i * 100, kind: "killProcess" as const, lastsMs: 50, seed: i },
  }));
}

/** Fails when all of these are in a list. */
function failsWith(...causes: readonly number[]) {
  let tests = 0;
  const firstFailing = (lists: readonly (readonly number[])[]) => {
    tests += lists.length;
    return Promise.resolve(lists.find((list) => causes.every((one) => list.includes(one))));
  };
  return { firstFailing, tests: () => tests };
}

describe("minimising a list", () => {
  it.each([[[0]], [[63]], [[5, 6]], [[0, 31, 63]], [[7, 8, 9, 40, 41]], [[]]])(
    "leaves exactly the items that it takes to fail: %j",
    async (causes) => {
      const items = Array.from({ length: 64 }, (_, i) => i);
      const { firstFailing, tests } = failsWith(...causes);
      expect(await minimise(items, firstFailing)).toEqual(causes);
      expect(tests()).toBeLessThan(64 * 6);
    },
  );

  it("finds any cause, of any size, at any place", async () => {
    const prng = createPrng(1);
    for (let round = 0; round < 200; round++) {
      const items = Array.from({ length: 1 + prng.below(40) }, (_, i) => i);
      const causes = items.filter(() => prng.below(6) === 0);
      expect(await minimise(items, failsWith(...causes).firstFailing)).toEqual(causes);
    }
  });
});

describe("shrinking a case", () => {
  /** Fails when two faults are there, on two vDisks and three sites at least, and 3 s of time. */
  const run = ({ config, schedule }: Case): Promise<readonly Violation[]> => {
    const isThere = (seed: number): boolean => schedule.some((fault) => fault.seed === seed);
    const isBad = isThere(4) && isThere(21) && config.vdisks > 1 && config.sites > 2;
    return Promise.resolve(isBad && config.untilMs >= 3000 ? [OTHER, PLANTED] : [OTHER]);
  };
  const found: Case = { config: CONFIG, schedule: faultsOf(30) };

  it("leaves the faults and the world that the violation needs, and no more", async () => {
    const small = await shrink(found, PLANTED, { run, runsMax: 500, width: 1 });
    expect(small.case.schedule.map(({ seed }) => seed)).toEqual([4, 21]);
    expect(small.case.config).toMatchObject({
      ...{ vdisks: 2, sites: 3, untilMs: 3000, writers: 1, cvms: 1, slotsPerVdisk: 16 },
    });
    expect(small.violation).toEqual(PLANTED);
    expect(small.isCutShort).toBe(false);
  });

  it("takes no other violation for the one that was found", async () => {
    const small = await shrink(found, PLANTED, { run, runsMax: 500, width: 1 });
    expect(await run(small.case)).toContainEqual(PLANTED);
  });

  it("gives the same case however many are run side by side", async () => {
    const one = await shrink(found, PLANTED, { run, runsMax: 500, width: 1 });
    const many = await shrink(found, PLANTED, { run, runsMax: 500, width: 3 });
    expect(many.case).toEqual(one.case);
  });

  it("spends no more runs than it may, and says that it was cut short", async () => {
    let runs = 0;
    const counted = (one: Case): Promise<readonly Violation[]> => {
      runs += 1;
      return run(one);
    };
    const small = await shrink(found, PLANTED, { run: counted, runsMax: 7, width: 2 });
    expect(runs).toBe(7);
    expect(small).toMatchObject({ runs: 7, isCutShort: true });
    expect(await run(small.case)).toContainEqual(PLANTED);
  });
});

describe("the faults of a run", () => {
  it("are drawn before it begins, in order, within its time", () => {
    const schedule = drawSchedule({ ...CONFIG, faults: ["killProcess", "cutLink"] });
    expect(schedule.length).toBeGreaterThan(0);
    expect(schedule.map(({ atMs }) => atMs)).toEqual(
      schedule.map(({ atMs }) => atMs).sort((a, b) => a - b),
    );
    expect(schedule.every(({ atMs }) => atMs < CONFIG.untilMs)).toBe(true);
  });

  it("are none when the configuration has no kinds", () => {
    expect(drawSchedule({ ...CONFIG, faults: [] })).toEqual([]);
  });
});

describe("a regression file", () => {
  const regression = regressionOf({ config: CONFIG, schedule: faultsOf(2) }, PLANTED, "0123abc");

  it("gives the case back as it was", () => {
    expect(decodeRegression(encodeRegression(regression))).toEqual(regression);
    expect(regressionFileName(regression)).toBe("3-p1-acknowledged-writes-are-there-at.json");
  });

  const changed = (change: (file: Record<string, unknown>) => void): string => {
    const file = JSON.parse(encodeRegression(regression)) as Record<string, unknown>;
    change(file);
    return JSON.stringify(file);
  };

  it.each([
    ["another format", (file: Record<string, unknown>) => (file["format"] = "other/1"), /format/],
    [
      "an unknown field",
      (file: Record<string, unknown>) => (file["more"] = 1),
      /unknown fields: more/,
    ],
    ["no schedule", (file: Record<string, unknown>) => delete file["schedule"], /schedule is not/],
    [
      "a fault that does not exist",
      (file: Record<string, unknown>) =>
        (file["schedule"] = [{ atMs: 1, kind: "spell", lastsMs: 1, seed: 1 }]),
      /schedule\[0\]: there is no fault "spell"/,
    ],
    [
      "a setting that does not exist any more",
      (file: Record<string, unknown>) => (file["config"] = { ...CONFIG, moon: "full" }),
      /config has unknown fields: moon/,
    ],
  ])("is refused with %s", (_, change, message) => {
    expect(() => decodeRegression(changed(change))).toThrow(message);
  });
});

describe("a sequence chart", () => {
  const event = (ms: number, at: string, what: string, detail = ""): TraceEvent => ({
    ...{ ms, at, what, detail },
  });
  const events: readonly TraceEvent[] = [
    event(1, "world", "cutLink", "A to B"),
    event(2, "stargate-A-1", "disk.sync", "oplog"),
    event(3, "stargate-A-1", "rpc.send", "stargate-A-2/antipode.stargate.v1.PeerService/Append"),
    event(3, "stargate-A-1", "rpc.send", "stargate-A-2/antipode.stargate.v1.PeerService/Append"),
    event(4, "stargate-A-2", "rpc.send", "/antipode.stargate.v1.PeerService/Append"),
    event(5, "stargate-A-2", "kill"),
    event(6, "cerebro-A-1", "etcd.transact", "antipode/owner/17"),
    event(
      7,
      "cerebro-A-1",
      "etcd.transact",
      "antipode/seat/cerebro/,antipode/leader-epoch/cerebro",
    ),
    event(9, "cerebro-A-1", "rpc.call", "stargate-A-1/antipode.stargate.v1.VdiskService/Hold"),
  ];
  const chartOf = (focusMs: number | undefined, rowsMax = 40) => {
    const rows = new ChartRows(focusMs, rowsMax);
    for (const one of events) rows.add(one);
    return rows.chart();
  };

  it("shows messages, fates of processes and faults, and where the violation lies", () => {
    expect(chartText(chartOf(8), 100)).toEqual([
      "        ms  ceA1  sgA1  sgA2",
      "     1.000  ~~~~~~~~~~~~~~~~~ cutLink A to B",
      "     3.000  |     o---->|     Append x2",
      "     5.000  |     |     X     kill",
      "     6.000  *     |     |     etcd owner/17",
      "     8.000  ================= violated",
      "     9.000  o---->|     |     Hold",
    ]);
  });

  it("keeps to the rows before the violation, and to what follows the last fault when nobody knows when", () => {
    expect(chartOf(5, 1).rows).toMatchObject([{ ms: 5 }]);
    expect(chartOf(undefined).rows.map(({ ms }) => ms)).toEqual([1, 3, 5, 6, 9]);
  });

  it("leaves the quiet processes out of a narrow terminal, and says so", () => {
    const lines = chartText(chartOf(undefined), 55);
    expect(lines.at(-1)).toMatch(/rows of other processes are left out/);
    expect(Math.max(...lines.slice(0, -1).map(({ length }) => length))).toBeLessThanOrEqual(55);
  });

  it("is a picture that opens offline, with nothing in it that could be markup", () => {
    const chart = chartOf(8);
    const svg = chartSvg(chart);
    expect(svg.match(/class="arrow"/g)).toHaveLength(2);
    expect(svg).toContain(">violated<");
    const page = chartPage(chart, { title: "<b>", facts: [["a & b", '"<i>"']] });
    expect(page).toContain("<h1>&lt;b&gt;</h1>");
    expect(page.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|<i>|src=/);
  });
});

describe("the command line", () => {
  it.each([
    [["--jobs", "0"], /--jobs takes 1 to/],
    [["--seeds", "many"], /--seeds takes a whole number, not "many"/],
    [["--chart", "chart.pdf"], /ends with .svg or .html/],
    [["--trace", "--jobs", "2"], /--trace needs --jobs 1/],
    [["--bogus"], /bogus/],
  ])("refuses %j with a sentence", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});
