/** `antipode chaos report`, and the files that `chaos run` leaves: HTML page, JUnit XML, result.json. */

import { constants } from "node:fs";
import { access, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { parseJson } from "../../base/checkedJson.ts";
import { AntipodeError } from "../../base/errors.ts";
import { htmlOf, junitOf, parseResult, type RunResult } from "../../report/index.ts";
import { addCommand, type Context, type Options, type Outcome, optional } from "../command.ts";

/** Options of every command that writes reports. */
export const reportOptions = [
  ["--report <folder>", "write report.html, result.json and junit.xml there"],
  ["--html <file>", "write the report as one HTML page that opens offline"],
  ["--junit <file>", "write each check as a test case of JUnit XML"],
  ["--result <file>", "write the result as JSON; `chaos report` makes the others from it"],
] as const;

type Kind = "html" | "junit" | "result";

const MAKERS: Readonly<Record<Kind, (result: RunResult) => string>> = {
  html: htmlOf,
  junit: junitOf,
  result: (result) => `${JSON.stringify(result, undefined, 2)}\n`,
};
const NAMES: Readonly<Record<Kind, string>> = {
  html: "report.html",
  junit: "junit.xml",
  result: "result.json",
};
const KINDS: readonly Kind[] = ["html", "junit", "result"];

/** A file to be written. */
export interface PlannedReport {
  readonly kind: Kind;
  /** Absolute. */
  readonly file: string;
}

/**
 * The files that the options ask for. Makes the folder of `--report`, and looks whether all can be
 * written: a run takes minutes, and its report must not fail at the end.
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export async function plannedReports(options: Options): Promise<readonly PlannedReport[]> {
  const folder = optional(options, "report");
  if (folder !== undefined) await makeFolder(folder);
  const inFolder =
    folder === undefined ? [] : KINDS.map((kind) => ({ kind, file: resolve(folder, NAMES[kind]) }));
  const named = KINDS.flatMap((kind) => {
    const file = optional(options, kind);
    return file === undefined ? [] : [{ kind, file: resolve(file) }];
  });
  const planned = [...inFolder, ...named];
  for (const { file } of planned) await requireWritable(file);
  return planned;
}

/** Writes them all. @returns their paths */
export async function writeReports(
  planned: readonly PlannedReport[],
  result: RunResult,
): Promise<readonly string[]> {
  for (const { kind, file } of planned) await writeFile(file, MAKERS[kind](result));
  return planned.map(({ file }) => file);
}

/** Adds to the noun `chaos`. */
export function addChaosReportCommand(noun: Command): void {
  addCommand(noun, {
    usage: "report <result>",
    summary: "make the report of an earlier run again from its result.json",
    options: reportOptions,
    examples: [
      "chaos report result.json --html report.html",
      "chaos report out/result.json --report out",
    ],
    run: report,
  });
}

async function report(
  { options }: Context,
  [given]: readonly (string | undefined)[],
): Promise<Outcome> {
  const file = given ?? "";
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new AntipodeError("INVALID_ARGUMENT", `${file} cannot be read`, { file }, cause);
  });
  const result = parseResult(parseJson(text, file));
  const planned = await plannedReports(options);
  if (planned.length === 0)
    throw new AntipodeError("INVALID_ARGUMENT", "say what to write: --html, --junit or --report");
  const files = await writeReports(planned, result);
  const { name } = result.scenario;
  return { json: { scenario: name, ok: result.ok, files }, text: files.join("\n") };
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the folder ${folder} cannot be made`,
      { folder },
      cause,
    );
  });
}

async function requireWritable(file: string): Promise<void> {
  const wrong = (why: string): AntipodeError =>
    new AntipodeError("INVALID_ARGUMENT", `${file} cannot be written: ${why}`, { file });
  const found = await stat(file).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw wrong("it cannot be looked at");
  });
  if (found !== undefined && !found.isFile()) throw wrong("it is no file");
  const place = found === undefined ? dirname(file) : file;
  const isAllowed = await access(place, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!isAllowed) throw wrong(found === undefined ? `${place} is no folder for it` : "not allowed");
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
