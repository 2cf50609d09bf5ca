/** Faults as values: whoever injects one gets the way to end it. Ending twice is harmless. */

/** Ends a fault; what it did meanwhile stays done unless the fault says otherwise. */
export type Undo = () => void;

/** Faults that are on, by the plan that each follows, to be ended one by one or all at once. */
export class FaultSet<T> {
  readonly #active = new Map<symbol, T>();
  /** What `all` gives, until a fault comes or goes: it is asked at every operation. */
  #list: readonly T[] = [];

  /** Turns a fault on. @param onEnd called once, when it ends */
  add(fault: T, onEnd: () => void = () => undefined): Undo {
    const id = Symbol("fault");
    this.#active.set(id, fault);
    this.#list = [...this.#active.values()];
    this.#ends.set(id, onEnd);
    return () => {
      this.#end(id);
    };
  }

  /** In the order in which they were turned on. */
  all(): readonly T[] {
    return this.#list;
  }

  get isEmpty(): boolean {
    return this.#active.size === 0;
  }

  undoAll(): void {
    for (const id of [...this.#active.keys()]) this.#end(id);
  }

  readonly #ends = new Map<symbol, () => void>();

  #end(id: symbol): void {
    const onEnd = this.#ends.get(id);
    if (!this.#active.delete(id)) return;
    this.#list = [...this.#active.values()];
    this.#ends.delete(id);
    onEnd?.();
  }
}
