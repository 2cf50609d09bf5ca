/** The form that all JUnit files here have: one suite with its counts and properties. */

import { el } from "./page/markup.ts";

export interface JunitFile {
  /** Of all suites, and of the one. */
  readonly title: string;
  readonly suite: string;
  readonly counts: {
    readonly tests: number;
    readonly failures: number;
    readonly skipped: number;
    readonly durationMs: number;
  };
  readonly properties: Readonly<Record<string, string>>;
  /** Elements `testcase`. */
  readonly cases: readonly string[];
}

/** The file. Nothing here is an error in JUnit's sense: what cannot be judged has failed. */
export function junitFile({ title, suite, counts, properties, cases }: JunitFile): string {
  const { tests, failures, skipped, durationMs } = counts;
  const attributes = { tests, failures, errors: 0, skipped, time: seconds(durationMs) };
  const told = Object.entries(properties).map(([name, value]) => el("property", { name, value }));
  const one = el(
    "testsuite",
    { name: suite, ...attributes },
    el("properties", {}, ...told),
    ...cases,
  );
  const all = el("testsuites", { name: title, ...attributes }, one);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${all}\n`;
}

/** As text: attributes of numbers would be rounded. */
export function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}
