/** What other rooms may use of the report: the result of a run, and what is made of it. */

export { auditOf } from "./audited.ts";
export { faultCounts, faultsText } from "./faultCounts.ts";
export { junitOf } from "./junit.ts";
export { htmlOf } from "./page/page.ts";
export { parseResult, type RunResult, resultSchema } from "./result.ts";
export { parseSoak, type Soak, type SoakRun, soakJunitOf, soakOf, soakSchema } from "./soak.ts";
