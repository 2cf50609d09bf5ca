// Runs every check of the source: all `check:*` scripts of package.json, two at a time, the slow
// ones first. A check that passes prints one line, one that fails prints what it said.
// Names as arguments run a subset: `npm run check -- types biome`.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
/** A check that takes longer than this hangs: the whole set takes less than a minute. */
const CHECK_TIMEOUT_MS = 180_000;
const PARALLEL_MAX = Math.min(4, Math.max(2, availableParallelism()));
const PREFIX = "check:";

const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const known = Object.keys(scripts)
  .filter((key) => key.startsWith(PREFIX))
  .map((key) => key.slice(PREFIX.length));
const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (known.includes(name)) continue;
  console.error(`check: no check is called "${name}"; there are ${known.join(", ")}`);
  process.exit(2);
}

const env = {
  ...process.env,
  PATH: `${join(ROOT, "node_modules", ".bin")}${delimiter}${process.env.PATH}`,
  NO_COLOR: "1",
};

/** Resolves to true when the check passed. */
function run(name) {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    // Its own process group, so that a hanging check is ended with its children.
    const child = spawn("sh", ["-c", scripts[PREFIX + name]], {
      cwd: ROOT,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const output = [];
    child.stdout.on("data", (part) => output.push(part));
    child.stderr.on("data", (part) => output.push(part));
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      process.kill(-child.pid, "SIGKILL");
    }, CHECK_TIMEOUT_MS);
    running.add(child);
    child.on("close", (code) => {
      clearTimeout(timer);
      running.delete(child);
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      const passed = code === 0;
      console.log(`check ${name.padEnd(10)} ${passed ? "ok    " : "FAILED"} ${seconds} s`);
      if (timedOut) console.log(`  ended after ${CHECK_TIMEOUT_MS / 1000} s`);
      if (!passed) console.log(Buffer.concat(output).toString("utf8").trimEnd());
      resolve(passed);
    });
  });
}

const running = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const child of running) process.kill(-child.pid, "SIGKILL");
    process.exit(130);
  });
}

const queue = wanted.length > 0 ? wanted : known;
const failed = [];
let next = 0;
async function work() {
  while (next < queue.length) {
    const name = queue[next++];
    if (!(await run(name))) failed.push(name);
  }
}
await Promise.all(Array.from({ length: PARALLEL_MAX }, work));
if (failed.length > 0) {
  console.log(`check: ${failed.length} of ${queue.length} failed: ${failed.join(", ")}`);
  process.exitCode = 1;
} else {
  console.log(`check: all ${queue.length} passed`);
}
