/**
 * A world: sites, the lines between them, and the hosts outside of them where clients and operators
 * are. One seed gives one execution; all time is virtual.
 */

import { AntipodeError, codeOf } from "../../../services/base/errors.ts";
import type { Method } from "../../../services/base/wire.ts";
import {
  connectNbd,
  type NbdClient,
  type NbdClientOptions,
} from "../../../services/guest/index.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import type { Address } from "../../../services/platform/net.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog, type FakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "../../support/fakeNetwork.ts";
import { createTrace, type Trace, type TraceEvent } from "../trace.ts";
import { createSite, type SharedWorld, type SimSite, type SitePlan } from "./site.ts";
import type { WorldTap } from "./tap.ts";

/** The host of clients and operators; the lines from there are never cut. */
export const OUTSIDE = "outside";
const INSIDE_DELAY_MS = 0.2;
const CALL_MS = 5000;
const RETRY_MS = 50;
const START_MS_MAX = 30_000;
export const CONTAINER = "default";
/**
 * Events of a world that comes to its end: ten times what the busiest of hundreds of seeds had, for
 * what begins and ends a run and for each millisecond with faults.
 */
const EVENTS_MAX = 500_000;
const EVENTS_PER_MS_MAX = 50;

export interface WorldPlan {
  readonly seed: number;
  /** Virtual time with faults, for which there may be more events. */
  readonly untilMs?: number;
  /** Events after which it is given up; EVENTS_MAX and what `untilMs` adds by default. */
  readonly eventsMax?: number;
  readonly sites: readonly SitePlan[];
  /** One way, between any two sites. */
  readonly linkDelayMs: number;
  /** Part of the messages between hosts of one site that are lost and sent again; none by default. */
  readonly insideLoss?: number;
  /** Mean of a message to or from an etcd; none by default. */
  readonly etcdDelayMs?: number;
  readonly replicationFactor: number;
  readonly onEvent?: (event: TraceEvent) => void;
  readonly tap?: WorldTap;
}

/** A process that ended by itself: a failed disk is an expected reason, a bug is not. */
export interface Failure {
  readonly process: string;
  readonly error: unknown;
}

export interface World {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly log: FakeLog;
  readonly trace: Trace;
  readonly sites: readonly SimSite[];
  readonly failures: readonly Failure[];
  site(name: string): SimSite;
  /** Waits for the promise while virtual time passes. */
  wait<T>(work: Promise<T>, limitMs?: number): Promise<T>;
  /** Calls a service from outside. */
  call<Q, A>(address: Address, method: Method<Q, A, "unary">, request: Q, ms?: number): Promise<A>;
  openDisk(
    site: string,
    cvm: number,
    exportName: string,
    options?: Partial<NbdClientOptions>,
  ): Promise<NbdClient>;
  /** Cuts, or heals, what goes from one site to another; one direction. */
  setLinkCut(from: string, to: string, isCut: boolean): void;
  /** Kills all processes of a site, or starts them. */
  killSite(name: string): void;
  /** Starts all sites, and makes them known to each other, as `lab up` does. */
  begin(): Promise<void>;
  /** Kills everything, so that nothing keeps running. */
  end(): void;
}

let sharedCodec: Codec | undefined;

/** A world with nothing running yet. */
export async function createWorld(plan: WorldPlan): Promise<World> {
  sharedCodec ??= await createCodec();
  const clock = createFakeClock(0, () => {
    if (trace.isFull) throw new Error(`it does not come to its end in ${trace.count} events`);
  });
  const log = createFakeLog();
  const network = createFakeNetwork({ clock, log });
  const trace = createTrace(() => clock.now(), {
    onEvent: plan.onEvent,
    eventsMax: plan.eventsMax ?? EVENTS_MAX + (plan.untilMs ?? 0) * EVENTS_PER_MS_MAX,
  });
  const failures: Failure[] = [];
  const shared: SharedWorld = {
    seed: plan.seed,
    etcdDelayMs: plan.etcdDelayMs ?? 0,
    clock,
    network,
    codec: sharedCodec,
    log,
    trace,
    tap: plan.tap,
    onFailed: (process, error) => failures.push({ process, error }),
  };
  const sites = plan.sites.map((one) => createSite(shared, one));
  layLines(network, sites, plan);
  const outside = network.host(OUTSIDE);
  const site = (name: string): SimSite => {
    const found = sites.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no site ${name}`);
    return found;
  };
  const world: World = {
    clock,
    network,
    log,
    trace,
    sites,
    failures,
    site,
    async wait(work, limitMs = START_MS_MAX * 4) {
      let settled = false;
      const noted = work.finally(() => {
        settled = true;
      });
      noted.catch(() => undefined);
      await clock.tickUntil(() => settled, limitMs);
      return noted;
    },
    call: (address, method, request, ms = CALL_MS) =>
      outside.rpc.connect(address).unary(method, request, { deadlineMs: ms }),
    openDisk(name, cvm, exportName, options) {
      const member = site(name).members[cvm - 1];
      if (member === undefined) throw new Error(`no CVM ${cvm} at ${name}`);
      return connectNbd({ net: outside.net, clock }, { address: member.nbd, exportName }, options);
    },
    setLinkCut(from, to, isCut) {
      for (const a of site(from).processes)
        for (const b of site(to).processes)
          if (isCut) network.cutOneWay(a.name, b.name);
          else network.healOneWay(a.name, b.name);
    },
    killSite(name) {
      for (const process of site(name).processes) process.kill();
    },
    async begin() {
      for (const one of sites) one.start();
      await clock.tickUntil(
        () => sites.every((one) => one.processes.every((process) => process.isReady)),
        START_MS_MAX,
      );
      await world.wait(introduce(world, plan.replicationFactor));
    },
    end() {
      for (const one of sites) for (const process of one.processes) process.kill();
    },
  };
  return world;
}

function layLines(
  network: FakeNetwork,
  sites: readonly SimSite[],
  { linkDelayMs, insideLoss = 0 }: WorldPlan,
): void {
  const hosts = sites.flatMap((one) => one.processes.map(({ name }) => ({ name, site: one.name })));
  for (const [i, a] of hosts.entries()) {
    network.setDelay(a.name, OUTSIDE, INSIDE_DELAY_MS);
    for (const b of hosts.slice(i + 1)) {
      const isInside = a.site === b.site;
      network.setDelay(a.name, b.name, isInside ? INSIDE_DELAY_MS : linkDelayMs);
      if (!isInside || insideLoss === 0) continue;
      network.shape(a.name, b.name, { lossShare: insideLoss });
      network.shape(b.name, a.name, { lossShare: insideLoss });
    }
  }
}

/** A container at every site, and every site known to every other one: what services/lab/introduce.ts does. */
async function introduce(world: World, replicationFactor: number): Promise<void> {
  const insist = async (act: (attempt: number) => Promise<unknown>): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      try {
        await act(attempt);
        return;
      } catch (error) {
        if (codeOf(error) === "CONTAINER_EXISTS" || codeOf(error) === "REMOTE_EXISTS") return;
        if (!(error instanceof AntipodeError) || error.retry === "never") throw error;
        if (world.clock.now() > START_MS_MAX * 2) throw error;
      }
      await world.clock.sleep(RETRY_MS);
    }
  };
  const container = { name: CONTAINER, replicationFactor, compression: true };
  await Promise.all(
    world.sites.flatMap((here) => [
      insist((attempt) =>
        world.call(memberOf(here, attempt).stargate, VdiskService.createContainer, container),
      ),
      ...world.sites
        .filter((there) => there !== here)
        .map((there) =>
          insist((attempt) =>
            world.call(memberOf(here, attempt).cerebro, CerebroService.createRemote, {
              name: there.name,
              cerebros: there.members.map((member) => member.cerebro),
              stargates: there.members.map((member) => member.stargate),
              containers: [{ local: CONTAINER, remote: CONTAINER }],
              requestId: `introduce-${there.name}`,
            }),
          ),
        ),
    ]),
  );
}

/** Another CVM at every attempt. */
export function memberOf(site: SimSite, attempt: number): SimSite["members"][number] {
  const member = site.members[attempt % site.members.length];
  if (member === undefined) throw new Error(`${site.name} has no CVM`);
  return member;
}
