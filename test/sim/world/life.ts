/**
 * The life of one simulated process: it runs, is paused, goes on, dies. Every way in or out of a process
 * passes here, so that a dead one does nothing any more and a paused one nothing until it goes on:
 * then it finds everything that came meanwhile, in order, as after SIGCONT.
 *
 * L1 after `die` no callback of the process is called and no promise that it waits for settles.
 * L2 while paused the same holds, but nothing is lost.
 * L3 a bug (an exception that nothing catches) ends the process, and is told.
 * L4 when the trace is full every process is as if dead: a loop without end runs dry.
 */

import type { Trace } from "../trace.ts";
import type { WorldTap } from "./tap.ts";

/** What `pass` and `enter` are told of: the kind of step, and of what. */
type What = string;

export class Life {
  readonly name: string;
  /** Who is shown what crosses the process's border. */
  readonly tap: WorldTap | undefined;
  readonly #trace: Trace;
  readonly #onBug: (error: unknown) => void;
  #state: "running" | "paused" | "dead" = "running";
  #held: (() => void)[] = [];
  #resumed: Promise<void> | undefined;
  #wake: () => void = () => undefined;
  #steps = 0;
  #strike: { readonly step: number; readonly act: () => void } | undefined;

  constructor(name: string, trace: Trace, onBug: (error: unknown) => void, tap?: WorldTap) {
    this.name = name;
    this.tap = tap;
    this.#trace = trace;
    this.#onBug = onBug;
  }

  get isDead(): boolean {
    return this.#state === "dead" || this.#trace.isFull;
  }

  get isPaused(): boolean {
    return this.#state === "paused";
  }

  /** Steps taken: operations that the process waited for. */
  get steps(): number {
    return this.#steps;
  }

  die(): void {
    this.#state = "dead";
    this.#held = [];
  }

  pause(): void {
    if (this.#state !== "running") return;
    this.#state = "paused";
    this.#resumed = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const held = this.#held;
    this.#held = [];
    for (const callback of held) this.#call(callback);
    this.#wake();
  }

  /** `act` is called when the process has taken so many more steps: it dies or is paused at that await. */
  strikeAfter(steps: number, act: () => void): void {
    this.#strike = { step: this.#steps + steps, act };
  }

  /** What `strikeAfter` ordered will not happen. */
  spare(): void {
    this.#strike = undefined;
  }

  /** Something from outside calls into the process. */
  enter(what: What, callback: () => void): void {
    if (this.isDead) return;
    if (this.#state === "paused") {
      this.#held.push(callback);
      return;
    }
    this.#trace.event(this.name, what);
    this.#call(callback);
  }

  /**
   * The process waits for something outside of it. `act` is called in the same turn, so that the order
   * in which a process asks is kept, also while it is paused: its last turn is not cut in two.
   */
  pass<T>(what: What, detail: string, act: () => Promise<T>): Promise<T> {
    if (!this.isDead) {
      this.#steps += 1;
      this.#trace.event(this.name, what, detail);
      if (this.#strike !== undefined && this.#steps >= this.#strike.step) {
        const { act: strike } = this.#strike;
        this.#strike = undefined;
        strike();
      }
    }
    return this.isDead ? never() : this.#settled(act());
  }

  /** Something from outside asks the process to work. An exception that is a bug ends it (L3). */
  work<T>(what: What, isBug: (error: unknown) => boolean, act: () => Promise<T>): Promise<T> {
    if (this.#state === "paused") return this.#running().then(() => this.work(what, isBug, act));
    if (this.isDead) return never();
    this.#trace.event(this.name, what);
    return this.#settled(this.#watched(isBug, act));
  }

  async #watched<T>(isBug: (error: unknown) => boolean, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (this.#state !== "dead" && isBug(error)) this.#onBug(error);
      throw error;
    }
  }

  #call(callback: () => void): void {
    if (this.#state === "dead") return;
    if (this.#state === "paused") {
      this.#held.push(callback);
      return;
    }
    try {
      callback();
    } catch (error) {
      this.#onBug(error);
    }
  }

  /** Nothing more than one promise where the process runs: this is passed more often than anything else. */
  #settled<T>(work: Promise<T>): Promise<T> {
    return work.then(
      (value) => (this.#state === "running" ? value : this.#running().then(() => value)),
      (error: unknown) => {
        if (this.#state === "running") throw error;
        return this.#running().then(() => {
          throw error;
        });
      },
    );
  }

  async #running(): Promise<void> {
    while (this.#state === "paused") await this.#resumed;
    if (this.#state === "dead") await never();
  }
}

function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}
