// Runs vitest with the given arguments under a deadline, ends what its tests left running, and
// prints "N passed, N failed, N skipped" as the last line. `--failed-before N` adds failures of
// earlier steps. Exits 0 only when nothing failed and nothing was left running.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const ROOT = join(import.meta.dirname, "..", "..");
/** Above the sum of all suites on two slow cores; a hang must not hold a CI machine for ever. */
const DEADLINE_MS = 45 * 60_000;
const MARK = "ANTIPODE_TEST_RUN";
/** A process that a test has told to end may need a moment; what is there after it was forgotten. */
const LEFTOVER_GRACE_MS = 3000;

let args = process.argv.slice(2);
let failedBefore = 0;
if (args[0] === "--failed-before") {
  failedBefore = Number(args[1]);
  args = args.slice(2);
}

const runId = randomUUID();
const reportPath = join(ROOT, ".cache", `vitest-${runId}.json`);
mkdirSync(join(ROOT, ".cache"), { recursive: true });

/** Runs vitest to its end; resolves to what went wrong beside failed tests, if anything. */
function runVitest() {
  const child = spawn(
    process.execPath,
    [
      join(ROOT, "node_modules", "vitest", "vitest.mjs"),
      "run",
      "--config",
      "test/vitest.config.ts",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${reportPath}`,
      ...args,
    ],
    { cwd: ROOT, env: { ...process.env, [MARK]: runId }, stdio: ["ignore", "inherit", "inherit"] },
  );
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    let trouble;
    const timer = setTimeout(() => {
      trouble = `vitest ended after ${DEADLINE_MS / 60_000} minutes`;
      child.kill("SIGKILL");
    }, DEADLINE_MS);
    child.on("error", (error) => {
      clearTimeout(timer);
      resolve(`vitest did not start: ${error.message}`);
    });
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0) trouble ??= `vitest ended with ${signal ?? `status ${code}`}`;
      resolve(trouble);
    });
  });
}

/** Sums up vitest's report. A file that does not even load has no test results: one failure. */
function countResults() {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const report = JSON.parse(readFileSync(reportPath, "utf8"));
  for (const file of report.testResults) {
    let failedHere = 0;
    for (const { status } of file.assertionResults) {
      if (status === "passed") counts.passed++;
      else if (status === "failed") failedHere++;
      else counts.skipped++;
    }
    counts.failed += file.status === "failed" ? Math.max(1, failedHere) : failedHere;
  }
  return counts;
}

/** Processes that carry this run's mark, so were started by its tests. Linux only. */
function findLeftovers() {
  let entries;
  try {
    entries = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return entries.flatMap((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`${MARK}=${runId}`)) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return command === "" ? [] : [{ pid: Number(pid), command }];
    } catch {
      return []; // ended meanwhile, or another user's
    }
  });
}

const trouble = await runVitest();
let counts;
try {
  counts = countResults();
} catch {
  counts = { passed: 0, failed: 1, skipped: 0 };
}
rmSync(reportPath, { force: true });
const graceEndMs = performance.now() + LEFTOVER_GRACE_MS;
while (findLeftovers().length > 0 && performance.now() < graceEndMs) await delay(100);
for (const { pid, command } of findLeftovers()) {
  console.log(`test: left running, ended now: ${pid} ${command.slice(0, 160)}`);
  counts.failed++;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Ended by itself meanwhile.
  }
}
if (trouble !== undefined && counts.failed === 0) {
  console.log(`test: ${trouble}`);
  counts.failed = 1;
}
if (failedBefore > 0) console.log("test: the check of the source failed, see above");
counts.failed += failedBefore;
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 ? 1 : 0;
