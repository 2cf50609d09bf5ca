/**
 * A failing case as a file that is kept and run ever after: `test/sim/regressions/SEED-WHAT.json`. It holds
 * the configuration and every fault, so it means the same when the draws of a seed have changed.
 */

import { readFileSync } from "node:fs";
import { drawConfig, type FaultKind, faultClasses, type SimConfig } from "../config.ts";
import type { PlannedFault } from "./schedule.ts";
import type { Case, Violation } from "./trial.ts";

const FORMAT = "antipode-sim-regression/1";
const WORDS_IN_NAME = 6;

export interface Regression {
  /** What was wrong, as a sentence for people; whoever mends it writes it. */
  readonly what: string;
  /** Of the code that failed. */
  readonly commit: string;
  readonly violated: Omit<Violation, "witness">;
  readonly case: Case;
}

/** The regression of a case that was found now; `what` says no more than the checker did. */
export function regressionOf(one: Case, violation: Violation, commit: string): Regression {
  const { promise, name, text } = violation;
  return { what: name, commit, violated: { promise, name, text }, case: one };
}

/** `17-p1-acknowledged-writes-are-there.json` */
export function regressionFileName({ violated, case: { config } }: Regression): string {
  const words = `${violated.promise} ${violated.name}`.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return `${[config.seed, ...words.slice(0, WORDS_IN_NAME)].join("-")}.json`;
}

export function encodeRegression({ what, commit, violated, case: one }: Regression): string {
  const { config, schedule } = one;
  return `${JSON.stringify({ format: FORMAT, what, commit, violated, config, schedule }, undefined, 2)}\n`;
}

/** @throws Error that names the file and what is wrong with it */
export function readRegression(path: string): Regression {
  try {
    return decodeRegression(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/**
 * A field that the configuration did not have when the file was written is the one that its seed
 * draws; one that it has no more is an error, because the case would mean something else.
 */
export function decodeRegression(text: string): Regression {
  const file = record(JSON.parse(text), "the file");
  expectKeys(file, ["format", "what", "commit", "violated", "config", "schedule"], "the file");
  if (file["format"] !== FORMAT) throw new Error(`its format is not ${FORMAT}`);
  const violated = record(file["violated"], "violated");
  return {
    what: string(file["what"], "what"),
    commit: string(file["commit"], "commit"),
    violated: {
      promise: string(violated["promise"], "violated.promise"),
      name: string(violated["name"], "violated.name"),
      text: string(violated["text"], "violated.text"),
    },
    case: {
      config: decodeConfig(record(file["config"], "config")),
      schedule: list(file["schedule"], "schedule").map(decodeFault),
    },
  };
}

function decodeConfig(given: Readonly<Record<string, unknown>>): SimConfig {
  const drawn = drawConfig(number(given["seed"], "config.seed"));
  expectKeys(given, Object.keys(drawn), "config");
  for (const [key, value] of Object.entries(drawn))
    if (key in given && typeof given[key] !== typeof value)
      throw new Error(`config.${key} is not a ${typeof value}`);
  return { ...drawn, ...given };
}

function decodeFault(value: unknown, index: number): PlannedFault {
  const where = `schedule[${index}]`;
  const fault = record(value, where);
  expectKeys(fault, ["atMs", "kind", "lastsMs", "seed"], where);
  const kind = string(fault["kind"], `${where}.kind`);
  if (!isFaultKind(kind)) throw new Error(`${where}: there is no fault "${kind}"`);
  return {
    atMs: number(fault["atMs"], `${where}.atMs`),
    kind,
    lastsMs: number(fault["lastsMs"], `${where}.lastsMs`),
    seed: number(fault["seed"], `${where}.seed`),
  };
}

function isFaultKind(kind: string): kind is FaultKind {
  return Object.hasOwn(faultClasses, kind);
}

function expectKeys(
  given: Readonly<Record<string, unknown>>,
  known: readonly string[],
  where: string,
): void {
  const unknown = Object.keys(given).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`${where} has unknown fields: ${unknown.join(", ")}`);
}

function record(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${where} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${where} is not a list`);
  return value;
}

function string(value: unknown, where: string): string {
  if (typeof value !== "string") throw new Error(`${where} is not text`);
  return value;
}

function number(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Error(`${where} is not a number`);
  return value;
}
