/**
 * When V8's optimizing compiler takes a function up. Node 20's does after some hundred calls. A Stargate
 * under replication calls some thousand functions that often, while most of its work is done by native
 * code that they call: the compiler's threads took a quarter of the CPU time of a lab's first minute, on
 * cores that were busy already (ADR 0011). A tenfold wait is less than a second of code that is hot, and
 * leaves out what is merely lukewarm. Node 24 has a cheap compiler between, and 22 no flag that does it.
 */

import { setFlagsFromString } from "node:v8";

/** Bytes of bytecode that run before a function is looked at; the default is 132 KiB. */
const INTERRUPT_BUDGET_BYTES = 1_500_000;
const FIRST_NODE_WITHOUT = 22;

/**
 * The flag for a version of Node, if its V8 has one.
 * @param version as `process.versions.node`, e.g. `20.19.0`
 */
export function lateCompilationFlag(version: string): string | undefined {
  const major = Number.parseInt(version, 10);
  return major < FIRST_NODE_WITHOUT ? `--interrupt-budget=${INTERRUPT_BUDGET_BYTES}` : undefined;
}

/** Makes this process compile late; called once, before its service starts. */
export function compileLate(): void {
  const flag = lateCompilationFlag(process.versions.node);
  if (flag !== undefined) setFlagsFromString(flag);
}
