/** A bounded queue between a pushing and a pulling side, with an end or a failure after its items. */

/** How a queue ends: well, or with the error that the puller gets. */
export interface QueueEnd {
  readonly error: Error | undefined;
}

export class FakeQueue<T> {
  readonly #items: T[] = [];
  #end: QueueEnd | undefined;
  #wakePuller: (() => void) | undefined;
  readonly #onTaken: () => void;

  /** @param onTaken called each time the puller took an item */
  constructor(onTaken: () => void) {
    this.#onTaken = onTaken;
  }

  push(item: T): void {
    if (this.#end !== undefined) return;
    this.#items.push(item);
    this.#wake();
  }

  /** No more items. With an error, what was not yet pulled is dropped, as a broken stream drops it. */
  end(error?: Error): void {
    if (error !== undefined) this.#items.length = 0;
    if (this.#end === undefined || error !== undefined) this.#end = { error };
    this.#wake();
  }

  async *pull(): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#onTaken();
        yield item;
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wakePuller = resolve;
        });
      }
    }
  }

  #wake(): void {
    this.#wakePuller?.();
    this.#wakePuller = undefined;
  }
}
