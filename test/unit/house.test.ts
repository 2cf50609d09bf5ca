/**
 * The house rules that no linter knows, over every file of the repository: what git tracks or would
 * track. One test a rule, and one that shows each pattern going red, so that a rule cannot go blind.
 */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "..", "..");
const LINES_MAX = 400;
/** Fewer files than this means that the listing is blind, not that the house is clean. */
const FILES_MIN = 20;
/** Folders that git ignores, for a checkout without git. */
const IGNORED = new Set(["node_modules", "dist", ".git", ".cache", ".antipode"]);

/** The top level, besides names that begin with a dot: it does not grow. */
const TOP_LEVEL = [
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "deploy",
  "package-lock.json",
  "package.json",
  "proto",
  "scripts",
  "services",
  "test",
  "tsconfig.json",
];

interface Source {
  /** Path from the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Patterns and examples are built from parts, so that this file does not hold what it forbids. */
const glue = (...parts: readonly string[]): string => parts.join("");
const TO_DO = glue("TO", "DO");

const PATTERNS = {
  unnumbered: new RegExp(
    `\\b${TO_DO}\\b(?!\\(#\\d+\\))|\\b${glue("FIX", "ME")}\\b|\\b${glue("HA", "CK")}\\b`,
  ),
  focus: /\b(?:it|test|describe|suite|bench)(?:\.\w+)*\.(?:only|skip|todo)\b/,
  sleep:
    /\bset(?:Timeout|Interval)\s*\(|timers\/promises|(?<!clock\.)\bsleep\w*\s*\(|\bAtomics\.wait\b/,
  header: /^(?:#![^\n]*\n)?\s*(?:\/\*\*?|\/\/)[\s*`]*\w+\W+\w+\W+\w+/,
  machinePath: new RegExp(`(?<![\\w.})\\]-])/(?:${glue("wo", "rk")}|${glue("ro", "ot")})/`),
  registryHost: new RegExp(
    [
      ["registry", "npmjs", "org"],
      ["registry", "yarnpkg", "com"],
      ["registry", "npmmirror", "com"],
      ["npm", "jsr", "io"],
      ["npm", "pkg", "github", "com"],
      ["pypi", "org"],
      ["files", "pythonhosted", "org"],
      ["static", "crates", "io"],
      ["index", "crates", "io"],
      ["proxy", "golang", "org"],
      ["rubygems", "org"],
    ]
      .map((parts) => parts.join("\\."))
      .join("|"),
  ),
} as const;

function listPaths(): string[] {
  const git = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (git.status === 0) return [...new Set(git.stdout.split("\0").filter((path) => path !== ""))];
  return walk("");
}

function walk(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return IGNORED.has(entry.name) ? [] : walk(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Text files only; one that was deleted but is still listed is left out. */
function readSource(path: string): Source[] {
  try {
    const bytes = readFileSync(join(ROOT, path));
    return bytes.includes(0) ? [] : [{ path, text: bytes.toString("utf8") }];
  } catch {
    return [];
  }
}

/** "path:line: the line" for every line that matches. */
function findLines(sources: readonly Source[], pattern: RegExp): string[] {
  return sources.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 120)}`] : [],
      ),
  );
}

const paths = listPaths();
const sources = paths.flatMap(readSource);
const under = (pattern: RegExp): Source[] => sources.filter(({ path }) => pattern.test(path));
const code = under(/^(services|test|scripts|proto|deploy|\.ci)\//);
const serviceFiles = under(/^services\/(?!(?:.*\/)?gen\/).*\.ts$/);
const testFiles = under(/^test\/.*\.ts$/);

describe("house", () => {
  it("sees the files of the repository", () => {
    expect(sources.length).toBeGreaterThanOrEqual(FILES_MIN);
    expect(sources.map(({ path }) => path)).toContain("package.json");
  });

  it("has nothing at the top that does not belong there", () => {
    const top = new Set(paths.map((path) => path.split("/", 1).join("")));
    const others = [...top].filter((name) => !name.startsWith(".") && !TOP_LEVEL.includes(name));
    expect(others).toEqual([]);
  });

  it("has no open end without the number of its issue", () => {
    expect(findLines(code, PATTERNS.unnumbered)).toEqual([]);
  });

  it("has no focused or skipped test; a suite that needs a tool says runIf", () => {
    expect(findLines(testFiles, PATTERNS.focus)).toEqual([]);
  });

  it("has no test that waits for wall time outside test/support and the helpers of integration", () => {
    const waiting = testFiles.filter(
      ({ path }) =>
        !path.startsWith("test/support/") && !/^test\/integration\/.*(?<!\.test)\.ts$/.test(path),
    );
    expect(findLines(waiting, PATTERNS.sleep)).toEqual([]);
  });

  it(`has no file of services or test over ${LINES_MAX} lines`, () => {
    const long = [...serviceFiles, ...testFiles].flatMap(({ path, text }) => {
      const lines = text.trimEnd().split("\n").length;
      return lines > LINES_MAX ? [`${path}: ${lines} lines`] : [];
    });
    expect(long).toEqual([]);
  });

  it("begins every file of services with a comment on what it is for", () => {
    const bare = serviceFiles.filter(({ text }) => !PATTERNS.header.test(text));
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  it("names no package registry and no folder of a developer's machine", () => {
    expect(findLines(sources, PATTERNS.registryHost)).toEqual([]);
    expect(findLines(sources, PATTERNS.machinePath)).toEqual([]);
  });
});

/** What this file reads of package-lock.json. */
interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >;
}

describe("package-lock.json", () => {
  const text = readFileSync(join(ROOT, "package-lock.json"), "utf8");

  it("lists the optional packages of every platform, or npm ci refuses it everywhere", () => {
    const { packages } = JSON.parse(text) as Lock;
    const missing = Object.entries(packages).flatMap(([parent, { optionalDependencies }]) =>
      Object.keys(optionalDependencies ?? {}).filter(
        (name) =>
          packages[`node_modules/${name}`] === undefined &&
          packages[`${parent}/node_modules/${name}`] === undefined,
      ),
    );
    expect(missing, "run node scripts/lib/completeLock.mjs").toEqual([]);
  });

  it("names no address to download from, so that any mirror serves", () => {
    expect(text).not.toContain('"resolved": "http');
  });
});

describe("house patterns", () => {
  const cases: readonly (readonly [keyof typeof PATTERNS, string, string])[] = [
    ["unnumbered", `// ${TO_DO}: later`, `// ${TO_DO}(#12): later`],
    ["unnumbered", glue("// FIX", "ME"), "// fixed"],
    ["focus", glue("it.", "only('x')"), "it.runIf(true)('x')"],
    ["focus", glue("test.concurrent.", "skip('x')"), "stream.skip(3)"],
    ["sleep", glue("set", "Timeout (go, 5)"), "timers.advance(5)"],
    ["sleep", glue("await sl", "eepMs(5)"), "asleep.at = 5"],
    ["header", "/**\n * What this is for.", "import x from 'y';\n// a b c"],
    ["header", "#!/usr/bin/env node\n// What this is for", "/** */ export {}"],
    ["machinePath", glue("cd /wo", "rk/main"), glue("net/wo", "rk/main")],
    ["machinePath", glue('"/ro', 'ot/.npmrc"'), glue("{tree}/ro", "ot/x")],
    ["registryHost", glue("https://registry.", "npmjs.org/x"), "https://nodejs.org"],
  ];

  it.each(cases)("%s tells %j from %j", (name, first, second) => {
    expect([PATTERNS[name].test(first), PATTERNS[name].test(second)]).toEqual([true, false]);
  });
});
