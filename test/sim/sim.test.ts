/**
 * The simulator over a set of seeds (P1 to P5, P7 to P9), each twice: every invariant holds, a seed gives one
 * execution, and the set as a whole has seen what it is there to see.
 *
 * The worlds run as `scripts/sim` runs them: built, in as many processes as the machine has cores. The
 * set is a number of seeds and never a time, so a slow machine takes longer and finds the same.
 */

import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { drawConfig } from "./config.ts";
import { SEEDS_FEW } from "./coverage/sometimes.ts";
import { childPool } from "./replay/pool.ts";
import { Summary } from "./replay/summary.ts";
import { drawnCase, violationText } from "./replay/trial.ts";

const SEEDS = Number(process.env["ANTIPODE_SEEDS"] ?? 300);
const FIRST_SEED = Number(process.env["ANTIPODE_SEED"] ?? 1);
/** Most worlds are short, for more of them; one in ten has the time that a seed has by default. */
const SHORT_MS = 5000;
const LONG_MS = 20_000;
const LONG_EVERY = 10;
/** Guards against a hang of the test itself only: a world that does not end fails by its number of events. */
const HANG_MS = 40 * 60_000;
const ROOT = join(import.meta.dirname, "..", "..");

const untilMsOf = (seed: number): number => (seed % LONG_EVERY === 0 ? LONG_MS : SHORT_MS);

describe("simulated worlds", () => {
  const summary = new Summary();

  beforeAll(async () => {
    // Builds the simulator when it is stale.
    await promisify(execFile)("bash", [join(ROOT, "scripts", "sim"), "--help"]);
  }, HANG_MS);

  it(
    "keep their promises under faults, and one seed is one execution (P1, P2, P3, P4, P5, P7, P8, P9)",
    async () => {
      const pool = childPool(join(ROOT, ".cache/sim/test/sim/main.js"), availableParallelism());
      const runSeed = async (seed: number): Promise<readonly string[]> => {
        const untilMs = untilMsOf(seed);
        const trial = await pool.run(drawnCase(drawConfig(seed, untilMs)), true);
        summary.add(trial);
        const again = `scripts/sim --seed ${seed} --until ${untilMs} --twice`;
        return trial.violations.map((one) => `${again}: ${violationText(one)}`);
      };
      try {
        const problems = await Promise.all(
          Array.from({ length: SEEDS }, (_, index) => runSeed(FIRST_SEED + index)),
        );
        expect(problems.flat()).toEqual([]);
      } finally {
        pool.close();
        process.stdout.write(`${summary.lines().join("\n")}\n`);
      }
    },
    HANG_MS,
  );

  it.runIf(SEEDS >= SEEDS_FEW)("have seen what they are there to see", () => {
    expect(summary.never).toEqual([]);
    expect(summary.vacuousPromises).toEqual([]);
  });

  it("have reached nothing that is listed as unreachable", () => {
    expect(summary.coverage.wrongs).toEqual([]);
  });
});
