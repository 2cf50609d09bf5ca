/** The files of a chaos run: what is asked for is written, and what cannot be is told before (P10). */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { plannedReports, writeReports } from "../../../services/cli/commands/chaosReport.ts";
import { parseResult } from "../../../services/report/index.ts";
import { failureOf } from "../../support/outcome.ts";
import { goodRun } from "../report/sampleResults.ts";

const result = goodRun({ seed: 3, elapsedMs: 9000, faults: 2 });
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "antipode-report-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("reports of a run", () => {
  it("a folder gets all three, and the result is read back as it was", async () => {
    const out = join(folder, "deep", "out");
    const files = await writeReports(await plannedReports({ report: out }), result);
    expect(readdirSync(out).sort()).toEqual(["junit.xml", "report.html", "result.json"]);
    expect(files).toEqual(
      ["report.html", "junit.xml", "result.json"].map((name) => join(out, name)),
    );
    expect(parseResult(JSON.parse(readFileSync(join(out, "result.json"), "utf8")))).toEqual(result);
  });

  it("single files go where they are named, beside a folder too", async () => {
    const options = { html: join(folder, "a.html"), junit: join(folder, "b.xml") };
    await writeReports(await plannedReports(options), result);
    expect(readdirSync(folder).sort()).toEqual(["a.html", "b.xml"]);
    expect(readFileSync(options.html, "utf8")).toMatch(/^<!doctype html>/);
    expect(readFileSync(options.junit, "utf8")).toMatch(/^<\?xml/);
    expect(await plannedReports({})).toEqual([]);
  });

  it("refuses before the run what could not be written after it", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const refused = [
      { html: folder },
      { junit: join(folder, "none", "b.xml") },
      { result: join(file, "c.json") },
      { report: join(file, "d") },
    ];
    for (const options of refused) {
      const error = await failureOf(plannedReports(options));
      expect(error.code, JSON.stringify(options)).toBe("INVALID_ARGUMENT");
    }
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});
