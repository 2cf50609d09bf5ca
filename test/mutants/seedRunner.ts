/**
 * Runs seeds in a process of its own and follows what it prints. A seed without an end (a planted bug may
 * loop for ever) has its process ended and is left out; that is not how a bug counts as found, because how
 * long a seed takes is the machine's matter.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { parseSeedLine, type SeedLine, type Violation } from "./seedLine.ts";

/** A seed takes seconds; three minutes on a machine that others use are no seed's length. */
const SEED_WALL_MS_MAX = 180_000;
const HEAP_MIB_MAX = 3072;
/** Seeds without an end, after which a mutant is given up. */
const STUCK_MAX = 3;
const clock = createClock();

/** The seeds of one mutant, or of the code as it is. */
export interface SeedsWanted {
  /** Built `runSeeds.ts`. */
  readonly program: string;
  readonly from: number;
  readonly to: number;
  readonly promises: readonly string[];
  /** Seeds without these are passed over. */
  readonly needs: readonly string[];
  /** Told of every seed that was run. */
  readonly onSeed: (line: SeedLine) => void;
}

/** How a search ended. */
export interface SeedsRun {
  readonly found: { readonly seed: number; readonly violation: Violation } | undefined;
  /** Seeds that had no end. */
  readonly stuck: readonly number[];
  /** Highest seed that was run. */
  readonly lastSeed: number;
}

/** Runs seeds until one violates one of the promises, or all were run. */
export async function runSeeds(wanted: SeedsWanted): Promise<SeedsRun> {
  const stuck: number[] = [];
  let lastSeed = wanted.from - 1;
  while (lastSeed < wanted.to && stuck.length < STUCK_MAX) {
    const lines: SeedLine[] = [];
    const isStuck = await follow({ ...wanted, from: lastSeed + 1 }, (line) => {
      lines.push(line);
      wanted.onSeed(line);
    });
    const last = lines.at(-1);
    lastSeed = last?.seed ?? lastSeed;
    const violation = last?.violated.find(({ promise }) => wanted.promises.includes(promise));
    if (violation !== undefined) return { found: { seed: lastSeed, violation }, stuck, lastSeed };
    if (!isStuck) continue;
    lastSeed += 1;
    stuck.push(lastSeed);
  }
  return { found: undefined, stuck, lastSeed };
}

/** @returns true when a seed took too long and its process was ended */
async function follow(wanted: SeedsWanted, onLine: (line: SeedLine) => void): Promise<boolean> {
  const { program, from, to, promises, needs } = wanted;
  const child = spawn(
    process.execPath,
    [
      `--max-old-space-size=${HEAP_MIB_MAX}`,
      program,
      String(from),
      String(to),
      promises.join(),
      ...needs,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let isStuck = false;
  let lines = 0;
  const end = (): void => void child.kill("SIGKILL");
  const onTooLong = (): void => {
    isStuck = true;
    end();
  };
  let timer = clock.after(SEED_WALL_MS_MAX, onTooLong);
  process.on("exit", end);
  try {
    const ended = exitOf(child);
    for await (const text of createInterface({ input: child.stdout })) {
      timer.cancel();
      timer = clock.after(SEED_WALL_MS_MAX, onTooLong);
      lines += 1;
      onLine(parseSeedLine(text));
    }
    const status = await ended;
    // A process that dies (out of memory, an exception outside of the world) is no seed's verdict either.
    if (status !== 0) isStuck = true;
    if (status === 0 && lines === 0) throw new Error("the process of the seeds said nothing");
    return isStuck;
  } finally {
    timer.cancel();
    process.off("exit", end);
  }
}

function exitOf(child: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => {
      resolve(code ?? undefined);
    });
  });
}
