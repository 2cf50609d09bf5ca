/**
 * Faults that wait for a replication job to be in a drawn state, and then take the leader of one of its two
 * sites away (F1, F2): some states last for milliseconds, which a fault that is drawn by time alone hardly
 * ever meets. What a job has done when its leader is lost must not be done again, and what it has not must be (P5, P9).
 */

import { fromUtf8 } from "../../../services/base/bytes.ts";
import { cerebroKeys, type JobRecord } from "../../../services/cerebro/state/records.ts";
import { type KindOf, pick } from "../config.ts";
import type { SimProcess } from "../world/process.ts";
import type { SimSite } from "../world/site.ts";
import type { Injected, Injector, Target } from "./injection.ts";
import { leaderAt } from "./roles.ts";

export type PhaseKind = Extract<KindOf<"process">, `${string}InPhase`>;

/** RECORDING is the shortest and the one in which both sites have something to lose. */
const PHASES = ["PLANNING", "RUNNING", "RECORDING", "RECORDING"] as const;
const SIDES = ["source", "source", "target"] as const;

export const phaseInjectors: Readonly<Record<PhaseKind, Injector>> = {
  leaderLostInPhase: (target) =>
    whenInPhase(target, (leader) => {
      leader.kill();
      return () => {
        leader.start();
      };
    }),
  leaderFrozenInPhase: (target) =>
    whenInPhase(target, (leader) => {
      leader.pause();
      return () => {
        leader.resume();
      };
    }),
};

/** Strikes once, when a job of the target's site comes to the drawn state. */
function whenInPhase(target: Target, strike: (leader: SimProcess) => () => void): Injected {
  const { world, prng, site } = target;
  const phase = pick(prng, PHASES);
  const side = pick(prng, SIDES);
  let undo = (): void => undefined;
  const connection = site.etcd.connect();
  const stop = (): void => {
    watch.cancel();
    void connection.close();
  };
  const watch = connection.watch(cerebroKeys.jobs, site.etcd.core.keyspace.revision + 1, {
    onEvents: (events) => {
      for (const event of events) {
        if (event.kind !== "put") continue;
        const job = JSON.parse(fromUtf8(event.entry.value)) as JobRecord;
        const struck = side === "source" ? site : siteOf(world.sites, job.remote);
        const leader = struck && leaderAt(struck)?.cerebro;
        if (job.state !== phase || leader?.isReady !== true) continue;
        stop();
        world.trace.event("world", "struck", `${leader.name}, a job is ${phase}`);
        undo = strike(leader);
        return;
      }
    },
    onCompacted: stop,
  });
  return {
    what: `leader of the ${side} when a job of ${site.name} is ${phase}`,
    sites: world.sites.map(({ name }) => name),
    link: undefined,
    end() {
      stop();
      undo();
    },
  };
}

function siteOf(sites: readonly SimSite[], name: string): SimSite | undefined {
  return sites.find((site) => site.name === name);
}
