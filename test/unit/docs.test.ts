/**
 * The documents tell the truth about what can be checked by a machine: links lead somewhere, commands
 * parse, codes and files exist, and the schema of the drill's JSON has the drill's fields.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { type Command, CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { isErrorCode } from "../../services/base/errors.ts";
import { createProgram } from "../../services/cli/program.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** Fewer than these means that a search is blind, not that the documents are short. */
const LINKS_MIN = 60;
const COMMANDS_MIN = 40;
const PATHS_MIN = 150;
const CODES_MIN = 15;

interface Document {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** What git tracks or would track. */
function listFiles(): readonly string[] {
  const git = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  return git.stdout.split("\0").filter((path) => path !== "" && existsSync(join(ROOT, path)));
}

const files = listFiles();
const documents: readonly Document[] = files
  .filter((path) => /^(README|CHANGELOG)\.md$|^services\/docs\/.*\.md$/.test(path))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));

const FENCE = /^```[^\n]*\n([\s\S]*?)^```/gm;
const withoutFences = (text: string): string => text.replace(FENCE, "");

function allOf(pattern: RegExp, text: string): readonly string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? "");
}

/** GitHub's name of a heading. */
function anchorOf(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
}

function anchorsOf(text: string): readonly string[] {
  return allOf(/^#{1,6} +(.+)$/gm, withoutFences(text)).map(anchorOf);
}

// ---- links ----

function linksOf({
  path,
  text,
}: Document): readonly { readonly from: string; readonly to: string }[] {
  return allOf(/\]\(([^()\s]+)\)/g, withoutFences(text))
    .filter((to) => !/^[a-z]+:/.test(to))
    .map((to) => ({ from: path, to }));
}

/** Why a link leads nowhere, or `undefined`. */
function brokenLink({ from, to }: { readonly from: string; readonly to: string }) {
  const [file = "", anchor] = to.split("#");
  const target = file === "" ? from : normalize(join(dirname(from), file));
  if (!existsSync(join(ROOT, target))) return `${from}: ${to} is not there`;
  if (anchor === undefined) return undefined;
  const known = anchorsOf(readFileSync(join(ROOT, target), "utf8"));
  return known.includes(anchor) ? undefined : `${from}: ${to} has no such heading`;
}

// ---- commands ----

interface CommandLine {
  /** Without the leading `antipode`. */
  readonly line: string;
  /** To be typed as it stands; else a sentence only names the command. */
  readonly isWhole: boolean;
}

/** From blocks (after "$ " and in "$( )") and from inline code. */
function commandsOf({ text }: Document): readonly CommandLine[] {
  const prompts = allOf(FENCE, text).flatMap((block) => allOf(/^\$ (.*)$/gm, block));
  const called = /(?:^|\$\(|&& *|; *)(?:scripts\/)?antipode +([^|)&;#>]*)/g;
  const whole = prompts.flatMap((line) => allOf(called, line));
  const named = allOf(/`antipode ([^`]*)`/g, withoutFences(text));
  return [
    ...whole.map((line) => ({ line: line.trim(), isWhole: true })),
    ...named.map((line) => ({ line: line.trim(), isWhole: false })),
  ];
}

/** What the program would say against a command line, or `undefined`. */
function complaint(program: Command, { line, isWhole }: CommandLine): string | undefined {
  const words = line.split(/\s+/);
  let command = program;
  for (;;) {
    const next = command.commands.find((one) => one.name() === words[0]);
    if (next === undefined) break;
    command = next;
    words.shift();
  }
  if (words.length === 1 && words[0] === "--help") return undefined;
  if (command.commands.length > 0)
    return words.length === 0 && !isWhole ? undefined : `${line}: there is no such command`;
  try {
    const { operands, unknown } = command.parseOptions([...words]);
    if (unknown.length > 0) return `${line}: unknown option ${unknown[0]}`;
    const takes = command.registeredArguments;
    const least = takes.filter((argument) => argument.required).length;
    const isEndless = takes.some((argument) => argument.variadic);
    const fits = operands.length >= least && (isEndless || operands.length <= takes.length);
    return fits || (!isWhole && operands.length === 0) ? undefined : `${line}: wrong arguments`;
  } catch (error) {
    const isOptionNamed =
      error instanceof CommanderError && error.code === "commander.optionMissingArgument";
    if (isOptionNamed && !isWhole) return undefined;
    throw error;
  }
}

// ---- names ----

/** Paths of files of this repository that inline code names; those of a lab or a wildcard are not among them. */
function pathsOf({ text }: Document): readonly string[] {
  return allOf(
    /`([A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*\.(?:ts|mjs|cjs|proto))`/g,
    withoutFences(text),
  );
}

function foldersOf({ text }: Document): readonly string[] {
  return allOf(/`((?:services|test|scripts|proto)\/[A-Za-z0-9_./-]*)`/g, withoutFences(text));
}

const upperCaseWords = ({ text }: Document): readonly string[] =>
  allOf(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`/g, withoutFences(text));

const sourceText = files
  .filter((path) => /^(services|scripts|test)\//.test(path) && !path.endsWith(".md"))
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n");

describe("documents", () => {
  it("are seen", () => {
    expect(documents.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        "README.md",
        "CHANGELOG.md",
        "services/docs/ARCHITECTURE.md",
        "services/docs/ERRORS.md",
        "services/docs/FAULT_MODEL.md",
        "services/docs/FORMAT.md",
      ]),
    );
  });

  it("have links that lead to files and headings", () => {
    const links = documents.flatMap(linksOf);
    expect(links.length).toBeGreaterThanOrEqual(LINKS_MIN);
    expect(links.map(brokenLink).filter((why) => why !== undefined)).toEqual([]);
  });

  it("show commands that the program takes", () => {
    const program = createProgram();
    const commands = documents.flatMap(commandsOf);
    expect(commands.length).toBeGreaterThanOrEqual(COMMANDS_MIN);
    const wrong = commands.map((command) => complaint(program, command));
    expect(wrong.filter((why) => why !== undefined)).toEqual([]);
  });

  it("name error codes and constants that exist", () => {
    const words = documents.flatMap((document) =>
      upperCaseWords(document).map((word) => ({ word, path: document.path })),
    );
    expect(words.filter(({ word }) => isErrorCode(word)).length).toBeGreaterThanOrEqual(CODES_MIN);
    const unknown = words.filter(
      ({ word }) => !isErrorCode(word) && !new RegExp(`\\b${word}\\b`).test(sourceText),
    );
    expect(unknown).toEqual([]);
  });

  it("name files and folders that exist", () => {
    const named = documents.flatMap((document) =>
      pathsOf(document).map((file) => ({ file, path: document.path })),
    );
    expect(named.length).toBeGreaterThanOrEqual(PATHS_MIN);
    const missing = named.filter(
      ({ file }) => !files.some((path) => path === file || path.endsWith(`/${file}`)),
    );
    expect(missing).toEqual([]);
    const folders = documents.flatMap(foldersOf).filter((path) => !existsSync(join(ROOT, path)));
    expect(folders).toEqual([]);
  });

  it("have every decision in the list of decisions", () => {
    const list = documents.find(({ path }) => path === "services/docs/adr/README.md");
    const decisions = documents
      .map(({ path }) => /^services\/docs\/adr\/(\d{4}-.*)$/.exec(path)?.[1])
      .filter((name) => name !== undefined);
    expect(decisions.filter((name) => list?.text.includes(`(${name})`) !== true)).toEqual([]);
    expect(decisions.length).toBeGreaterThanOrEqual(10);
  });
});

describe("the schema of the drill's JSON in README.md", () => {
  const report = readFileSync(join(ROOT, "services/cli/demo/drillReport.ts"), "utf8");
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const schema = JSON.parse(/```json\n([\s\S]*?)\n```/.exec(readme)?.[1] ?? "{}") as Schema;

  interface Schema {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly items?: Schema;
    readonly required?: readonly string[];
  }

  /** Names of the fields of an interface in drillReport.ts, nested ones left out. */
  const fieldsOf = (name: string): readonly string[] => {
    const body = new RegExp(`export interface ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(report)?.[1];
    return allOf(/^ {2}readonly (\w+)\??:/gm, body ?? "");
  };

  const parts: readonly (readonly [string, Schema | undefined])[] = [
    ["DrillReport", schema],
    ["ReplicationReport", schema.properties?.["replications"]?.items],
    ["FailoverReport", schema.properties?.["failover"]],
    ["Check", schema.properties?.["checks"]?.items],
    ["TimelineEntry", schema.properties?.["timeline"]?.items],
  ];

  it.each(parts)("has the fields of %s", (name, part) => {
    const fields = fieldsOf(name);
    expect(fields.length).toBeGreaterThan(0);
    expect([...Object.keys(part?.properties ?? {})].sort()).toEqual([...fields].sort());
    expect([...(part?.required ?? [])].sort()).toEqual([...fields].sort());
  });
});
