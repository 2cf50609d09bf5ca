/**
 * Faults of a site's etcd (F13 to F16, F18): away, frozen and thawed, leases that end early or late, answers that
 * are slow and overtake each other,
 * transactions of unknown outcome, watches that are blind, late or compacted away; wiped, and put back
 * from a backup of that moment. An etcd that comes back older than it was: aftermath.ts.
 */

import type { Timer } from "../../../services/platform/clock.ts";
import type { MemoryEtcd } from "../../support/memoryCoordinator.ts";
import { type KindOf, pick } from "../config.ts";
import { type Injected, type Injector, local, nothing, spared, type Target } from "./injection.ts";

const LOST_MAX = 3;
/** On average: several times as long for some, which is still before their callers give up. */
const STORM_MEANS_MS = [30, 60, 120];
/** Between two times at which leases end. */
const STORM_PAUSE_MS_MIN = 50;
const STORM_PAUSE_MS_MORE = 700;
const stormy = new WeakSet<MemoryEtcd>();
/** A second wipe would have nothing to back up, and the end of the first one would be undone. */
const wiped = new WeakSet<MemoryEtcd>();

export const etcdInjectors: Readonly<Record<KindOf<"etcd">, Injector>> = {
  cutEtcd: (target) => {
    target.process.cutEtcd(true);
    return local(target, target.process.name, () => {
      target.process.cutEtcd(false);
    });
  },
  etcdOutage: (target) => local(target, "of all CVMs", target.site.etcd.outage()),
  isolateEtcd: (target) => {
    for (const process of target.site.processes) process.cutEtcd(true);
    return local(target, "from all CVMs", () => {
      for (const process of target.site.processes) process.cutEtcd(false);
    });
  },
  freezeEtcd: (target) => local(target, "of all CVMs", target.site.etcd.freeze(target.prng)),
  revokeLeases: (target) => {
    const { etcd } = target.site;
    const count = 1 + target.prng.below(etcd.core.leases.all().length + 1);
    const ended = etcd.expireEarly(target.prng, count);
    return local(target, `${ended.length} leases`, nothing);
  },
  revokeAllLeases: (target) => {
    target.site.etcd.revokeAll();
    return local(target, "all leases", nothing);
  },
  holdLeases: (target) => local(target, "no lease ends", target.site.etcd.holdExpiry()),
  loseEtcdAnswers: (target) => {
    const connection = target.process.etcd;
    connection?.loseAnswers(1 + target.prng.below(LOST_MAX));
    return local(target, target.process.name, () => {
      connection?.loseAnswers(0);
    });
  },
  ambiguousEtcd: (target) => {
    const share = pick(target.prng, [0.05, 0.3, 0.8]);
    const end = target.site.etcd.ambiguous({ prng: target.prng, share });
    return local(target, `${share} of the transactions`, end);
  },
  blindWatches: (target) => {
    const connection = target.process.etcd;
    connection?.blindWatches(true);
    return local(target, target.process.name, () => {
      connection?.blindWatches(false);
    });
  },
  stormEtcd,
  slowWatches: (target) => {
    const delayMs = pick(target.prng, [50, 500, 3000]);
    return local(target, `by ${delayMs} ms`, target.site.etcd.slowWatches(delayMs));
  },
  compactEtcd: (target) => {
    // A watch is told of it when it is behind: this one is blind meanwhile.
    const connection = target.process.etcd;
    connection?.blindWatches(true);
    return local(target, `behind ${target.process.name}'s back`, () => {
      target.site.etcd.compactAll();
      connection?.blindWatches(false);
    });
  },
  wipeEtcd: (target) => {
    const { etcd } = target.site;
    if (wiped.has(etcd)) return spared(target, "it is wiped already");
    const backup = etcd.backup();
    etcd.wipe();
    wiped.add(etcd);
    return local(target, "put back from a backup of then", () => {
      wiped.delete(etcd);
      etcd.restore(backup);
    });
  },
};

/**
 * Its answers are slow and overtake each other, and leases end again and again meanwhile: what a candidate hears
 * is about a seat that it had some seats ago.
 */
function stormEtcd(target: Target): Injected {
  const { site, world, prng } = target;
  const { etcd, etcdJourney } = site;
  const beforeMs = etcdJourney.meanMs;
  if (beforeMs === 0) return spared(target, "its messages take no time");
  if (stormy.has(etcd)) return spared(target, "it is stormy already");
  stormy.add(etcd);
  const meanMs = pick(prng, STORM_MEANS_MS);
  etcdJourney.meanMs = meanMs;
  let timer: Timer | undefined;
  const strike = (): void => {
    timer = world.clock.after(STORM_PAUSE_MS_MIN + prng.unit() * STORM_PAUSE_MS_MORE, () => {
      etcd.expireEarly(prng);
      strike();
    });
  };
  strike();
  return local(target, `messages take ${meanMs} ms`, () => {
    timer?.cancel();
    etcdJourney.meanMs = beforeMs;
    stormy.delete(etcd);
  });
}
