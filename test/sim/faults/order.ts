/**
 * A fault of several steps, each at its time: a small program of what strikes whom, with waits for the
 * world between them. Every step is an event of the trace, and everything that a step does is undone when
 * the order is over, whether it came to its end or everything was healed before.
 *
 * S1 after `end` no step is taken any more, and nothing that a step did is left on: no process is dead,
 *    frozen or cut off, no disk is slow, no clock is wrong because of it.
 */

import type { Prng } from "../../../services/base/prng.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import type { Undo } from "../../support/fakeFault.ts";
import type { CrashMode } from "../../support/fakeFile.ts";
import { pick } from "../config.ts";
import type { SimProcess } from "../world/process.ts";
import type { SimCvm, SimSite } from "../world/site.ts";
import type { World } from "../world/world.ts";
import { driftBy } from "./clocks.ts";
import { undoAll } from "./injection.ts";
import { type Cast, copiesOf, epochOf, ownerOf } from "./roles.ts";

/** How a CVM's Stargate is lost. */
export type Loss = "killed" | CrashMode;
/** Which way nothing passes between two CVMs, seen from the first. */
export type Direction = "out" | "in" | "both";

const LOSSES: readonly Loss[] = ["killed", "killed", "lost", "lost", "random", "tornTail"];
const WATCH_AGAIN_MS = 1;

export class Order {
  readonly prng: Prng;
  readonly site: SimSite;
  readonly cast: Cast;
  readonly #world: World;
  readonly #undos = new Set<Undo>();
  /** What is wrong with disks: gone when their machine starts again. */
  readonly #diskTroubles = new Map<SimCvm, Undo[]>();
  #isOver = false;

  constructor(world: World, prng: Prng, stage: { readonly site: SimSite; readonly cast: Cast }) {
    this.#world = world;
    this.prng = prng;
    this.site = stage.site;
    this.cast = stage.cast;
  }

  /** S1. */
  end(): void {
    this.#isOver = true;
    undoAll([...this.#undos]);
  }

  // ---- waits; one that the end overtakes never ends ----

  /** Until then; the length is drawn, short ones as often as long ones. */
  async pause(fromMs: number, toMs: number): Promise<void> {
    const forMs = fromMs * (toMs / fromMs) ** this.prng.unit();
    await this.#elapse(forMs);
  }

  /** Until another CVM is written down as the vDisk's owner than this one; at most so long. */
  takeover(from: SimCvm, limitMs: number): Promise<void> {
    const hasChanged = (): boolean => ownerOf(this.site, this.cast.vdisk) !== from;
    return this.until(siteKeys.owner(this.cast.vdisk), hasChanged, limitMs);
  }

  /** Until the CVM is not listed as one that has the vDisk's log; at most so long. */
  removal(of: SimCvm, limitMs: number): Promise<void> {
    const { vdisk } = this.cast;
    const isRemoved = (): boolean => !copiesOf(this.site, vdisk).includes(of);
    return this.until(siteKeys.owner(vdisk), isRemoved, limitMs);
  }

  /** Until the vDisk's owner record is another one; at most so long. */
  change(limitMs: number): Promise<void> {
    const { vdisk } = this.cast;
    const before = epochOf(this.site, vdisk);
    const hasChanged = (): boolean => epochOf(this.site, vdisk) !== before;
    return this.until(siteKeys.owner(vdisk), hasChanged, limitMs);
  }

  /** Until the condition holds, which changes below this prefix of etcd; at most so long. */
  async until(prefix: string, condition: () => boolean, limitMs: number): Promise<void> {
    const { clock } = this.#world;
    const untilMs = clock.now() + limitMs;
    while (!condition() && clock.now() < untilMs) {
      const { etcd } = this.site;
      const revision = etcd.core.keyspace.revision + 1;
      await new Promise<void>((resolve) => {
        const connection = etcd.connect();
        const onAnything = (): void => {
          done();
        };
        const watch = connection.watch(prefix, revision, {
          onEvents: onAnything,
          onCompacted: onAnything,
        });
        const timer = clock.after(Math.max(WATCH_AGAIN_MS, untilMs - clock.now()), onAnything);
        const close = this.#undo(() => {
          watch.cancel();
          timer.cancel();
          void connection.close();
        });
        const done = (): void => {
          close();
          if (!this.#isOver) resolve();
        };
      });
    }
  }

  async #elapse(forMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#world.clock.after(forMs, () => {
        if (!this.#isOver) resolve();
      });
    });
  }

  // ---- steps; each gives what takes it back ----

  drawLoss(): Loss {
    return pick(this.prng, LOSSES);
  }

  /** Its Stargate dies, of a kill or with its machine. @returns what starts it again */
  lose(cvm: SimCvm, how: Loss = this.drawLoss()): Undo {
    this.#say(`CVM ${cvm.cvm} ${how === "killed" ? how : `without power, ${how}`}`);
    if (how === "killed") cvm.stargate.kill();
    else cvm.powerLoss(how, this.prng);
    this.#endDiskTroubles(cvm);
    return this.#undo(() => {
      this.#say(`CVM ${cvm.cvm} starts`);
      cvm.stargate.start();
      cvm.cerebro.start();
    });
  }

  /** Its Stargate dies when it has waited for so many more things. @returns what starts it again */
  loseAtAwait(cvm: SimCvm, stepsMax: number): Undo {
    const steps = 1 + this.prng.below(stepsMax);
    this.#say(`CVM ${cvm.cvm} killed after ${steps} steps`);
    cvm.stargate.killAfter(steps);
    return this.#undo(() => {
      cvm.stargate.spare();
      this.#endDiskTroubles(cvm);
      this.#say(`CVM ${cvm.cvm} starts`);
      cvm.stargate.start();
    });
  }

  freeze(process: SimProcess): Undo {
    process.pause();
    return this.#undo(() => {
      process.resume();
    });
  }

  /** Nothing passes between the Stargates of these, in one direction or both. */
  separate(a: SimCvm, others: readonly SimCvm[], direction: Direction): Undo {
    const { network } = this.#world;
    const peers = others.filter((b) => b !== a);
    const lines = peers.flatMap((b): (readonly [string, string])[] => {
      const out = [a.stargate.name, b.stargate.name] as const;
      const into = [b.stargate.name, a.stargate.name] as const;
      return direction === "both" ? [out, into] : [direction === "out" ? out : into];
    });
    const names = peers.map(({ cvm }) => cvm).join();
    this.#say(`CVM ${a.cvm} cut off from ${names}, ${direction}`);
    for (const [from, to] of lines) network.cutOneWay(from, to);
    return this.#undo(() => {
      this.#say(`CVM ${a.cvm} reaches ${names}`);
      for (const [from, to] of lines) network.healOneWay(from, to);
    });
  }

  /** What is open between the Stargates of both breaks. */
  tear(a: SimCvm, b: SimCvm): void {
    this.#world.network.tear(a.stargate.name, b.stargate.name);
  }

  /** From the other CVMs and from etcd; its clients still reach it. */
  isolate(cvm: SimCvm, direction: Direction): Undo {
    const heal = this.separate(cvm, this.site.cvms, direction);
    cvm.stargate.cutEtcd(true);
    return this.#undo(() => {
      heal();
      cvm.stargate.cutEtcd(false);
    });
  }

  /** Its journal takes so long for a sync. */
  slowJournal(cvm: SimCvm, delayMs: number): Undo {
    this.#say(`CVM ${cvm.cvm} syncs its journal in ${Math.round(delayMs)} ms`);
    const { clock } = this.#world;
    return this.#diskTrouble(
      cvm,
      cvm.disk.slow({
        ...{ clock, operation: "sync", pathPart: "oplog", prng: this.prng },
        ...{ delayMs, jitterMs: delayMs / 4 },
      }),
    );
  }

  /** Its journal syncs nothing. */
  stickJournal(cvm: SimCvm): Undo {
    this.#say(`CVM ${cvm.cvm} does not sync its journal`);
    return this.#diskTrouble(cvm, cvm.disk.stick({ operation: "sync", pathPart: "oplog" }));
  }

  /** Its extents are not synced: what needs them, such as drains, waits, and logs grow. */
  stickExtents(cvm: SimCvm): Undo {
    this.#say(`CVM ${cvm.cvm} does not sync its extents`);
    return this.#diskTrouble(cvm, cvm.disk.stick({ operation: "sync", pathPart: "egroups" }));
  }

  /** Its wall clock is so far off. */
  jumpWall(cvm: SimCvm, byMs: number): Undo {
    this.#say(`CVM ${cvm.cvm}'s wall clock jumps by ${byMs} ms`);
    return this.#undo(cvm.clock.jumpWall(byMs));
  }

  /** Its clocks are faster by this part; nothing where they drift already. */
  drift(cvm: SimCvm, part: number): Undo {
    const undo = driftBy(cvm, part);
    if (undo === undefined) return () => undefined;
    this.#say(`CVM ${cvm.cvm}'s clocks are faster by ${part}`);
    return this.#undo(undo);
  }

  #say(what: string): void {
    this.#world.trace.event("world", "order", `${what} at ${this.site.name}`);
  }

  #diskTrouble(cvm: SimCvm, undo: Undo): Undo {
    const end = this.#undo(undo);
    this.#diskTroubles.set(cvm, [...(this.#diskTroubles.get(cvm) ?? []), end]);
    return end;
  }

  #endDiskTroubles(cvm: SimCvm): void {
    for (const end of this.#diskTroubles.get(cvm) ?? []) end();
    this.#diskTroubles.delete(cvm);
  }

  #undo(act: Undo): Undo {
    const once = (): void => {
      if (this.#undos.delete(once)) act();
    };
    this.#undos.add(once);
    return once;
  }
}
