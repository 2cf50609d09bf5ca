/**
 * The result of a run as JUnit XML, for the pages of a CI: each promise a test case, and the audit of
 * each site. A promise that was not tested is skipped, or fails when the scenario asserts it.
 */

import { faultsText } from "./faultCounts.ts";
import { junitFile } from "./junitForm.ts";
import { summaryOf } from "./page/auditSection.ts";
import { el, escaped } from "./page/markup.ts";
import type { RunResult } from "./result.ts";

interface Case {
  readonly name: string;
  readonly outcome:
    | { readonly kind: "passed" }
    | { readonly kind: "skipped" | "failed"; readonly why: string };
  readonly said: string;
}

/** The file. */
export function junitOf(result: RunResult): string {
  const cases = [...result.verdicts.map(verdictCase), ...result.audits.map(auditCase)];
  return junitFile({
    title: "antipode chaos",
    suite: `chaos.${result.scenario.name}`,
    counts: {
      tests: cases.length,
      failures: cases.filter((one) => one.outcome.kind === "failed").length,
      skipped: cases.filter((one) => one.outcome.kind === "skipped").length,
      durationMs: result.phases.reduce((sum, one) => sum + one.toMs - one.fromMs, 0),
    },
    properties: {
      seed: String(result.seed),
      faults: faultsText(result),
      reproduce: result.reproduce,
    },
    cases: cases.map((one) => caseElement(one, result)),
  });
}

function verdictCase(one: RunResult["verdicts"][number]): Case {
  const name = `${one.invariant}: ${one.promise}`;
  const said = one.found;
  switch (one.verdict) {
    case "held":
      return { name, outcome: { kind: "passed" }, said };
    case "violated":
      return { name, outcome: { kind: "failed", why: `violated: ${one.found}` }, said };
    case "vacuous":
      return one.asserted
        ? { name, outcome: { kind: "failed", why: "asserted, but nothing tested it" }, said }
        : { name, outcome: { kind: "skipped", why: "nothing tested it" }, said };
  }
}

function auditCase({ pd, site, of, audit }: RunResult["audits"][number]): Case {
  const name = `audit of ${pd} at site ${site} (${of})`;
  const said = [summaryOf(audit), ...audit.problems].join("\n");
  return audit.ok
    ? { name, outcome: { kind: "passed" }, said }
    : { name, outcome: { kind: "failed", why: summaryOf(audit) }, said };
}

function caseElement({ name, outcome, said }: Case, { scenario, reproduce }: RunResult): string {
  const told = el("system-out", {}, escaped(said));
  const attributes = { name, classname: `chaos.${scenario.name}`, time: "0" };
  switch (outcome.kind) {
    case "passed":
      return el("testcase", attributes, told);
    case "skipped":
      return el("testcase", attributes, el("skipped", { message: outcome.why }), told);
    case "failed": {
      const again = escaped(`${said}\nagain: ${reproduce}`);
      const failure = el("failure", { message: outcome.why, type: "violated" }, again);
      return el("testcase", attributes, failure, told);
    }
  }
}
