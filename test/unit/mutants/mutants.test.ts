/**
 * The planted bugs of test/mutants still apply to the code as it is, and what they make of it compiles: a bug
 * that no longer fits would count as one that the simulator cannot find. Whether it finds them is asked by
 * scripts/mutants, which takes long.
 */

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { readMutants } from "../../mutants/catalogue.ts";
import { applyMutant, parseMutant } from "../../mutants/mutant.ts";
import { hasAll, unknownNeeds } from "../../mutants/needs.ts";
import { drawConfig } from "../../sim/config.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
/** What the issue asks for. */
const MUTANTS_MIN = 25;
/** A bug counts as found within so many seeds. */
const SEEDS_MAX = 2000;
const TYPES_MS_MAX = 120_000;

const mutants = readMutants(ROOT);
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

/** Each changed file beside the original, under a name of its own, so that one program checks all of them. */
function changedFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const mutant of mutants) {
    const changed = applyMutant(mutant, read);
    for (const [file, text] of changed)
      files.set(join(ROOT, file.replace(/\.ts$/, `.${mutant.name}.ts`)), text);
  }
  return files;
}

function problemsOf(files: ReadonlyMap<string, string>): readonly string[] {
  const configPath = join(ROOT, "tsconfig.json");
  const config = ts.getParsedCommandLineOfConfigFile(
    configPath,
    // A bug may leave an import or a parameter unused; that is no reason not to plant it.
    { noEmit: true, noUnusedLocals: false, noUnusedParameters: false, sourceMap: false },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined },
  );
  if (config === undefined) throw new Error("tsconfig.json cannot be read");
  const host = ts.createCompilerHost(config.options);
  const plain = ts.createCompilerHost(config.options);
  host.readFile = (path) => files.get(path) ?? plain.readFile(path);
  host.fileExists = (path) => files.has(path) || plain.fileExists(path);
  const program = ts.createProgram([...files.keys()], config.options, host);
  return [...files.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ].map(({ messageText, start }) => {
      const line = source?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
      const text = ts.flattenDiagnosticMessageText(messageText, " ");
      return `${path.slice(dirname(ROOT).length)}:${line + 1}: ${text}`;
    });
  });
}

describe("planted bugs", () => {
  it("are as many as they must be, of every promise that the simulator judges", () => {
    expect(mutants.length).toBeGreaterThanOrEqual(MUTANTS_MIN);
    expect(new Set(mutants.map(({ promises: [first] }) => first)).size).toBeGreaterThanOrEqual(5);
    expect(new Set(mutants.map(({ bug }) => bug)).size).toBe(mutants.length);
  });

  it.each(mutants)("need a world that some seed draws: $name", ({ needs }) => {
    expect(unknownNeeds(needs)).toEqual([]);
    const drawn = Array.from({ length: SEEDS_MAX }, (_, seed) => drawConfig(seed + 1));
    expect(drawn.some((config) => hasAll(config, needs))).toBe(true);
  });

  it.each(mutants)("apply to the code as it is: $name", (mutant) => {
    for (const [file, text] of applyMutant(mutant, read)) expect(text).not.toBe(read(file));
  });

  it("leave code that compiles", { timeout: TYPES_MS_MAX }, () => {
    expect(problemsOf(changedFiles())).toEqual([]);
  });
});

describe("the form of a planted bug", () => {
  const form = (edit: string): string =>
    `bug: forgets\nbreaks: P1\nalso: P9\n\nfile: services/base/a.ts\n${edit}`;
  const edit = "<<<<\nkeep(x);\n====\n\n>>>>\n";

  it("is read with its promises in order", () => {
    expect(parseMutant("m", form(edit))).toEqual({
      name: "m",
      bug: "forgets",
      promises: ["P1", "P9"],
      needs: [],
      edits: [{ file: "services/base/a.ts", search: "keep(x);", replace: "" }],
    });
  });

  it("is refused when something is missing or odd", () => {
    const refused: readonly (readonly [string, RegExp])[] = [
      [form(""), /changes nothing/],
      [form("<<<<\na\n====\nb\n"), /no line >>>>/],
      [form("<<<<\na\n====\na\n>>>>\n"), /by other text/],
      [form(edit).replace("P1", "P10"), /no promise/],
      [form(edit).replace("bug: forgets\n", ""), /what the bug is/],
      [form(edit).replace("services/base", "test"), /no source file/],
      [`${form(edit)}what: else\n`, /no known form/],
    ];
    for (const [text, why] of refused) expect(() => parseMutant("m", text)).toThrow(why);
  });

  it("fits only where its text is there exactly once", () => {
    const mutant = parseMutant("m", form(edit));
    expect(applyMutant(mutant, () => "a();\nkeep(x);\nb();").get("services/base/a.ts")).toBe(
      "a();\n\nb();",
    );
    expect(() => applyMutant(mutant, () => "nothing")).toThrow(/0 times/);
    expect(() => applyMutant(mutant, () => "keep(x); keep(x);")).toThrow(/2 times/);
  });
});
