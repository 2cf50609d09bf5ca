/** A running lab as the chaos runner needs it (services/chaos/runner.ts): each order one or two calls. */

import { assert } from "../../base/assert.ts";
import { messageOf } from "../../base/errors.ts";
import type {
  Action,
  ChaosLab,
  Condition,
  JobLook,
  Protection,
  RunnerLease,
  Scenario,
  Target,
  View,
} from "../../chaos/index.ts";
import { callGenesis, type OpenLab, openRunningLab } from "../../lab/index.ts";
import { CerebroService, type Job } from "../../platform/wire/cerebro.ts";
import { FaultService } from "../../platform/wire/faults.ts";
import { GenesisService, type ServiceStatus } from "../../platform/wire/genesis.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { WanService } from "../../platform/wire/wan.ts";
import type { Context } from "../command.ts";
import type { SiteActions } from "../demo/siteActions.ts";
import { callSite, siteOf } from "../siteClient.ts";
import { signalGenesis } from "./chaosGenesis.ts";
import type { Rotter } from "./chaosRot.ts";
import { Strikes } from "./chaosStrikes.ts";
import { callWan } from "./chaosWan.ts";

/** A look at a site that may be sick: another CVM is asked soon. */
const LOOK_MS = 1500;

/** A recovery point that the run has cut. */
export interface CutPoint {
  readonly pd: string;
  readonly id: string;
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** On the monotonic clock: when it was there. */
  readonly cutMs: number;
  /** On the wall clock: everything acknowledged before must be in it. */
  readonly askedMicros: number;
}

/** Jobs that the run has started, and where. */
export interface StartedJob {
  readonly site: string;
  readonly id: string;
}

export interface ChaosLabParts {
  readonly context: Context;
  readonly open: OpenLab;
  readonly actions: SiteActions;
  readonly scenario: Scenario;
  readonly rotter: Rotter;
  readonly onReplication: (job: StartedJob) => void;
  readonly onPoint: (point: CutPoint) => void;
  /** Before a pd is activated at its other site: its writers end. */
  readonly onActivate: (pd: string) => Promise<void>;
  readonly onActivated: (pd: string, pointId: string) => void;
}

/** The lab for the runner. Healing works after an interruption too. */
export function createChaosLab(parts: ChaosLabParts): ChaosLab {
  const { context, open, scenario } = parts;
  const { world } = context;
  const strikes = new Strikes(world, open);
  const renewWan = lastingRenewals(context, open);
  return {
    view: (target) => viewOf(context, open, target),
    kill: (ids) => strikes.kill(ids),
    async killGenesis() {
      await signalGenesis(context, open, "SIGKILL");
      await openRunningLab(world, open.directory);
    },
    async goOn(ids) {
      const request = { ids, signal: "SIGCONT", stayDead: false } as const;
      await callGenesis(world, open, GenesisService.kill, request);
    },
    async restart(ids) {
      await callGenesis(world, open, GenesisService.restart, { ids });
    },
    freeze: (lease, ids) => strikes.freeze(lease, ids),
    leaveDead: (lease, ids) => strikes.leaveDead(lease, ids),
    async breakDisks(lease, ids, { kind, delayMs }) {
      const request = { lease, ids, fault: kind, delayMs };
      await callGenesis(world, open, GenesisService.injectDiskFault, request);
    },
    rot: (id, order, prng) => parts.rotter.rot(id, order, prng),
    async changeLinks(lease, links, change) {
      const request = { lease, links, ...change };
      await callWan(world, open, WanService.injectFault, request);
    },
    async renew(lease) {
      renewWan(lease);
      await callGenesis(world, open, FaultService.renew, { lease });
    },
    async heal(holder) {
      // Processes first: the wan process may be one of them.
      await callGenesis(world, open, FaultService.heal, { holder });
      await callWan(world, open, FaultService.heal, { holder });
    },
    act: (action) => act(parts, action),
    async jobs() {
      const all = await Promise.all(scenario.sites.map((site) => jobsOf(parts, site.name)));
      return all.flat().map(({ site, job }): JobLook => {
        const moves = job.state === "RUNNING" && job.tasksRunning > 0;
        return { key: jobKey({ site, id: job.id }), state: job.state, moves };
      });
    },
  };
}

/**
 * Renewals at the wan, which nobody waits for: it may be frozen, and what genesis holds must be renewed
 * meanwhile. One at a time for a holder, given up after `callWan`'s patience.
 */
function lastingRenewals(context: Context, open: OpenLab): (lease: RunnerLease) => void {
  const underWay = new Set<string>();
  return (lease) => {
    if (underWay.has(lease.holder)) return;
    underWay.add(lease.holder);
    callWan(context.world, open, FaultService.renew, { lease })
      .catch((error: unknown) => {
        context.tell(`a lease of links was not renewed: ${messageOf(error)}`);
      })
      .finally(() => underWay.delete(lease.holder));
  };
}

/** What a target can mean in this lab now. */
export async function viewOf(context: Context, open: OpenLab, target: Target): Promise<View> {
  const { services } = await callGenesis(context.world, open, GenesisService.list, {});
  let [leaderCvm, ownerCvm] = [0, 0];
  if (target.kind === "leader") {
    const plan = { service: "cerebro" } as const;
    const site = siteOf(open, target.site);
    leaderCvm = (await callSite(context, site, plan, CerebroService.leader, {})).cvm;
  }
  if (target.kind === "owner") {
    const plan = { service: "stargate" } as const;
    const request = { name: target.vdisk };
    const site = siteOf(open, target.site);
    ownerCvm = (await callSite(context, site, plan, VdiskService.showVdisk, request)).owner;
  }
  const seen = services.map((one) => ({ ...one, condition: conditionOf(one) }));
  return { services: seen, leaderCvm, ownerCvm };
}

/** Whether a service runs, is frozen, or has no process. */
export function conditionOf({ pid, paused }: ServiceStatus): Condition {
  if (pid === 0) return "down";
  return paused ? "frozen" : "running";
}

/** Identity of a job over all sites. */
export function jobKey(job: StartedJob): string {
  return `${job.site}/${job.id}`;
}

/** The protection of a pd; the scenario was checked. */
export function protectionOf(scenario: Scenario, pd: string): Protection {
  const found = scenario.protection.find((one) => one.pd === pd);
  assert(found !== undefined, "a scenario names only its own pds");
  return found;
}

async function act(parts: ChaosLabParts, { kind, pd }: Action): Promise<void> {
  const { actions, scenario } = parts;
  const { at, to } = protectionOf(scenario, pd);
  switch (kind) {
    case "snapshot": {
      const { clock } = parts.context.world;
      const askedMicros = Math.round(clock.wall() * 1000);
      const { id, name } = await actions.snapshot(at, pd);
      parts.onPoint({ pd, id, name, from: at, to, cutMs: clock.now(), askedMicros });
      return;
    }
    case "replicate": {
      // "" is the newest recovery point.
      const job = await actions.startReplication(at, pd, "", to);
      parts.onReplication({ site: at, id: job.id });
      return;
    }
    case "activate":
      await parts.onActivate(pd);
      parts.onActivated(pd, (await actions.activation(to, pd, "")).recoveryPoint?.id ?? "");
      return;
  }
}

/** A site's jobs by the first CVM that answers; none when no one does. */
async function jobsOf(
  parts: ChaosLabParts,
  site: string,
): Promise<readonly { readonly site: string; readonly job: Job }[]> {
  const { rpc } = parts.context.world;
  for (const cvm of parts.actions.site(site).cvms) {
    const look = rpc
      .connect(cvm.cerebro)
      .unary(CerebroService.listJobs, {}, { deadlineMs: LOOK_MS });
    const answer = await look.catch(() => undefined);
    if (answer !== undefined) return answer.jobs.map((job) => ({ site, job }));
  }
  return [];
}
