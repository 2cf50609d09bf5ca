/**
 * What the parts of a drill share: the lab and its world, names and sizes of the vDisks, and the
 * record of what happened and what was checked.
 */

import { MIB } from "../../base/units.ts";
import type { UpReport } from "../../lab/index.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Context } from "../command.ts";
import type { Progress } from "../progress.ts";
import type { Check, TimelineEntry } from "./drillReport.ts";
import type { ImageSource } from "./imageSource.ts";
import type { LabKeeper } from "./labKeeper.ts";
import { SiteActions } from "./siteActions.ts";

export const PD = "drill";
export const DISK = "disk";
/** Two vDisks, so that the cut has to hold across owners. */
export const LEDGERS = ["ledger-1", "ledger-2"] as const;
export const LEDGER_BYTES = 64 * MIB;
/** How often something that changes is asked for. */
export const POLL_MS = 100;

export interface DrillWorld {
  readonly context: Context;
  readonly up: UpReport;
  readonly keeper: LabKeeper;
  readonly progress: Progress;
  readonly image: ImageSource;
  /** Absolute path of a folder outside the lab: history of the writer, copy of the disk. */
  readonly workFolder: string;
}

/** A drill under way. */
export class DrillRun {
  readonly world: DrillWorld;
  readonly actions: SiteActions;
  readonly timeline: TimelineEntry[] = [];
  readonly checks: Check[] = [];
  readonly #startedMs: number;

  constructor(world: DrillWorld) {
    this.world = world;
    this.actions = new SiteActions(world.context, world.up.open);
    this.#startedMs = this.clock.now() - world.up.upMs;
  }

  get clock(): Clock {
    return this.world.context.world.clock;
  }

  /** Since `lab up` was begun. */
  get elapsedMs(): number {
    return Math.round(this.clock.now() - this.#startedMs);
  }

  /** Puts something on the time line and tells it. */
  note(what: string): void {
    const atMs = this.elapsedMs;
    this.timeline.push({ atMs, what });
    this.world.progress.line(`[${(atMs / 1000).toFixed(1).padStart(5)} s] ${what}`);
  }

  /** @param found what was there instead, for when it does not hold */
  check(what: string, held: boolean, found: string): void {
    this.checks.push({ what, held, found });
    if (!held) this.world.progress.line(`        FAIL ${what}: ${found}`);
  }

  /** Lets time pass, unless the drill is stopped. */
  async pass(delayMs: number): Promise<void> {
    await this.clock.sleep(delayMs, this.world.context.signal);
  }
}
