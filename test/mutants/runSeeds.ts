/**
 * A process that runs seeds of the simulator in order over whatever code it was built from, and prints what
 * was violated, a line of JSON a seed, so that whoever started it can watch, and end it when a seed has no end.
 *
 *   node runSeeds.js FROM TO PROMISES [NEED ...]
 *
 * Ends after the first seed that violates one of the promises (P1,P9); passes over seeds that lack a need (needs.ts).
 */

import { drawConfig } from "../sim/config.ts";
import { runConfig } from "../sim/run.ts";
import { hasAll } from "./needs.ts";
import type { SeedLine } from "./seedLine.ts";

const [fromText = "1", toText = "1", promisesText = "", ...needs] = process.argv.slice(2);
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
    passedOver: false,
  });
  process.exit(0);
});

for (; seed <= Number(toText); seed++) {
  const config = drawConfig(seed);
  if (!hasAll(config, needs)) {
    print({ seed, violated: [], passedOver: true });
    continue;
  }
  const { verdicts } = await runConfig(config);
  const violated = verdicts
    .filter(({ verdict }) => verdict === "violated")
    .map(({ promise, name, text }) => ({ promise, name, text }));
  print({ seed, violated, passedOver: false });
  if (violated.some(({ promise }) => promises.includes(promise))) break;
}
process.exit(0);
