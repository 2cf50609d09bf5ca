/**
 * Data of recent records, within one budget for all vDisks: the oldest go first. Only a cache: what
 * is not here any more is read back from the journal.
 */

import type { Held } from "./held.ts";

/** The queue is swept when records that went by themselves are most of it. */
const SWEEP_MIN = 1024;

export class Recent {
  readonly #bytesMax: number;
  #queue: Held[] = [];
  #head = 0;
  #bytes = 0;
  #goneCount = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Keeps the data of a record that was just synced, and forgets older ones beyond the budget. */
  add(held: Held): void {
    if (held.data === undefined || held.dataLength === 0) return;
    this.#queue.push(held);
    this.#bytes += held.dataLength;
    while (this.#bytes > this.#bytesMax) {
      const oldest = this.#queue[this.#head++];
      if (oldest === undefined) break;
      if (oldest.isReleased) this.#goneCount -= 1;
      else this.#bytes -= oldest.dataLength;
      oldest.data = undefined;
    }
    this.#sweep();
  }

  /** The record was released: call it once, before its data are dropped. */
  release(held: Held): void {
    if (held.data === undefined || held.dataLength === 0) return;
    this.#bytes -= held.dataLength;
    this.#goneCount += 1;
    held.data = undefined;
    this.#sweep();
  }

  #sweep(): void {
    if (this.#head + this.#goneCount < SWEEP_MIN) return;
    if ((this.#head + this.#goneCount) * 2 < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head).filter((held) => !held.isReleased);
    this.#head = 0;
    this.#goneCount = 0;
  }
}
