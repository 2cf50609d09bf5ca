/**
 * The life of a simulated process: it can be killed or frozen before or after any of its steps, where a
 * step is a call to etcd or to another process; and its ports, which take those steps.
 */

import type { Clock } from "../../../services/platform/clock.ts";
import type { Coordinator } from "../../../services/platform/coordinator.ts";
import type { Rpc, RpcClient } from "../../../services/platform/rpc.ts";

/**
 * What befalls a Cerebro at a step: it is killed before the step is taken, or after it happened and
 * before its answer is seen, or it is frozen before the step for longer than a lease and then goes on.
 */
export type StepMoment = "before" | "after" | "frozen";

/** Longer than the lease: another leads when the frozen one wakes up. */
const FREEZE_MS = 6000;

/** A process that can be ended between two steps: what it waits for never comes. */
export class Lifeline {
  alive = true;
  struck = false;
  steps = 0;
  /** While frozen: resolves when it goes on. */
  thaw: Promise<void> | undefined;
  #strikeAt: { step: number; moment: StepMoment } | undefined;
  readonly #clock: Clock;
  readonly #onKill: () => void;

  constructor(clock: Clock, onKill: () => void) {
    this.#clock = clock;
    this.#onKill = onKill;
  }

  arm(step: number, moment: StepMoment): void {
    this.#strikeAt = { step: this.steps + step, moment };
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#onKill();
  }

  #freeze(): void {
    this.thaw = new Promise((resolve) => {
      this.#clock.after(FREEZE_MS, () => {
        this.thaw = undefined;
        resolve();
      });
    });
  }

  /** Passes when the process runs; never when it is dead. */
  async #running(): Promise<void> {
    while (this.thaw !== undefined) await this.thaw;
    if (!this.alive) await never();
  }

  async step<T>(act: () => Promise<T>): Promise<T> {
    await this.#running();
    this.steps += 1;
    const due = this.#strikeAt?.step === this.steps ? this.#strikeAt.moment : undefined;
    if (due !== undefined) this.struck = true;
    if (due === "before") this.kill();
    if (due === "frozen") this.#freeze();
    await this.#running();
    try {
      return await act();
    } finally {
      if (due === "after") this.kill();
      await this.#running();
    }
  }
}

const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** The clock of a process that can be killed or frozen. */
export function killableClock(clock: Clock, life: Lifeline): Clock {
  return {
    ...clock,
    after: (delayMs, callback) =>
      clock.after(delayMs, () => {
        const wait = life.thaw;
        if (wait === undefined) {
          if (life.alive) callback();
        } else void wait.then(callback);
      }),
    sleep: async (delayMs, signal) => {
      await clock.sleep(delayMs, signal);
      while (life.thaw !== undefined) await life.thaw;
      if (!life.alive) await never();
    },
  };
}

/** Only what decides is a step: the lease's own calls would make the count depend on time. */
export function steppedCoordinator(inner: Coordinator, life: Lifeline): Coordinator {
  return {
    get: (key) => life.step(() => inner.get(key)),
    list: (prefix) => life.step(() => inner.list(prefix)),
    transact: (transaction) => life.step(() => inner.transact(transaction)),
    watch: (prefix, from, handlers) => inner.watch(prefix, from, handlers),
    grantLease: (ttlMs) => inner.grantLease(ttlMs),
    renewLease: (id) => inner.renewLease(id),
    revokeLease: (id) => inner.revokeLease(id),
    close: () => inner.close(),
  };
}

/** Each unary call is a step. */
export function steppedRpc(inner: Rpc, life: Lifeline): Rpc {
  return {
    connect(address): RpcClient {
      const client = inner.connect(address);
      return {
        ...client,
        address: client.address,
        unary: (method, request, options) =>
          life.step(() => client.unary(method, request, options)),
        stream: (method) => client.stream(method),
        close: () => {
          client.close();
        },
      };
    },
    serve: (address, bindings) => inner.serve(address, bindings),
    close: () => {
      inner.close();
    },
  };
}
