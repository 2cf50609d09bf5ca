/** Injects the faults of a schedule at their times, and ends all of them. */

import { createPrng } from "../../services/base/prng.ts";
import { faultClasses } from "./config.ts";
import { inject } from "./faults.ts";
import type { OpenFault, Recorder } from "./record.ts";
import type { PlannedFault } from "./replay/schedule.ts";
import type { World } from "./world/world.ts";

export class Strikes {
  readonly #world: World;
  readonly #recorder: Recorder;
  /** Ends of what is not ended yet. */
  readonly #open = new Map<OpenFault, () => void>();
  #left: readonly PlannedFault[];
  /** Of the time with faults so far. */
  #passedMs = 0;

  constructor(world: World, recorder: Recorder, schedule: readonly PlannedFault[]) {
    this.#world = world;
    this.#recorder = recorder;
    this.#left = schedule;
  }

  /** Lets the time with faults go on until so much of it has passed, and strikes. */
  async passTo(endMs: number): Promise<void> {
    const { clock } = this.#world;
    const beginMs = clock.now() - this.#passedMs;
    const pass = (ms: number): Promise<unknown> =>
      clock.tick(Math.max(0, beginMs + ms - clock.now()));
    const due = this.#left.filter(({ atMs }) => atMs < endMs);
    this.#left = this.#left.slice(due.length);
    for (const fault of due) {
      await pass(fault.atMs);
      this.#injectOne(fault);
    }
    await pass(endMs);
    this.#passedMs = endMs;
  }

  /** Ends every fault. */
  endAll(): void {
    for (const end of [...this.#open.values()]) end();
  }

  #injectOne({ kind, lastsMs, seed }: PlannedFault): void {
    const world = this.#world;
    const injected = inject(world, kind, createPrng(seed));
    const { what, sites, link } = injected;
    world.trace.event("world", kind, what);
    this.#recorder.count(`${injected.isSpared === true ? "spared" : "fault"} ${kind}`);
    if (injected.isSpared === true) return;
    const fault: OpenFault = {
      ...{ kind: faultClasses[kind], what: `${kind} ${what}`, sites, link },
      ...{ from: this.#recorder.instant(), until: undefined },
    };
    this.#recorder.faults.push(fault);
    const endOnce = (): void => {
      if (!this.#open.delete(fault)) return;
      injected.end();
      fault.until = this.#recorder.instant();
    };
    this.#open.set(fault, endOnce);
    if (injected.over === undefined) world.clock.after(lastsMs, endOnce);
    // A bug in its steps is nobody's to handle: it fails the run (complaints.ts).
    else void injected.over.then(endOnce);
  }
}
