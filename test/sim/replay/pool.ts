/**
 * Who runs cases: this process, one after the other, or child processes side by side. The answers are
 * the same, since nothing in a run depends on where it runs.
 */

import { type ChildProcess, fork } from "node:child_process";
import { type Case, runCase, type Trial } from "./trial.ts";

/** The argument that makes main.ts a child of a pool. */
export const WORKER_ARGUMENT = "--worker";

/**
 * As scripts/sim has them. Most of what a world makes dies young: with room for it the collector takes a
 * tenth of a run less.
 */
const CHILD_FLAGS = ["--enable-source-maps", "--max-semi-space-size=64"];

export interface Pool {
  /** Cases that it runs at a time. */
  readonly width: number;
  run(one: Case, isTwice: boolean): Promise<Trial>;
  /** Ends its processes. */
  close(): void;
}

interface Order {
  readonly case: Case;
  readonly isTwice: boolean;
}

/** Runs in this process. */
export function ownPool(): Pool {
  return {
    width: 1,
    run: (one, isTwice) => runCase(one, { isTwice }),
    close: () => undefined,
  };
}

/**
 * Runs in child processes.
 * @param program main.ts as it was started
 */
export function childPool(program: string, jobs: number): Pool {
  const all = Array.from({ length: jobs }, () => startChild(program));
  const free = [...all];
  const waiting: ((child: ChildProcess) => void)[] = [];
  const take = async (): Promise<ChildProcess> =>
    free.pop() ?? (await new Promise((resolve) => waiting.push(resolve)));
  return {
    width: jobs,
    async run(one, isTwice) {
      const child = await take();
      const trial = await ask(child, { case: one, isTwice });
      const next = waiting.shift();
      if (next === undefined) free.push(child);
      else next(child);
      return trial;
    },
    close() {
      for (const child of all) child.kill();
    },
  };
}

function startChild(program: string): ChildProcess {
  return fork(program, [WORKER_ARGUMENT], { serialization: "advanced", execArgv: CHILD_FLAGS });
}

/** A child that ends instead of answering has met a bug of the simulator itself. */
function ask(child: ChildProcess, order: Order): Promise<Trial> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => {
      const { seed } = order.case.config;
      reject(new Error(`the process that ran seed ${seed} ended with ${code ?? "a signal"}`));
    };
    child.once("exit", onExit);
    child.once("message", (trial) => {
      child.off("exit", onExit);
      resolve(trial as Trial);
    });
    child.send(order);
  });
}

/** The other end: runs what the parent sends until the parent is gone. */
export function serveParent(): void {
  process.on("message", (order) => {
    const { case: one, isTwice } = order as Order;
    void runCase(one, { isTwice }).then((trial) => process.send?.(trial));
  });
  process.on("disconnect", () => process.exit(0));
}
