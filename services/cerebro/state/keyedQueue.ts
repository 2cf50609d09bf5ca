/**
 * One at a time per key: the leader does one thing to a protection domain at once. Bounded: when too
 * many wait, the next is refused.
 */

import { AntipodeError } from "../../base/errors.ts";

export class KeyedQueue {
  readonly #waitingMax: number;
  readonly #tails = new Map<string, { tail: Promise<void>; count: number }>();

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /**
   * Runs `work` when everything queued before under the key has ended.
   * @throws AntipodeError `OVERLOADED` when too many wait; else what `work` throws
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const line = this.#tails.get(key) ?? { tail: Promise.resolve(), count: 0 };
    if (line.count >= this.#waitingMax)
      throw new AntipodeError("OVERLOADED", `too many requests wait for ${key}`, { key });
    this.#tails.set(key, line);
    line.count += 1;
    const turn = line.tail;
    const result = turn.then(work);
    line.tail = result.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await result;
    } finally {
      line.count -= 1;
      if (line.count === 0) this.#tails.delete(key);
    }
  }
}
