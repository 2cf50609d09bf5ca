/**
 * Faults of the lines: between sites (F17, F19, F21, F22) and between the CVMs of one (F18). Lines are
 * between hosts, and a process is a host, so a fault of two sites is one of all pairs of their processes.
 * The lines of clients and operators are left alone: what breaks there is the workload's own business.
 */

import type { LineShape } from "../../support/fakeLine.ts";
import { type KindOf, pick } from "../config.ts";
import type { SimCvm } from "../world/site.ts";
import {
  between,
  type Injected,
  type Injector,
  local,
  nothing,
  type Target,
  undoAll,
} from "./injection.ts";

const MIB_PER_SECOND = 1024 * 1024;
const LOST_MAX = 5;

type Pair = readonly [string, string];

export const linkInjectors: Readonly<Record<KindOf<"link">, Injector>> = {
  cutLink: (target) => cutLink(target, "both ways"),
  cutLinkOneWay: (target) => cutLink(target, "one way"),
  stallLink: (target) => {
    const { network } = target.world;
    const undos = linkPairs(target).map(([a, b]) => network.stall(a, b));
    return between(target, "stalled", () => {
      undoAll(undos);
    });
  },
  shapeLink: (target) => {
    const shape = drawLinkShape(target);
    return between(target, textOf(shape), shapePairs(target, linkPairs(target), shape));
  },
  blackHoleLink: (target) => {
    const { network } = target.world;
    const undos = linkPairs(target).map(([a, b]) => network.blackHole(a, b));
    return between(target, "silent", () => {
      undoAll(undos);
    });
  },
  tearLink: (target) => {
    for (const [a, b] of linkPairs(target)) target.world.network.tear(a, b);
    return between(target, "", nothing);
  },
  tearLinkLater: (target) => {
    const { network } = target.world;
    const after = pick(target.prng, [
      { messages: 1 + target.prng.below(50) },
      { bytes: 1 + target.prng.below(500_000) },
    ]);
    const undos = linkPairs(target).map(([a, b]) => network.tearAfter(a, b, after));
    return between(target, `after ${JSON.stringify(after)}`, () => {
      undoAll(undos);
    });
  },
  loseReplies: (target) => loseReplies(target, "loseReplies"),
  loseStreamReplies: (target) => loseReplies(target, "loseStreamReplies"),
};

export const insideInjectors: Readonly<Record<KindOf<"inside">, Injector>> = {
  cutCvm: (target) => {
    const { cvm, site, prng } = target;
    const others = site.cvms.filter((one) => one !== cvm);
    const what = `CVM ${cvm.cvm} from the others`;
    const cut = cutBetween(target, [cvm], others, what);
    if (prng.below(2) === 0) return cut;
    // Its cable is pulled: only clients that stand beside it still reach it.
    const processes = [cvm.stargate, cvm.cerebro];
    for (const process of processes) process.cutEtcd(true);
    return local(target, `${what} and from etcd`, () => {
      for (const process of processes) process.cutEtcd(false);
      cut.end();
    });
  },
  cutPair: (target) => {
    const other = pick(target.prng, target.site.cvms);
    return cutBetween(target, [target.cvm], [other], `CVM ${target.cvm.cvm} from ${other.cvm}`);
  },
  cutPairOneWay: (target) => {
    const { network } = target.world;
    const { pairs, what } = insidePairs(target);
    for (const [a, b] of pairs) network.cutOneWay(a, b);
    return local(target, what, () => {
      for (const [a, b] of pairs) network.healOneWay(a, b);
    });
  },
  stallPair: (target) => {
    const { pairs, what } = insidePairs(target);
    const undos = pairs.map(([a, b]) => target.world.network.stall(a, b));
    return local(target, what, () => {
      undoAll(undos);
    });
  },
  slowPair: (target) => {
    const { pairs, what } = insidePairs(target);
    const delayMs = pick(target.prng, [5, 50, 500]);
    const shape = { delayMs, jitterMs: delayMs };
    return local(target, `${what} by ${delayMs} ms`, shapePairs(target, pairs, shape));
  },
  blackHolePair: (target) => {
    const { pairs, what } = insidePairs(target);
    const undos = pairs.map(([a, b]) => target.world.network.blackHole(a, b));
    return local(target, what, () => {
      undoAll(undos);
    });
  },
  tearPair: (target) => {
    const { pairs, what } = insidePairs(target);
    for (const [a, b] of pairs) target.world.network.tear(a, b);
    return local(target, what, nothing);
  },
};

/** All lines from the target's site to the other one. */
function linkPairs({ site, other }: Target): readonly Pair[] {
  return site.processes.flatMap((a) => other.processes.map((b): Pair => [a.name, b.name]));
}

function cutLink(target: Target, directions: "both ways" | "one way"): Injected {
  const { world, site, other } = target;
  const set = (isCut: boolean): void => {
    world.setLinkCut(site.name, other.name, isCut);
    if (directions === "both ways") world.setLinkCut(other.name, site.name, isCut);
  };
  set(true);
  return between(target, "", () => {
    set(false);
  });
}

function drawLinkShape({ prng }: Target): LineShape {
  const delayMs = pick(prng, [5, 20, 100, 300]);
  const jitterMs = pick(prng, [0, 0, 5, 100]);
  const share = pick(prng, [undefined, 0.05, 0.2, 1, 10]);
  if (share === undefined) return { delayMs, jitterMs };
  const bytesPerSecond = share * MIB_PER_SECOND;
  return { delayMs, jitterMs, bytesPerSecond, burstBytes: pick(prng, [0, 64 * 1024]) };
}

function textOf({ delayMs = 0, jitterMs = 0, bytesPerSecond }: LineShape): string {
  const rate = bytesPerSecond === undefined ? "" : `, ${Math.round(bytesPerSecond / 1024)} KiB/s`;
  return `${delayMs} ms + ${jitterMs} ms${rate}`;
}

/** Both directions. @returns what ends it */
function shapePairs({ world }: Target, pairs: readonly Pair[], shape: LineShape): () => void {
  const undos = pairs.flatMap(([a, b]) => [
    world.network.shape(a, b, shape),
    world.network.shape(b, a, shape),
  ]);
  return () => {
    undoAll(undos);
  };
}

/** The handler runs, its caller sees a break: any call of any two processes, clients' calls too. */
function loseReplies(target: Target, how: "loseReplies" | "loseStreamReplies"): Injected {
  const count = 1 + target.prng.below(LOST_MAX);
  const end = target.world.network[how](count);
  const sites = target.world.sites.map(({ name }) => name);
  return { what: `${count} answers`, sites, link: undefined, end };
}

/** From the target's CVM to another one of its site; at a site of one, between its two processes. */
function insidePairs(target: Target): { readonly pairs: readonly Pair[]; readonly what: string } {
  const others = target.site.cvms.filter((one) => one !== target.cvm);
  const other = others.length === 0 ? target.cvm : pick(target.prng, others);
  return {
    pairs: crossed([target.cvm], [other]),
    what: `CVM ${target.cvm.cvm} to ${other.cvm}`,
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
  const pairs = crossed(some, others);
  for (const [a, b] of pairs) network.cut(a, b);
  return local(target, what, () => {
    for (const [a, b] of pairs) network.heal(a, b);
  });
}

function crossed(some: readonly SimCvm[], others: readonly SimCvm[]): readonly Pair[] {
  const from = processesOf(some);
  const to = processesOf(others);
  return from.flatMap((a) => to.filter((b) => b !== a).map((b): Pair => [a, b]));
}

function processesOf(cvms: readonly SimCvm[]): readonly string[] {
  return cvms.flatMap(({ stargate, cerebro }) => [stargate.name, cerebro.name]);
}
