/** A queue between a pushing and a pulling side, with an end or a failure after its items. */

import { assert } from "../../services/base/assert.ts";

/** How a queue ends: well, or with the error that the puller gets. */
interface QueueEnd {
  readonly error: Error | undefined;
}

interface Puller<T> {
  readonly resolve: (item: T | undefined) => void;
  readonly reject: (error: Error) => void;
}

export class FakeQueue<T extends object> {
  readonly #items: T[] = [];
  #end: QueueEnd | undefined;
  #puller: Puller<T> | undefined;
  readonly #onTaken: () => void;

  /** @param onTaken called each time the puller took an item */
  constructor(onTaken: () => void) {
    this.#onTaken = onTaken;
  }

  push(item: T): void {
    if (this.#end !== undefined) return;
    const puller = this.#puller;
    if (puller === undefined) {
      this.#items.push(item);
      return;
    }
    this.#puller = undefined;
    this.#onTaken();
    puller.resolve(item);
  }

  /** No more items. With an error, what was not yet pulled is dropped, as a broken stream drops it. */
  end(error?: Error): void {
    if (error !== undefined) this.#items.length = 0;
    if (this.#end === undefined || error !== undefined) this.#end = { error };
    const puller = this.#puller;
    this.#puller = undefined;
    if (error === undefined) puller?.resolve(undefined);
    else puller?.reject(error);
  }

  /** The next item, `undefined` after the last one; rejects when the queue broke. One at a time. */
  pull(): Promise<T | undefined> {
    assert(this.#puller === undefined, "a queue has one puller");
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#onTaken();
      return Promise.resolve(item);
    }
    if (this.#end?.error !== undefined) return Promise.reject(this.#end.error);
    if (this.#end !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#puller = { resolve, reject };
    });
  }
}
