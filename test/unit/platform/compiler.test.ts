/** The flag that makes V8 optimize late is one that this Node knows, and does what it says. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { lateCompilationFlag } from "../../../services/platform/adapters/compiler.ts";

const run = promisify(execFile);
const own = lateCompilationFlag(process.versions.node);

/** Some thousand calls of a function of a few bytes of bytecode. */
const LUKEWARM =
  "function lukewarm(n) { let sum = 0; for (let i = 0; i < 8; i++) sum += i * n; return sum; }" +
  "let all = 0; for (let i = 0; i < 5000; i++) all += lukewarm(i);";

/** Whether V8's optimizing compiler took `lukewarm` up. */
async function isOptimized(...flags: readonly string[]): Promise<boolean> {
  const { stdout } = await run(process.execPath, [...flags, "--trace-opt", "-e", LUKEWARM]);
  return /completed optimizing .*lukewarm.*TURBOFAN/.test(stdout);
}

it.runIf(own !== undefined)("leaves alone what V8 would optimize by default", async () => {
  expect(await isOptimized()).toBe(true);
  expect(await isOptimized(own ?? "")).toBe(false);
});

it.each([
  ["20.19.0", "--interrupt-budget=1500000"],
  ["22.0.0", undefined],
  ["24.1.0", undefined],
])("chooses for Node %s what its V8 has", (version, flag) => {
  expect(lateCompilationFlag(version)).toBe(flag);
});
