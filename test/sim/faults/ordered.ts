/**
 * Faults that strike by role and in order (F29): who owns a vDisk, who has copies of its log and who leads is
 * looked up when they strike (roles.ts), and each step follows on what the one before it has done to the site,
 * after a drawn while. A write that was acknowledged is lost by two things that go wrong one after the
 * other; faults that are drawn each for itself hardly ever come in that order.
 *
 * One order at a time at a site. Each keeps to what the others do, too: no disk loses what was synced, clocks
 * differ by less than 5 %, and nothing begins where a copy of a log is damaged (ground.ts).
 */

import { siteKeys } from "../../../services/base/siteRecords.ts";
import { type KindOf, pick } from "../config.ts";
import type { SimCvm, SimSite } from "../world/site.ts";
import { DRIFT_MAX } from "./clocks.ts";
import { type Injected, local, spared, type Target } from "./injection.ts";
import { type Direction, Order } from "./order.ts";
import { drawCast, leaderAt, ownerOf, stages } from "./roles.ts";

type Steps = (order: Order) => Promise<void>;

/** Longer than a lease of 2 s and everything that a new owner waits for. */
const TAKEOVER_MS_MAX = 12_000;
/** A new owner waits for a lease of 1.65 s and has patience for 1.5 s. */
const REMOVAL_MS_MAX = 5000;
/** An owner waits 4 s for an answer, and then tries again, which takes 2 s. */
const CHANGE_MS_MAX = 7000;
/** Awaits of a takeover. */
const TAKEOVER_STEPS = 60;
const DIRECTIONS: readonly Direction[] = ["out", "in", "both", "both"];
const MINUTE_MS = 60_000;
/** Sites where an order is under way. */
const struck = new WeakSet<SimSite>();

const programs: Readonly<Record<KindOf<"ordered">, Steps>> = {
  peerAwayThenOwnerLost,
  ownerStaleWhileReplaced,
  ownerThenHeirLost,
  copiesLosePower,
  killedInSyncThenAlone,
  clocksApartAtTakeover,
  leaderStaleWhileReplaced,
};

/** At a site that serves a vDisk with copies, whichever the target names. */
export function aimed(target: Target): Target {
  const sites = stages(target.world);
  if (sites.length === 0 || sites.includes(target.site)) return target;
  const site = pick(target.prng, sites);
  return { ...target, site, cvm: pick(target.prng, site.cvms) };
}

/** Begins an order; it ends by itself when its last step is done. */
export function injectOrder(kind: KindOf<"ordered">, target: Target): Injected {
  const { world, prng, site } = target;
  if (struck.has(site)) return spared(target, "another order is under way");
  const cast = drawCast(site, prng);
  if (cast === undefined) return spared(target, "no vDisk is served with copies");
  const order = new Order(world, prng, { site, cast });
  struck.add(site);
  const heirs = cast.heirs.map(({ cvm }) => cvm).join();
  const what = `owner CVM ${cast.owner.cvm}, heirs ${heirs}`;
  const injected = local(target, what, () => {
    struck.delete(site);
    order.end();
  });
  return { ...injected, over: programs[kind](order) };
}

/**
 * A peer is away for a moment or for long, and writes go on as they may; it is back just before or just after the
 * owner is lost, so that it may still be catching up when it is to inherit.
 */
async function peerAwayThenOwnerLost(order: Order): Promise<void> {
  const { prng, cast } = order;
  const [heir] = cast.heirs;
  if (prng.below(2) === 0) order.stickExtents(pick(prng, [cast.owner, heir]));
  const comesBack = away(order, heir);
  await missed(order);
  if (prng.below(3) === 0) {
    comesBack();
    await order.pause(0.2, 2000);
  }
  const ownerIsBack = order.lose(cast.owner);
  await order.pause(0.2, 1000);
  comesBack();
  await order.takeover(cast.owner, TAKEOVER_MS_MAX);
  await amidOrAfter(order);
  ownerIsBack();
  await order.pause(10, 2000);
}

/** The owner hears nothing while another CVM takes over, and then it goes on, perhaps when others have died. */
async function ownerStaleWhileReplaced(order: Order): Promise<void> {
  const { prng, cast } = order;
  if (prng.below(3) === 0) order.stickExtents(cast.heirs[0]);
  const goesOn =
    prng.below(2) === 0
      ? order.freeze(cast.owner.stargate)
      : order.isolate(cast.owner, pick(prng, DIRECTIONS));
  await order.takeover(cast.owner, TAKEOVER_MS_MAX);
  await amidOrAfter(order);
  goesOn();
  await order.pause(100, 4000);
}

/** The owner is lost, then its heir in the middle of the takeover; they come back in either order. */
async function ownerThenHeirLost(order: Order): Promise<void> {
  const { prng, cast } = order;
  const owner = order.lose(cast.owner);
  await order.takeover(cast.owner, TAKEOVER_MS_MAX);
  const heir = ownerOf(order.site, cast.vdisk) ?? cast.heirs[0];
  const second = await loseInTakeover(order, heir);
  await order.pause(1, 2000);
  const [first, last] = prng.below(2) === 0 ? [owner, second] : [second, owner];
  first();
  await order.pause(1, 8000);
  last();
  await order.pause(100, 2000);
}

/** All copies lose power at one moment, each with another part of its unsynced end; one is back first. */
async function copiesLosePower(order: Order): Promise<void> {
  const { prng, cast } = order;
  const copies = [cast.owner, ...cast.heirs];
  for (const copy of copies)
    if (prng.below(2) === 0) order.slowJournal(copy, pick(prng, [3, 30, 300]));
  await order.pause(20, 2000);
  const backs = copies.map((copy) =>
    order.lose(copy, pick(prng, ["lost", "lost", "random", "tornTail", "newest"] as const)),
  );
  while (backs.length > 0) {
    const [back] = backs.splice(prng.below(backs.length), 1);
    await order.pause(1, 6000);
    back?.();
  }
  await order.pause(100, 2000);
}

/**
 * A copy is killed with its last batch written and not synced, and back at once: what it then shows is only
 * in memory. Then power fails at all copies, and that one is back alone.
 */
async function killedInSyncThenAlone(order: Order): Promise<void> {
  const { prng, cast } = order;
  const copies = [cast.owner, ...cast.heirs];
  const victim = pick(prng, copies);
  order.stickJournal(victim);
  await order.pause(10, 2000);
  order.lose(victim, "killed")();
  await order.pause(10, 2000);
  const others = copies.filter((copy) => copy !== victim).map((copy) => order.lose(copy));
  order.lose(victim, "lost")();
  await order.takeover(cast.owner, TAKEOVER_MS_MAX);
  await amidOrAfter(order);
  for (const back of others) back();
  await order.pause(100, 2000);
}

/** Clocks of the owner and of its heirs run apart as far as they may while the owner's leases run out. */
async function clocksApartAtTakeover(order: Order): Promise<void> {
  const { prng, cast } = order;
  const apart = pick(prng, [DRIFT_MAX, -DRIFT_MAX]);
  order.drift(cast.owner, -apart);
  for (const heir of cast.heirs) order.drift(heir, apart);
  await order.pause(10, 2000);
  order.jumpWall(cast.owner, pick(prng, [-60, -1, 1, 60]) * MINUTE_MS);
  const goesOn = order.isolate(cast.owner, pick(prng, DIRECTIONS));
  await order.takeover(cast.owner, TAKEOVER_MS_MAX);
  await amidOrAfter(order);
  goesOn();
  await order.pause(100, 2000);
}

/** The leading Cerebro hears nothing until another one leads, and then it goes on. */
async function leaderStaleWhileReplaced(order: Order): Promise<void> {
  const { site } = order;
  const leader = leaderAt(site);
  if (leader === undefined) return;
  const goesOn = order.freeze(leader.cerebro);
  const isReplaced = (): boolean => leaderAt(site) !== leader;
  await order.until(siteKeys.seatPrefix("cerebro"), isReplaced, TAKEOVER_MS_MAX);
  await order.pause(0.2, 4000);
  goesOn();
  await order.pause(100, 1000);
}

/** A peer is away: for a moment, for so long that it is missed, or until its owner changes the list of peers. */
async function missed(order: Order): Promise<void> {
  switch (pick(order.prng, ["moment", "long", "change", "change"] as const)) {
    case "moment":
      await order.pause(30, 900);
      break;
    case "long":
      await order.pause(900, 9000);
      break;
    case "change":
      for (let left = 1 + order.prng.below(3); left > 0; left--) await order.change(CHANGE_MS_MAX);
      await (order.prng.below(2) === 0 ? order.pause(0.1, 10) : order.pause(10, 1000));
      break;
  }
}

/** A peer is out of its owner's reach, one way or another. @returns what brings it back */
function away(order: Order, peer: SimCvm): () => void {
  const { owner } = order.cast;
  switch (pick(order.prng, ["cut", "torn", "dead", "dead", "frozen", "behind"] as const)) {
    case "torn":
      order.tear(owner, peer);
      return order.separate(owner, [peer], "both");
    case "cut":
      return order.separate(owner, [peer], pick(order.prng, DIRECTIONS));
    case "dead":
      return order.lose(peer);
    case "frozen":
      return order.freeze(peer.stargate);
    case "behind":
      return order.stickJournal(peer);
  }
}

/**
 * The takeover is under way: waits until somewhere in its midst, perhaps for another loss, or until the new owner
 * serves without the old one, and has written a while.
 */
async function amidOrAfter(order: Order): Promise<void> {
  switch (pick(order.prng, ["amid", "after", "after", "after", "loss"] as const)) {
    case "amid":
      await order.pause(0.2, 4000);
      break;
    case "after":
      await order.removal(order.cast.owner, REMOVAL_MS_MAX);
      await order.pause(1, 2000);
      break;
    case "loss":
      await order.pause(0.2, 4000);
      await secondLoss(order);
      break;
  }
}

/** Somebody who has just followed a new owner dies as well, or that owner, and is back at once. */
async function secondLoss(order: Order): Promise<void> {
  const { prng, cast, site } = order;
  const owner = ownerOf(site, cast.vdisk);
  const others = [...cast.heirs, ...(owner === undefined ? [] : [owner])];
  const back = order.lose(pick(prng, others));
  await order.pause(1, 3000);
  back();
  await order.pause(1, 300);
}

/** At any await of its takeover, or after a while. */
async function loseInTakeover(order: Order, heir: SimCvm): Promise<() => void> {
  if (order.prng.below(2) === 0) {
    const back = order.loseAtAwait(heir, TAKEOVER_STEPS);
    await order.pause(100, 4000);
    return back;
  }
  await order.pause(0.2, 4000);
  return order.lose(heir);
}
