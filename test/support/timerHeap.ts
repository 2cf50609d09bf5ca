/**
 * Pending timers of a virtual clock in order of their due time, then of their creation: a binary heap.
 * A cancelled timer stays in it until it comes to the top, unless most of the heap is cancelled.
 */

export interface HeapTimer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
  /** Neither fired nor cancelled. */
  pending: boolean;
}

/** Below this many entries nothing is thrown out early. */
const SWEEP_MIN = 1024;

export class TimerHeap {
  #heap: HeapTimer[] = [];
  #cancelled = 0;

  /** Timers that have neither fired nor been cancelled. */
  get count(): number {
    return this.#heap.length - this.#cancelled;
  }

  push(timer: HeapTimer): void {
    this.#heap.push(timer);
    this.#up(this.#heap.length - 1);
  }

  /** Harmless when the timer has fired or was cancelled before. */
  cancel(timer: HeapTimer): void {
    if (!timer.pending) return;
    timer.pending = false;
    this.#cancelled += 1;
    if (this.#heap.length < SWEEP_MIN || this.#cancelled * 2 < this.#heap.length) return;
    // A sorted array is a heap.
    this.#heap = this.#heap.filter((one) => one.pending).sort(byDue);
    this.#cancelled = 0;
  }

  /** The next timer to fire; it stays. */
  peek(): HeapTimer | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || top.pending) return top;
      this.#removeTop();
      this.#cancelled -= 1;
    }
  }

  /** Takes the next timer out. */
  take(): HeapTimer | undefined {
    const top = this.peek();
    if (top === undefined) return undefined;
    this.#removeTop();
    top.pending = false;
    return top;
  }

  #removeTop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down();
  }

  #up(from: number): void {
    for (let at = from; at > 0; ) {
      const above = (at - 1) >> 1;
      if (!this.#isBefore(at, above)) return;
      this.#swap(at, above);
      at = above;
    }
  }

  #down(): void {
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      if (left >= this.#heap.length) return;
      const below =
        left + 1 < this.#heap.length && this.#isBefore(left + 1, left) ? left + 1 : left;
      if (!this.#isBefore(below, at)) return;
      this.#swap(below, at);
      at = below;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    return x !== undefined && y !== undefined && byDue(x, y) < 0;
  }

  #swap(a: number, b: number): void {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    if (x === undefined || y === undefined) return;
    this.#heap[a] = y;
    this.#heap[b] = x;
  }
}

function byDue(a: HeapTimer, b: HeapTimer): number {
  return a.dueMs - b.dueMs || a.order - b.order;
}
