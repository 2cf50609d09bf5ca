/**
 * Looks at a lab while a chaos run goes on: who leads and who owns with which epoch, by their own words,
 * and which recovery points have arrived. A look that gets no answer shows nothing; it never disturbs.
 */

import type { Method } from "../../base/wire.ts";
import type { Facts, Scenario } from "../../chaos/index.ts";
import type { Address } from "../../platform/net.ts";
import { CerebroService } from "../../platform/wire/cerebro.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import type { RunResult } from "../../report/index.ts";
import type { Context } from "../command.ts";
import type { SiteActions } from "../demo/siteActions.ts";

const LOOK_EVERY_MS = 250;
/** What changes less often, or is dearer to ask for. */
const SLOW_EVERY_MS = 1000;
const LOOK_DEADLINE_MS = 1000;
/** Two words of one leader this far apart are one span: it was not seen to be another meanwhile. */
const SPAN_GAP_MS = 4 * SLOW_EVERY_MS;

type Lane = RunResult["lanes"][number];
interface Seen extends Omit<Lane, "spans"> {
  readonly spans: { cvm: number; epoch: number; fromMs: number; toMs: number }[];
}

export interface WatchWorld {
  readonly context: Context;
  readonly actions: SiteActions;
  readonly scenario: Scenario;
}

export class Watch {
  readonly #world: WatchWorld;
  readonly #leaders = new Map<string, Facts["leaders"][number]>();
  readonly #lanes = new Map<string, Seen>();
  readonly #arrivals = new Map<string, number>();

  constructor(world: WatchWorld) {
    this.#world = world;
  }

  /** Looks until it is told to end. */
  async run(ended: AbortSignal): Promise<void> {
    await Promise.all([
      this.#every(LOOK_EVERY_MS, ended, () => this.#lookAtLeaders()),
      this.#every(SLOW_EVERY_MS, ended, () => this.#lookAtOwners()),
      this.#every(SLOW_EVERY_MS, ended, () => this.#lookAtPoints()),
    ]);
  }

  get leaders(): Facts["leaders"] {
    return [...this.#leaders.values()];
  }

  /** When a recovery point was first seen at the other site, on the monotonic clock. */
  arrivedMs(pointId: string): number | undefined {
    return this.#arrivals.get(pointId);
  }

  /** Times are counted from `originMs`. */
  lanes(originMs: number): readonly Lane[] {
    return [...this.#lanes.values()].map((lane) => ({
      ...lane,
      spans: lane.spans.map((span) => ({
        ...span,
        fromMs: span.fromMs - originMs,
        toMs: span.toMs - originMs,
      })),
    }));
  }

  get #clock() {
    return this.#world.context.world.clock;
  }

  async #every(ms: number, ended: AbortSignal, look: () => Promise<void>): Promise<void> {
    while (!ended.aborted) {
      await look();
      await this.#clock.sleep(ms, ended).catch(() => undefined);
    }
  }

  /** The answer, or nothing. */
  async #ask<Q, A>(
    address: Address,
    method: Method<Q, A, "unary">,
    request: Q,
  ): Promise<A | undefined> {
    const options = { deadlineMs: LOOK_DEADLINE_MS };
    const { rpc } = this.#world.context.world;
    return rpc
      .connect(address)
      .unary(method, request, options)
      .catch(() => undefined);
  }

  async #lookAtLeaders(): Promise<void> {
    const { scenario, actions } = this.#world;
    const looks = scenario.sites.flatMap(({ name: site }) =>
      actions.site(site).cvms.map(async (asked) => {
        const said = await this.#ask(asked.cerebro, CerebroService.leader, {});
        // Epoch 0: it has the seat, and its term has not begun.
        if (said === undefined || said.cvm === 0 || said.epoch === 0) return;
        const { cvm, epoch } = said;
        this.#leaders.set(`${site} ${epoch} ${cvm}`, { site, epoch, cvm });
        if (cvm === asked.cvm) this.#note(site, "cerebro.leader", "", { cvm, epoch });
      }),
    );
    await Promise.all(looks);
  }

  async #lookAtOwners(): Promise<void> {
    const { scenario, actions } = this.#world;
    const looks = scenario.protection.flatMap(({ at, to, vdisks }) =>
      [at, to].flatMap((site) =>
        vdisks.map(async ({ name }) => {
          for (const { stargate } of actions.site(site).cvms) {
            const said = await this.#ask(stargate, VdiskService.showVdisk, { name });
            if (said === undefined) continue;
            const { owner: cvm, epoch } = said;
            if (cvm > 0) this.#note(site, "stargate.owner", name, { cvm, epoch });
            return;
          }
        }),
      ),
    );
    await Promise.all(looks);
  }

  async #lookAtPoints(): Promise<void> {
    const { scenario, actions } = this.#world;
    for (const { pd, to } of scenario.protection)
      for (const { cerebro } of actions.site(to).cvms) {
        const said = await this.#ask(cerebro, CerebroService.listRecoveryPoints, { pd });
        if (said === undefined) continue;
        for (const { id } of said.recoveryPoints)
          if (!this.#arrivals.has(id)) this.#arrivals.set(id, this.#clock.now());
        break;
      }
  }

  #note(
    site: string,
    role: Lane["role"],
    subject: string,
    { cvm, epoch }: { readonly cvm: number; readonly epoch: number },
  ): void {
    const key = `${site} ${role} ${subject}`;
    const lane = this.#lanes.get(key) ?? { site, role, subject, spans: [] };
    this.#lanes.set(key, lane);
    const now = this.#clock.now();
    const last = lane.spans.findLast((span) => span.cvm === cvm && span.epoch === epoch);
    if (last !== undefined && now - last.toMs <= SPAN_GAP_MS) last.toMs = now;
    else lane.spans.push({ cvm, epoch, fromMs: now, toMs: now });
  }
}
