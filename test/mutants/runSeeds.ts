/**
 * A process that runs seeds of the simulator in order over whatever code it was built from, and prints what
 * was violated, a line of JSON a seed, so that whoever started it can watch, and end it when a seed has no end.
 *
 *   node runSeeds.js FROM TO [P1,P9]    ends after the first seed that violates one of these promises
 */

import { drawConfig } from "../sim/config.ts";
import { runConfig } from "../sim/run.ts";
import type { SeedLine } from "./seedLine.ts";

const [fromText = "1", toText = "1", promisesText = ""] = process.argv.slice(2);
const promises = promisesText.split(",");
let seed = Number(fromText);

function print(line: SeedLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// Outside of every simulated process: in production it would have ended one.
process.on("unhandledRejection", (error) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  print({
    seed,
    violated: [{ promise: "P9", name: "every failure has somebody who handles it", text }],
  });
  process.exit(0);
});

for (; seed <= Number(toText); seed++) {
  const { verdicts } = await runConfig(drawConfig(seed));
  const violated = verdicts
    .filter(({ verdict }) => verdict === "violated")
    .map(({ promise, name, text }) => ({ promise, name, text }));
  print({ seed, violated });
  if (violated.some(({ promise }) => promises.includes(promise))) break;
}
process.exit(0);
