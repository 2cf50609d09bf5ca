/**
 * A bounded budget (bytes, slots) that is handed out first come, first served, and can be shut for
 * good: then everybody who waits, and everybody who comes, gets the reason.
 */

import { assert } from "../../base/assert.ts";

/** A budget; take before the work, give back after it. */
export interface Gate {
  /**
   * Resolves when so much of the budget is free. An amount above the whole budget waits for all of it.
   * @throws the error that the gate was shut with
   */
  take(amount: number): Promise<void>;
  give(amount: number): void;
  /** Idempotent; the first reason counts. */
  shut(reason: Error): void;
}

/** A gate with a budget of `total`. */
export function createGate(total: number): Gate {
  let free = total;
  let shutReason: Error | undefined;
  const waiting: { amount: number; resolve: () => void; reject: (reason: Error) => void }[] = [];

  const admit = (): void => {
    for (let next = waiting[0]; next !== undefined && next.amount <= free; next = waiting[0]) {
      waiting.shift();
      free -= next.amount;
      next.resolve();
    }
  };

  return {
    take(amount) {
      if (shutReason !== undefined) return Promise.reject(shutReason);
      const wanted = Math.min(amount, total);
      return new Promise((resolve, reject) => {
        waiting.push({ amount: wanted, resolve, reject });
        admit();
      });
    },
    give(amount) {
      free += Math.min(amount, total);
      assert(free <= total, "no more is given back than was taken");
      admit();
    },
    shut(reason) {
      shutReason ??= reason;
      for (const { reject } of waiting.splice(0)) reject(shutReason);
    },
  };
}

/** Waits until all are settled, then throws the first failure, in their order, if there was one. */
export async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work))
    if (result.status === "rejected") throw result.reason;
}
