/** Injects one fault of a kind into a world, and says how it is ended. */

import type { Prng } from "../../services/base/prng.ts";
import type { CrashMode } from "../support/fakeFile.ts";
import { type FaultKind, pick } from "./config.ts";
import type { SimProcess } from "./world/process.ts";
import type { SimCvm, SimSite } from "./world/site.ts";
import type { World } from "./world/world.ts";

export interface Injected {
  readonly what: string;
  /** Sites whose own machines it touches. */
  readonly sites: readonly string[];
  readonly link: { readonly from: string; readonly to: string } | undefined;
  end(): void;
}

const STEPS_MAX = 400;
const CRASH_MODES: readonly CrashMode[] = ["lost", "kept", "random", "random", "tornTail"];

/** Where a fault strikes: drawn once, so that every kind takes the same numbers. */
interface Target {
  readonly world: World;
  readonly prng: Prng;
  readonly site: SimSite;
  readonly cvm: SimCvm;
  readonly process: SimProcess;
  readonly other: SimSite;
}

/** Injects the fault at a random place. */
export function inject(world: World, kind: FaultKind, prng: Prng): Injected {
  const site = pick(prng, world.sites);
  const cvm = pick(prng, site.cvms);
  const process = pick(prng, [cvm.stargate, cvm.cerebro]);
  const others = world.sites.filter((one) => one !== site);
  const target = { world, prng, site, cvm, process, other: pick(prng, others) };
  return injectors[kind](target);
}

const nothing = (): void => undefined;

const injectors: Readonly<Record<FaultKind, (target: Target) => Injected>> = {
  killProcess: (target) => {
    target.process.kill();
    return local(target, target.process.name, () => {
      target.process.start();
    });
  },
  killAtAwait: (target) => {
    const steps = 1 + target.prng.below(STEPS_MAX);
    target.process.killAfter(steps);
    return local(target, `${target.process.name} after ${steps} steps`, () => {
      target.process.spare();
      target.process.start();
    });
  },
  pauseProcess: (target) => {
    target.process.pause();
    return local(target, target.process.name, () => {
      target.process.resume();
    });
  },
  powerLossCvm: (target) => {
    const mode = pick(target.prng, CRASH_MODES);
    target.cvm.powerLoss(mode, target.prng);
    return local(target, `CVM ${target.cvm.cvm}, ${mode}`, () => {
      target.site.start();
    });
  },
  powerLossSite: (target) => {
    const mode = pick(target.prng, CRASH_MODES);
    for (const cvm of target.site.cvms) cvm.powerLoss(mode, target.prng);
    return local(target, `all CVMs, ${mode}`, () => {
      target.site.start();
    });
  },
  killSite: (target) => {
    target.world.killSite(target.site.name);
    return local(target, "all processes", () => {
      target.site.start();
    });
  },
  cutLink: (target) => cutLink(target, true),
  cutLinkOneWay: (target) => cutLink(target, false),
  tearLink: ({ world, site, other }) => {
    for (const a of site.processes)
      for (const b of other.processes) world.network.tear(a.name, b.name);
    return { ...between(site, other), end: nothing };
  },
  loseReplies: (target) => {
    const count = 1 + target.prng.below(5);
    const end = target.world.network.loseReplies(count);
    const sites = target.world.sites.map(({ name }) => name);
    return { what: `${count} answers`, sites, link: undefined, end };
  },
  cutCvm: (target) => {
    const others = target.site.cvms.filter((one) => one !== target.cvm);
    return cutBetween(target, [target.cvm], others, `CVM ${target.cvm.cvm} from the others`);
  },
  cutPair: (target) => {
    const other = pick(target.prng, target.site.cvms);
    return cutBetween(target, [target.cvm], [other], `CVM ${target.cvm.cvm} from ${other.cvm}`);
  },
  cutEtcd: (target) => {
    target.process.cutEtcd(true);
    return local(target, target.process.name, () => {
      target.process.cutEtcd(false);
    });
  },
  etcdOutage: (target) => {
    for (const process of target.site.processes) process.cutEtcd(true);
    return local(target, "of all CVMs", () => {
      for (const process of target.site.processes) process.cutEtcd(false);
    });
  },
  revokeLeases: (target) => {
    const { etcd } = target.site;
    const leases = etcd.core.leases.all().filter(() => target.prng.below(2) === 0);
    for (const lease of leases) etcd.revoke(lease.id);
    return local(target, `${leases.length} leases`, nothing);
  },
  loseEtcdAnswers: (target) => {
    const connection = target.process.etcd;
    connection?.loseAnswers(1 + target.prng.below(3));
    return local(target, target.process.name, () => {
      connection?.loseAnswers(0);
    });
  },
  blindWatches: (target) => {
    const connection = target.process.etcd;
    connection?.blindWatches(true);
    return local(target, target.process.name, () => {
      connection?.blindWatches(false);
    });
  },
  slowDisk: (target) => {
    const delayMs = pick(target.prng, [5, 50, 500]);
    const end = target.cvm.disk.slow({ clock: target.world.clock, delayMs, prng: target.prng });
    return local(target, `CVM ${target.cvm.cvm} by ${delayMs} ms`, end);
  },
};

function local(target: Target, what: string, end: () => void): Injected {
  return {
    what: `${what} at ${target.site.name}`,
    sites: [target.site.name],
    link: undefined,
    end,
  };
}

function between(from: SimSite, to: SimSite): Omit<Injected, "end"> {
  return {
    what: `${from.name} to ${to.name}`,
    sites: [],
    link: { from: from.name, to: to.name },
  };
}

function cutLink({ world, site, other }: Target, bothWays: boolean): Injected {
  const set = (isCut: boolean): void => {
    world.setLinkCut(site.name, other.name, isCut);
    if (bothWays) world.setLinkCut(other.name, site.name, isCut);
  };
  set(true);
  return {
    ...between(site, other),
    end: () => {
      set(false);
    },
  };
}

/** Also the two processes of one CVM may be cut off from each other: they are told apart by host only. */
function cutBetween(
  target: Target,
  some: readonly SimCvm[],
  others: readonly SimCvm[],
  what: string,
): Injected {
  const { network } = target.world;
  const pairs = processesOf(some).flatMap((a) => processesOf(others).map((b) => [a, b] as const));
  for (const [a, b] of pairs) network.cut(a, b);
  return local(target, what, () => {
    for (const [a, b] of pairs) network.heal(a, b);
  });
}

function processesOf(cvms: readonly SimCvm[]): readonly string[] {
  return cvms.flatMap(({ stargate, cerebro }) => [stargate.name, cerebro.name]);
}
