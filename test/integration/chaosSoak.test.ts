/**
 * `antipode chaos soak` on real labs: good runs in a row leave nothing, the first bad one stops it and is
 * kept; what cannot be run is refused before anything starts (P10).
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseSoak } from "../../services/report/index.ts";
import { LabCli, processesWith, until } from "./labCli.ts";

const scenario = {
  version: 1,
  lab: { sites: { A: 1, B: 1 } },
  protection: [{ pd: "p", at: "A", to: "B", vdisks: { d: "8MiB" } }],
  workloads: [{ pd: "p", rate: 50, span: "1MiB" }],
  run: [
    {
      at: "0s",
      fault: { kind: "kill", target: "cerebro:random" },
      repeat: { over: "1s", times: 3 },
    },
  ],
};

describe("soak", () => {
  const cli = new LabCli();
  const tmp = join(cli.base, "tmp");
  const library = join(cli.base, "library");
  const report = join(cli.base, "report");

  beforeAll(() => {
    mkdirSync(tmp);
    mkdirSync(library);
    process.env["TMPDIR"] = tmp;
    const write = (name: string, assert: readonly string[]): void => {
      writeFileSync(join(library, `${name}.yaml`), JSON.stringify({ name, ...scenario, assert }));
    };
    write("good", ["P1", "P2", "P3"]);
    // Nothing rots in it: that is no success.
    write("vacuous", ["P7"]);
  });
  afterAll(() => cli.cleanUp());

  it("P10: refuses what is no scenario, unknown names and numbers before anything starts", async () => {
    const refused = [
      ["chaos", "soak", join(cli.base, "none")],
      ["chaos", "soak", tmp],
      ["chaos", "soak", library, "--except", "other"],
      ["chaos", "soak", library, "--times", "0"],
      ["chaos", "soak", library, join(library, "good.yaml")],
    ];
    for (const args of refused)
      expect(await cli.failure(...args), args.join(" ")).toMatchObject({
        code: "INVALID_ARGUMENT",
        exit: 2,
      });
    expect(readdirSync(tmp)).toEqual([]);
  });

  it("runs each scenario so many times with other seeds, and good runs leave nothing", async () => {
    const args = ["--times", "2", "--seed", "5", "--except", "vacuous", "--report", report];
    const run = await cli.run("chaos", "soak", library, ...args, "--json");
    const found = parseSoak(JSON.parse(run.stdout));
    expect(found, run.stdout).toMatchObject({ ok: true, planned: 2, goodInARow: 2, seed: 5 });
    expect(run.status).toBe(0);
    expect(new Set(found.runs.map((one) => one.seed)).size).toBe(2);
    expect(found.runs.map((one) => [one.faults, one.lost, one.leaks])).toEqual([
      [3, 0, []],
      [3, 0, []],
    ]);
    expect(readdirSync(report).sort()).toEqual(["junit.xml", "soak.json"]);
    expect(parseSoak(JSON.parse(readFileSync(join(report, "soak.json"), "utf8")))).toEqual(found);
    expect(readdirSync(tmp)).toEqual([]);
    expect(processesWith(`${tmp}/`)).toEqual([]);
  });

  it("ends what it began when it is interrupted, and leaves nothing", async () => {
    const soak = cli.start("chaos", "soak", join(library, "good.yaml"), "--times", "9");
    const ended = new Promise((resolve) => soak.once("close", resolve));
    await until(() => processesWith(`${tmp}/`).length > 1, 60_000, "a lab of a run starts");
    soak.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(processesWith(`${tmp}/`)).toEqual([]);
    expect(readdirSync(tmp)).toEqual([]);
  });

  it("stops at the first bad run, and keeps its report, lab and logs", async () => {
    const run = await cli.run("chaos", "soak", library, "--times", "2", "--json");
    const found = parseSoak(JSON.parse(run.stdout));
    expect(run.status).toBe(9);
    expect(found).toMatchObject({ ok: false, planned: 4, goodInARow: 1 });
    expect(found.runs.map((one) => one.scenario)).toEqual(["good", "vacuous"]);
    const last = found.runs.at(-1);
    expect(last?.why).toContain("P7 vacuous");
    expect(last?.leaks).toEqual([]);
    const [kept = "", temporary = ""] = last?.kept ?? [];
    expect(readdirSync(kept).sort()).toContain("report.html");
    const [labFolder = ""] = readdirSync(temporary);
    expect(existsSync(join(temporary, labFolder, "lab", "lab.json"))).toBe(true);
    expect(processesWith(`${tmp}/`)).toEqual([]);
  });
});
