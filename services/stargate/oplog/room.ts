/**
 * Room in a CVM's journal for its own owners: how much they may have on its way to the disk. An owner
 * that finds no room waits for some before it gives records their batch, so a slow disk slows its
 * writers down and nothing else (an owner that was refused would have to give its vDisk up).
 *
 * Batches of owners elsewhere do not wait here: the windows of their links bound them (limits.ts).
 */

import { assert } from "../../base/assert.ts";

export class Room {
  readonly #bytesMax: number;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "a journal has room");
    this.#bytesMax = bytesMax;
  }

  /**
   * `undefined` when so many bytes may be submitted in this turn: what fits, and anything when nothing
   * waits for the disk. Else a promise that resolves when it is worth asking again; it never rejects.
   */
  wait(bytes: number): Promise<void> | undefined {
    if (this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** So many bytes are on their way to the disk; call the result when they are there, or given up. */
  enter(bytes: number): () => void {
    this.#bytes += bytes;
    return () => {
      this.#bytes -= bytes;
      const woken = this.#waiting;
      this.#waiting = [];
      for (const resolve of woken) resolve();
    };
  }
}
