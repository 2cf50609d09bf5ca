/**
 * Asks the simulator for every planted bug how many seeds it takes to find it; scripts/mutants copies the
 * sources, builds and starts it. Each bug is transpiled into the built copy, its seeds are run in order until
 * one violates a promise that the bug is said to break, and the copy is mended again. A seed counts only when
 * the code as it is keeps that promise there: the control.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import ts from "typescript";
import { readMutants } from "./catalogue.ts";
import { applyMutant, type Mutant } from "./mutant.ts";
import type { Violation } from "./seedLine.ts";
import { runSeeds, type SeedsRun } from "./seedRunner.ts";

const SEEDS_DEFAULT = 2000;
const MS_PER_SECOND = 1000;
const PROGRESS_EVERY = 10;
const USAGE = `Usage: scripts/mutants [options] [NAME ...]

Plants bugs, one at a time, in a copy of the sources, and runs the simulator's seeds in order until one finds
it. Without a name, all of test/mutants/bugs.

  --seeds N   run at most N seeds a bug (default ${SEEDS_DEFAULT})
  --list      print the bugs, run nothing
  --json      print the table as JSON
  --help      this text

Progress goes to standard error. Exits 1 when a bug was not found or the code as it is fails a seed.
`;

interface Options {
  readonly names: readonly string[];
  readonly seeds: number;
  readonly list: boolean;
  readonly json: boolean;
}

/** A row of the table. */
interface Row {
  readonly bug: string;
  readonly what: string;
  readonly promise: string;
  /** The verdict that found it, or why it was not found. */
  readonly foundBy: string;
  readonly seeds: number | undefined;
  readonly seconds: number;
  readonly text: string;
}

function parseOptions(): Options | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: "string", default: String(SEEDS_DEFAULT) },
      list: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  if (!/^[1-9]\d{0,6}$/.test(values.seeds))
    throw new Error(`--seeds takes a whole number, not "${values.seeds}"`);
  return { ...values, names: positionals, seeds: Number(values.seeds) };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The built copy: one bug is in it at a time. */
class Bench {
  readonly #sources: string;
  readonly #built: string;
  readonly #seedsMax: number;
  /** What the code as it is violates, by seed, of those at which it was run. */
  readonly #control = new Map<number, readonly Violation[]>();

  constructor(sources: string, seedsMax: number) {
    this.#sources = sources;
    this.#built = join(sources, "built");
    this.#seedsMax = seedsMax;
  }

  /** Seeds that fail without any bug. */
  get failing(): readonly (readonly [number, readonly Violation[]])[] {
    return [...this.#control].filter(([, violated]) => violated.length > 0);
  }

  get controlled(): number {
    return this.#control.size;
  }

  async search(mutant: Mutant): Promise<Row> {
    const startedMs = performance.now();
    let from = 1;
    for (;;) {
      const run = await this.#plant(mutant, () => this.#seeds(mutant, from));
      const seconds = (performance.now() - startedMs) / MS_PER_SECOND;
      if (run.found === undefined) return rowOf(mutant, run, seconds);
      const { seed, violation } = run.found;
      const isBugs = await this.#isSoundAt(seed, violation);
      if (isBugs) return rowOf(mutant, run, seconds);
      say(`  seed ${seed} fails without the bug too: ${violation.promise} ${violation.name}`);
      from = seed + 1;
    }
  }

  #seeds(mutant: Mutant, from: number): Promise<SeedsRun> {
    let ran = 0;
    return runSeeds({
      program: join(this.#built, "test", "mutants", "runSeeds.js"),
      ...{ from, to: this.#seedsMax, promises: mutant.promises, needs: mutant.needs },
      onSeed: ({ seed, violated, passedOver }) => {
        if (passedOver) return;
        ran += 1;
        const others = violated.map(({ promise, name }) => `${promise} ${name}`);
        if (ran % PROGRESS_EVERY === 0 || others.length > 0)
          say(`  ${mutant.name}: seed ${seed} ${others.length > 0 ? others.join("; ") : "ok"}`);
      },
    });
  }

  /** Does the code as it is keep this promise at that seed? */
  async #isSoundAt(seed: number, { promise, name }: Violation): Promise<boolean> {
    if (!this.#control.has(seed))
      await runSeeds({
        program: join(this.#built, "test", "mutants", "runSeeds.js"),
        ...{ from: seed, to: seed, promises: [], needs: [] },
        onSeed: (line) => {
          this.#control.set(line.seed, line.violated);
          say(`  control: seed ${seed} ${line.violated.map((one) => one.name).join("; ") || "ok"}`);
        },
      });
    const violated = this.#control.get(seed);
    return (
      violated !== undefined &&
      !violated.some((one) => one.promise === promise && one.name === name)
    );
  }

  async #plant<T>(mutant: Mutant, act: () => Promise<T>): Promise<T> {
    const sources = applyMutant(mutant, (file) => readFileSync(join(this.#sources, file), "utf8"));
    const before = new Map<string, string>();
    for (const [file, text] of sources) {
      const path = join(this.#built, file.replace(/\.ts$/, ".js"));
      before.set(path, readFileSync(path, "utf8"));
      writeFileSync(path, transpiled(file, text));
    }
    try {
      return await act();
    } finally {
      for (const [path, text] of before) writeFileSync(path, text);
    }
  }
}

function transpiled(fileName: string, text: string): string {
  const { outputText } = ts.transpileModule(text, {
    fileName,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      isolatedModules: true,
      rewriteRelativeImportExtensions: true,
    },
  });
  return outputText;
}

function rowOf(mutant: Mutant, { found, stuck, lastSeed }: SeedsRun, seconds: number): Row {
  const ends = stuck.length > 0 ? `, seeds without an end: ${stuck.join(" ")}` : "";
  return {
    bug: mutant.name,
    what: mutant.bug,
    promise: mutant.promises[0],
    foundBy:
      found === undefined
        ? `NOT FOUND in ${lastSeed} seeds${ends}`
        : `${found.violation.promise} ${found.violation.name}${ends}`,
    seeds: found?.seed,
    seconds,
    text: found?.violation.text ?? "",
  };
}

function printTable(rows: readonly Row[], controlled: number): void {
  const cells = rows.map(({ bug, promise, foundBy, seeds, seconds }) => [
    bug,
    promise,
    foundBy,
    seeds === undefined ? "-" : String(seeds),
    seconds.toFixed(0),
  ]);
  const table = [["bug", "promise", "found by verdict", "seeds needed", "seconds"], ...cells];
  for (const [index, row] of table.entries()) {
    process.stdout.write(`| ${row.join(" | ")} |\n`);
    if (index === 0) process.stdout.write(`| ${row.map(() => "---").join(" | ")} |\n`);
  }
  const found = rows.filter(({ seeds }) => seeds !== undefined).length;
  process.stdout.write(`\n${found} of ${rows.length} found; control: ${controlled} seeds\n`);
}

async function run({ names, seeds, json, list }: Options): Promise<number> {
  const sources = process.env["MUTANTS_SOURCES"];
  if (sources === undefined) throw new Error("scripts/mutants starts this");
  const all = readMutants(sources);
  const unknown = names.filter((name) => !all.some((mutant) => mutant.name === name));
  if (unknown.length > 0) throw new Error(`no planted bug is called ${unknown.join(", ")}`);
  const wanted =
    names.length === 0
      ? all
      : names.flatMap((name) => all.filter((mutant) => mutant.name === name));
  if (list) {
    for (const { name, bug, promises } of wanted)
      process.stdout.write(`${name}: ${bug} (${promises.join(" ")})\n`);
    return 0;
  }
  const bench = new Bench(sources, seeds);
  const rows: Row[] = [];
  for (const [index, mutant] of wanted.entries()) {
    say(`${index + 1} of ${wanted.length}: ${mutant.name}, ${mutant.bug}`);
    const row = await bench.search(mutant);
    rows.push(row);
    say(`  ${row.foundBy}, seed ${row.seeds ?? "-"}, ${row.seconds.toFixed(0)} s; ${row.text}`);
  }
  for (const [seed, violated] of bench.failing)
    say(`the code as it is fails seed ${seed}: ${violated.map(({ name }) => name).join("; ")}`);
  if (json) process.stdout.write(`${JSON.stringify({ rows, controlled: bench.controlled })}\n`);
  else printTable(rows, bench.controlled);
  return rows.some((row) => row.seeds === undefined) || bench.failing.length > 0 ? 1 : 0;
}

// Ends the process of the seeds as well, which goes with "exit".
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

const options = parseOptions();
if (options === undefined) process.stdout.write(USAGE);
else process.exitCode = await run(options);
