/**
 * Election and process lease over gRPC, with the embedded server and with real etcd: what the unit
 * tests show in virtual time holds with real ones (P4, P5, P9).
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { siteKeys } from "../../services/base/siteRecords.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import {
  type Election,
  readLeader,
  startElection,
} from "../../services/platform/coordination/election.ts";
import {
  type ProcessLease,
  startProcessLease,
} from "../../services/platform/coordination/processLease.ts";
import type { Coordinator } from "../../services/platform/coordinator.ts";
import { type EtcdWorld, embeddedWorld, REAL_ETCD, realEtcdWorld } from "../support/etcdWorlds.ts";
import { createFakeLog } from "../support/fakeLog.ts";

/** As with etcd's default ticks. */
const TTL_MS = 5000;
const clock = createClock();

interface Candidate {
  readonly coordinator: Coordinator;
  readonly lease: ProcessLease;
  readonly election: Election;
  readonly epochs: number[];
}

function stand(world: EtcdWorld, role: string, index: number): Candidate {
  const coordinator = world.connect();
  const log = createFakeLog();
  const epochs: number[] = [];
  const lease = startProcessLease({
    coordinator,
    clock,
    log,
    ttlMs: TTL_MS,
    key: siteKeys.live(role, index),
    value: { index },
  });
  const election = startElection({
    coordinator,
    clock,
    log,
    lease,
    seatPrefix: siteKeys.seatPrefix(role),
    epochKey: siteKeys.leaderEpoch(role),
    value: { index },
    onElected: (term) => epochs.push(term.epoch),
    onLost: () => undefined,
  });
  return { coordinator, lease, election, epochs };
}

describe.each([
  { name: "embedded over gRPC", make: embeddedWorld, present: true },
  { name: "real etcd", make: realEtcdWorld, present: REAL_ETCD !== undefined },
])("election: $name", ({ make, present }) => {
  describe.runIf(present)("over gRPC", () => {
    let world: EtcdWorld;
    beforeAll(async () => {
      world = await make();
    });
    afterAll(() => world.end());

    it("elects one, hands over at once on resignation, and within the TTL on a silent end", async () => {
      const role = "handover";
      const all = [0, 1, 2].map((index) => stand(world, role, index));
      const leading = (): Candidate[] => all.filter((one) => one.election.isLeader());
      await world.until(() => leading().length === 1);
      const first = leading()[0];
      const resignedMs = clock.now();
      await first?.election.resign();
      await world.until(() => leading().length === 1);
      expect(clock.now() - resignedMs).toBeLessThan(1000);
      const second = leading()[0];
      // Its calls stop, as those of a killed process do; its lease stays at etcd.
      await second?.coordinator.close();
      await world.until(() => leading().length === 1 && leading()[0] !== second);
      expect(all.flatMap((one) => one.epochs).sort()).toEqual([1, 2, 3]);
      const keys = {
        seatPrefix: siteKeys.seatPrefix(role),
        epochKey: siteKeys.leaderEpoch(role),
      };
      const { leader, epoch } = await readLeader(world.connect(), keys);
      expect(epoch).toBe(3);
      expect(leader).toEqual({ index: all.findIndex((one) => one.election.isLeader()) });
      for (const one of all) await one.election.resign();
    });

    it("keeps the leader over a restart of etcd that is shorter than its trust", async () => {
      const candidate = stand(world, "restart", 0);
      await world.until(() => candidate.election.isLeader());
      const held = candidate.lease.current()?.id;
      await world.killAndRestart?.();
      const renewedMs = clock.now();
      await world.until(() => candidate.lease.validUntilMs() > renewedMs + TTL_MS / 2);
      expect(candidate.election.isLeader()).toBe(true);
      expect(candidate.lease.current()?.id).toBe(held);
      expect(candidate.epochs).toEqual([1]);
      await candidate.election.resign();
      await candidate.lease.stop();
    });
  });
});
