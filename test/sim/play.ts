/**
 * What happens in a run, act by act: site A is active while faults strike; it may be lost, in calm or amid
 * the faults, and the domain is activated elsewhere; the lost site may come back and be failed back to by
 * plan. Every act that is not cut short by a loss ends healed, converged (P9), and read as far as clients can.
 */

import { present } from "../../services/base/assert.ts";
import { codeOf } from "../../services/base/errors.ts";
import { createPrng, type Prng } from "../../services/base/prng.ts";
import { MIB } from "../../services/base/units.ts";
import { BLOCK_BYTES } from "../../services/guest/index.ts";
import { CerebroService } from "../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../services/platform/wire/stargate.ts";
import { Act, type ActPlan, type ActWorld } from "./act.ts";
import type { Convergence, GroupVdisk, RecoveryPointRecord } from "./check/contracts.ts";
import { pick, type SimConfig } from "./config.ts";
import { converge } from "./converge.ts";
import { type FailoverPlan, failoverOf } from "./failover.ts";
import { type ReadingOptions, readFinal, readPoints } from "./readings.ts";
import type { Recorder } from "./record.ts";
import type { PlannedFault } from "./replay/schedule.ts";
import { Rest } from "./rest.ts";
import { PD, SitePort } from "./sitePort.ts";
import { Strikes } from "./strikes.ts";
import { type SimSite, seedOf } from "./world/site.ts";
import { CONTAINER, memberOf, type World } from "./world/world.ts";

const CONVERGE_MS = 120_000;
/** An activation, or a move back, whose faults are over. */
const MOVE_MS_MAX = 300_000;
/** An act without faults lasts so long. */
const AFTERWARDS_MS = 2000;
const FIRST_SITE = "A";

/** Where a domain moves back to, and whether the disks of before are deleted or left to be set aside. */
interface Return {
  readonly home: string;
  readonly keepsOld: boolean;
}

/** Since when a site is active, and from what. */
type Seat = Pick<ActPlan, "generation" | "basePointId">;

export class Play {
  readonly acts: Act[] = [];
  readonly convergences: Convergence[] = [];
  readonly #config: SimConfig;
  readonly #world: World;
  readonly #recorder: Recorder;
  readonly #vdisks: readonly GroupVdisk[];
  readonly #parts: ActWorld;
  readonly #strikes: Strikes;
  readonly #prng: Prng;
  /** Sites that stay lost. */
  readonly #lost = new Set<string>();

  constructor(
    config: SimConfig,
    parts: {
      readonly world: World;
      readonly recorder: Recorder;
      readonly schedule: readonly PlannedFault[];
    },
  ) {
    const { world, recorder, schedule } = parts;
    this.#config = config;
    this.#world = world;
    this.#recorder = recorder;
    this.#vdisks = Array.from({ length: config.vdisks }, (_, id) => ({
      id,
      name: `disk${id}`,
      slots: config.slotsPerVdisk,
    }));
    this.#parts = { world, recorder, config, vdisks: this.#vdisks };
    this.#strikes = new Strikes(world, recorder, schedule);
    this.#prng = createPrng(seedOf(config.seed, "play"));
  }

  /** Every recovery point that an operator was told of. */
  get points(): readonly RecoveryPointRecord[] {
    return this.acts.flatMap(({ operator }) => operator.points);
  }

  /** @throws Error when a step that must succeed did not */
  async perform(): Promise<void> {
    await this.#world.begin();
    const first = this.#begin({
      ...{ site: FIRST_SITE, generation: await this.#prepare(), basePointId: undefined },
    });
    const plan = failoverOf(this.#config);
    await this.#strikeUntil(plan?.ends[0] ?? 1);
    const amid = plan?.lost === "amid faults" ? this.#targetOf(first) : undefined;
    if (amid === undefined) await this.#end(first);
    const target = amid ?? this.#targetOf(first);
    if (plan === undefined || target === undefined) return;
    const second = await this.#failOver(first, target, plan);
    await this.#end(second);
    if (plan.comesBack) await this.#read(first);
    if (!plan.failsBack) return;
    const keepsOld = this.#prng.below(2) === 0;
    const third = await this.#failBack(second, { home: first.site, keepsOld });
    await this.#end(third);
    await this.#read(second);
    if (keepsOld) await this.#readSetAside(first);
  }

  async #prepare(): Promise<number> {
    const { diskDelayMs, seed } = this.#config;
    const world = this.#world;
    const prng = createPrng(seedOf(seed, "disk"));
    if (diskDelayMs > 0)
      for (const { disk } of world.sites.flatMap(({ cvms }) => cvms))
        disk.slow({
          ...{ clock: world.clock, operation: "sync", prng },
          ...{ delayMs: diskDelayMs, jitterMs: diskDelayMs },
        });
    const { stargate, cerebro } = memberOf(world.site(FIRST_SITE), 0);
    for (const { name, slots } of this.#vdisks) {
      const sizeBytes = Math.max(MIB, slots * BLOCK_BYTES);
      const disk = { name, container: CONTAINER, sizeBytes, root: "", source: "" };
      await world.wait(world.call(stargate, VdiskService.createVdisk, disk));
    }
    const created = { name: PD, requestId: "prepare" };
    await world.wait(world.call(cerebro, CerebroService.createPd, created));
    const members = { pd: PD, group: "", vdisks: this.#vdisks.map(({ name }) => name) };
    const { pd } = await world.wait(world.call(cerebro, CerebroService.protect, members));
    const generation = pd?.generation ?? 0;
    this.#recorder.activations.push({
      ...{ pd: PD, generation, site: FIRST_SITE, isPlanned: true },
      at: this.#recorder.instant(),
    });
    return generation;
  }

  #begin(plan: Omit<ActPlan, "number" | "targets">): Act {
    const others = this.#alive.filter(({ name }) => name !== plan.site);
    const targets = others.map(({ name }) => name);
    const act = new Act(this.#parts, { ...plan, targets, number: this.acts.length + 1 });
    this.acts.push(act);
    act.start();
    return act;
  }

  #strikeUntil(part: number): Promise<void> {
    return this.#strikes.passTo(part * this.#config.untilMs);
  }

  /** Ends every fault; everything runs that is not lost for good. */
  #heal(): void {
    this.#strikes.endAll();
    for (const site of this.#alive) site.start();
    this.#world.trace.event("world", "healed");
  }

  get #alive(): readonly SimSite[] {
    return this.#world.sites.filter(({ name }) => !this.#lost.has(name));
  }

  /** A site to which a recovery point of the act was replicated. */
  #targetOf(act: Act): string | undefined {
    const done = act.operator.replications.filter(({ outcome }) => outcome === "completed");
    const sites = [...new Set(done.map(({ targetSite }) => targetSite))].sort();
    return sites.length === 0 ? undefined : pick(this.#prng, sites);
  }

  /** Heals, waits until everything has come to its end, and reads what there is. */
  async #end(act: Act): Promise<void> {
    this.#heal();
    const world = this.#world;
    const budgetMs = CONVERGE_MS;
    this.convergences.push(
      await world.wait(
        converge({ ...this.#parts, act, sites: this.#alive, budgetMs }),
        CONVERGE_MS * 2,
      ),
    );
    await world.wait(act.load.stop());
    const rest = new Rest(this.#parts, { sites: this.#alive, act: this.acts.length });
    await rest.pass();
    await this.#read(act);
    const bases = new Set(this.acts.flatMap(({ basePointId }) => basePointId ?? []));
    for (const { name } of this.#alive)
      await world.wait(readPoints(this.#reading(name), this.points, bases));
    this.convergences.push(await world.wait(rest.mended()));
  }

  /** The site of the act is lost; its domain becomes active at the target and is written to there. */
  async #failOver(act: Act, target: string, plan: FailoverPlan): Promise<Act> {
    const world = this.#world;
    world.trace.event("world", "site lost", `${act.site}, ${plan.lost}`);
    this.#recorder.count(`site lost ${plan.lost}`);
    world.killSite(act.site);
    if (!plan.comesBack) this.#lost.add(act.site);
    const losing = act.lose();
    const activating = this.#activate(act, target, "");
    const begun = activating.then((how) => this.#begin({ site: target, ...how }));
    begun.catch(() => undefined);
    await this.#strikeUntil(plan.ends[1] ?? 1);
    this.#heal();
    await world.wait(losing, MOVE_MS_MAX);
    const next = await world.wait(begun, MOVE_MS_MAX);
    await world.clock.tick(AFTERWARDS_MS);
    return next;
  }

  async #activate(act: Act, target: string, pointId: string): Promise<Seat> {
    const how = pointId === "" ? "unplanned" : "planned";
    const told = await act.operator.activate(target, pointId, how);
    if (told === undefined) throw new Error(`${PD} was not activated at ${target}, ${how}`);
    return { generation: told.activation.generation, basePointId: told.pointId };
  }

  /** By plan: nothing is written any more when the last point is taken, so nothing is lost. */
  async #failBack(act: Act, to: Return): Promise<Act> {
    const { home } = to;
    const moving = this.#moveBack(act, to);
    moving.catch(() => undefined);
    await this.#strikeUntil(1);
    this.#heal();
    const how = await this.#world.wait(moving, MOVE_MS_MAX);
    this.#recorder.count("failed back by plan");
    const next = this.#begin({ site: home, ...how });
    await this.#world.clock.tick(AFTERWARDS_MS);
    return next;
  }

  async #moveBack(act: Act, { home, keepsOld }: Return): Promise<Seat> {
    const point = await act.operator.snapshot();
    if (point === undefined) throw new Error(`no last recovery point was taken at ${act.site}`);
    const told = await act.operator.replicate(point.id, home);
    if (told?.outcome !== "completed") throw new Error(`${point.id} did not come to ${home}`);
    if (!keepsOld) await this.#clear(home);
    return this.#activate(act, home, point.id);
  }

  /** The disks that the site had when it was lost make room for those of the recovery point. */
  async #clear(site: string): Promise<void> {
    const port = new SitePort({
      ...{ world: this.#world, recorder: this.#recorder, vdisks: this.#vdisks },
      ...{ prng: this.#prng, site, name: `clear-${site}` },
    });
    const vdisks = this.#vdisks.map(({ name }) => name);
    await unlessGone(port.ask(CerebroService.unprotect, { pd: PD, vdisks }));
    for (const name of vdisks)
      await unlessGone(port.askStargate(VdiskService.deleteVdisk, { name }));
  }

  /** What clients of the act's site see now. */
  async #read(act: Act): Promise<void> {
    await this.#world.wait(readFinal(this.#reading(act.site), act.runId));
  }

  /** What the act had acknowledged before its site was lost is kept whole, under other names (setAside.ts). */
  async #readSetAside(act: Act): Promise<void> {
    const { site, runId } = act;
    const world = this.#world;
    const { stargate } = memberOf(world.site(site), 0);
    const { vdisks } = await world.wait(world.call(stargate, VdiskService.listVdisks, {}));
    const nameNow = ({ name }: GroupVdisk): string =>
      present(
        vdisks.find((one) => one.name.startsWith(`${name}-before-`)),
        "a disk of before is there under another name",
      ).name;
    this.#recorder.count("disks set aside read");
    await world.wait(readFinal(this.#reading(site), runId, nameNow));
  }

  #reading(site: string): ReadingOptions {
    return { world: this.#world, recorder: this.#recorder, site, vdisks: this.#vdisks };
  }
}

/** Of a repeated request whose first answer was lost. */
async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== "VDISK_NOT_FOUND") throw error;
  }
}
