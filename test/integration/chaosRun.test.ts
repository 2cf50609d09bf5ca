/**
 * `antipode chaos` on a real lab: a short scenario ends with every asserted promise held (P1, P2, P3,
 * P9), and what a runner broke is whole again although it was killed with -9.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseResult } from "../../services/report/index.ts";
import { LabCli, until } from "./labCli.ts";

interface Links {
  readonly links: readonly { readonly from: string; readonly cut: boolean }[];
}

/** A lease and its last renewal, on a machine that does other things too. */
const WHOLE_AGAIN_MS = 10_000;

const base = {
  version: 1,
  lab: { sites: { A: 2, B: 1 } },
  assert: ["P1", "P2", "P3", "P9"],
};
const protection = (pd: string, vdisk: string) => [
  { pd, at: "A", to: "B", vdisks: { [vdisk]: "8MiB" } },
];

/** T of /proc: a process that is frozen. */
function isFrozen(pid: number): boolean {
  const status = existsSync(`/proc/${pid}/status`)
    ? readFileSync(`/proc/${pid}/status`, "utf8")
    : "";
  return /^State:\s+T/m.test(status);
}

describe.runIf(existsSync("/proc/self/status"))("chaos on a real lab", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  const scenarioFile = (name: string, content: object): string => {
    const path = join(cli.base, `${name}.yaml`);
    writeFileSync(path, JSON.stringify({ name, ...content }));
    return path;
  };
  const links = async (): Promise<readonly string[]> =>
    (await cli.json<Links>("link", "show", ...at)).links
      .filter((link) => link.cut)
      .map((link) => link.from);

  beforeAll(async () => {
    // What runs leave behind for a look goes away with the test's own folder.
    process.env["TMPDIR"] = cli.base;
    await cli.json("lab", "up", "--sites", "A,B", "--cvms", "2,1", ...at);
  });
  afterAll(() => cli.cleanUp());

  it("refuses a wrong scenario by the path of the key, and shows a time line without a lab", async () => {
    const wrong = scenarioFile("wrong", { ...base, protection: [], run: [], workload: [] });
    const refused = await cli.failure("chaos", "lint", wrong);
    expect(refused).toMatchObject({ code: "INVALID_ARGUMENT", exit: 2 });
    expect(refused.message).toContain('unknown key "workload"');
    const fault = { kind: "kill", target: "wan" };
    const repeat = { every: "1s", times: 2 };
    const content = {
      ...base,
      protection: protection("p0", "d0"),
      run: [{ at: "1s", fault, repeat }],
    };
    const file = scenarioFile("dry", content);
    const plan = await cli.json<{ steps: unknown[] }>("chaos", "run", file, "--dry-run");
    expect(plan.steps).toEqual([
      { atMs: 1000, id: "1.1", what: "kill wan" },
      { atMs: 2000, id: "1.2", what: "kill wan" },
    ]);
  });

  it("frees what a runner held that was killed with -9: a frozen process, a cut link, a dead service, a slow disk", async () => {
    const file = scenarioFile("abandoned", {
      ...base,
      protection: protection("p1", "d1"),
      run: [
        { at: "0s", fault: { kind: "stop", target: "cerebro@A/2" } },
        { at: "0s", fault: { kind: "cut", from: "A", to: "B", oneWay: true } },
        { at: "0s", fault: { kind: "kill", target: "cerebro@B/1", for: "1h" } },
        { at: "0s", fault: { kind: "disk", target: "stargate@A/1", does: "slowSync", by: "20ms" } },
      ],
    });
    const { processes } = await cli.statusWhen(dir, (status) =>
      status.processes.every((one) => one.state === "running"),
    );
    const pid = processes.find((one) => one.id === "cerebro@A/2")?.pid ?? 0;
    const runner = cli.start("chaos", "run", file, ...at);
    const said: string[] = [];
    runner.stderr?.on("data", (part: Buffer) => said.push(part.toString()));
    const done = (): number => said.join("").match(/^\[ .*\(/gm)?.length ?? 0;
    await until(() => done() === 4, 60_000, `four faults: ${said.join("")}`);
    expect(isFrozen(pid)).toBe(true);
    const isDiskSlow = (): boolean =>
      existsSync(join(dir, "state/genesis/stargate@A.1.disk-fault"));
    expect(isDiskSlow()).toBe(true);
    expect(await links()).toEqual(["A"]);
    const ended = new Promise((resolve) => runner.on("close", resolve));
    runner.kill("SIGKILL");
    await ended;
    await until(() => !isFrozen(pid), WHOLE_AGAIN_MS, "the frozen process goes on");
    await until(() => !isDiskSlow(), WHOLE_AGAIN_MS, "the disk is whole");
    const startedMs = performance.now();
    while ((await links()).length > 0)
      expect(performance.now() - startedMs).toBeLessThan(WHOLE_AGAIN_MS);
    await cli.statusWhen(dir, (status) => status.processes.every((one) => one.state === "running"));
  });

  it("`chaos heal` undoes what was broken by hand, and a second time nothing", async () => {
    await cli.json("chaos", "stop", "cerebro@A/2", ...at);
    await cli.json("chaos", "kill", "stargate@B/1", "--stay-dead", ...at);
    await cli.json("link", "cut", "A", "B", "--one-way", ...at);
    await cli.statusWhen(dir, (status) => status.processes.some((one) => one.state === "dead"));
    const { healed } = await cli.json<{ healed: string[] }>("chaos", "heal", ...at);
    expect([...healed].sort()).toEqual(["A>B", "cerebro@A/2", "stargate@B/1"]);
    expect(await cli.json("chaos", "heal", ...at)).toEqual({ healed: [] });
    await cli.statusWhen(dir, (status) => status.processes.every((one) => one.state === "running"));
  });

  it("P1, P2, P3, P9: a scenario strikes, heals, converges, and finds both sites equal", async () => {
    const file = scenarioFile("short", {
      ...base,
      seed: 3,
      protection: protection("p2", "d2"),
      workloads: [{ pd: "p2", rate: 50, span: "4MiB" }],
      run: [
        { at: "1s", fault: { kind: "kill", target: "stargate.owner(d2)@A" } },
        { at: "2s", fault: { kind: "cut", from: "A", to: "B", for: "1s" } },
        { at: "3s", fault: { kind: "stop", target: "cerebro@A:random", for: "1s" } },
      ],
    });
    const folder = join(cli.base, "report");
    const run = await cli.run("chaos", "run", file, "--json", "--report", folder, ...at);
    const report = parseResult(JSON.parse(run.stdout));
    expect(report.events.map((step) => step.problem)).toEqual(["", "", ""]);
    const asserted = report.verdicts.filter((one) => base.assert.includes(one.invariant));
    expect(
      asserted.map((one) => one.verdict),
      run.stdout,
    ).toEqual(asserted.map(() => "held"));
    expect(run.status).toBe(0);
    expect(parseResult(JSON.parse(readFileSync(join(folder, "result.json"), "utf8")))).toEqual(
      report,
    );
    expect(readFileSync(join(folder, "report.html"), "utf8")).toContain("short");
    expect(readFileSync(join(folder, "junit.xml"), "utf8")).toContain("<testsuite");
    // What the run watched stands in its result.
    expect(report.lanes.map((lane) => lane.role)).toContain("stargate.owner");
    expect(report.workloads[0]?.intervals.length).toBeGreaterThan(3);
    expect(report.audits.map((one) => one.of).sort()).toEqual(["copy", "source"]);
    // What is asserted but never tested is no success.
    const vacuous = scenarioFile("vacuous", {
      ...base,
      assert: ["P5"],
      protection: protection("p3", "d3"),
      run: [{ at: "0s", fault: { kind: "heal" } }],
    });
    expect((await cli.run("chaos", "run", vacuous, ...at)).status).toBe(9);
  });
});
