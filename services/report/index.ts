/** What other rooms may use of the report: the result of a run, its schema and its reader. */

export { auditOf } from "./audited.ts";
export { parseResult, type RunResult, resultSchema } from "./result.ts";
