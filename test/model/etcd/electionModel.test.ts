/**
 * Random lives of several candidates over one etcd: processes that freeze, are cut off, lose answers
 * and leases, resign. Checks E2 to E6, E8 and E9 of the election's SPEC.md after each.
 */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import {
  type Election,
  startElection,
  type Term,
} from "../../../services/platform/coordination/election.ts";
import {
  type ProcessLease,
  startProcessLease,
} from "../../../services/platform/coordination/processLease.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createMemoryEtcd, type MemoryConnection } from "../../support/memoryCoordinator.ts";

const RUNS = Number(process.env["ANTIPODE_MODEL_RUNS"] ?? 60);
const SEED = Number(process.env["ANTIPODE_SEED"] ?? 20_260_102);
const TTL_MS = 2000;
const CANDIDATES = 3;
const STEP_MS = 5;
const prefix = siteKeys.seatPrefix("role");

type Action =
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "cut" | "heal" | "revoke" | "blind" | "see" | "lose"; readonly who: number }
  | { readonly kind: "deleteSeats" };

const who = fc.integer({ min: 0, max: CANDIDATES - 1 });
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("pass"), ms: fc.integer({ min: 1, max: 1500 }) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom("cut", "heal", "revoke", "blind", "see", "lose"),
      who,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "deleteSeats" }) },
);

interface Candidate {
  readonly connection: MemoryConnection;
  readonly lease: ProcessLease;
  readonly election: Election;
  readonly terms: Term[];
}

async function live(actions: readonly Action[]): Promise<void> {
  const clock = createFakeClock();
  const etcd = createMemoryEtcd(clock);
  const epochs: number[] = [];
  /** Leases that etcd took before their time: the server broke its word, so trust means nothing. */
  const broken = new Set<string>();
  const candidates = Array.from({ length: CANDIDATES }, (_, index): Candidate => {
    const connection = etcd.connect();
    const log = createFakeLog();
    const terms: Term[] = [];
    const lease = startProcessLease({
      coordinator: connection,
      clock,
      log,
      ttlMs: TTL_MS,
      key: siteKeys.live("role", index),
      value: { index },
    });
    const election = startElection({
      coordinator: connection,
      clock,
      log,
      lease,
      seatPrefix: prefix,
      epochKey: siteKeys.leaderEpoch("role"),
      value: { index },
      onElected: (term) => {
        expect(term.epoch, "epochs only grow, one leader each (E8, E9)").toBeGreaterThan(
          epochs.at(-1) ?? 0,
        );
        epochs.push(term.epoch);
        terms.push(term);
      },
      onLost: () => undefined,
    });
    return { connection, lease, election, terms };
  });
  const check = (): void => {
    const leading = candidates.filter((one) => one.election.isLeader());
    const honest = leading.filter((one) => !broken.has(one.lease.current()?.id ?? ""));
    for (const one of honest) {
      const id = one.lease.current()?.id ?? "";
      expect(etcd.core.leases.get(id), "a trusted lease lives (E4)").toBeDefined();
    }
    expect(honest.length, "one leader while etcd keeps its word (E4)").toBeLessThanOrEqual(1);
  };
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += STEP_MS) {
      await clock.tick(STEP_MS);
      check();
    }
  };
  const act = async (one: Action): Promise<void> => {
    if (one.kind === "pass") return pass(one.ms);
    if (one.kind === "deleteSeats") {
      for (const candidate of candidates) broken.add(candidate.lease.current()?.id ?? "");
      await etcd.connect().transact({ when: [], then: [{ kind: "deletePrefix", prefix }] });
      return;
    }
    const candidate = candidates[one.who];
    if (candidate === undefined) return;
    const { connection, lease } = candidate;
    if (one.kind === "cut") connection.cut();
    else if (one.kind === "heal") connection.heal();
    else if (one.kind === "lose") connection.loseAnswers(3);
    else if (one.kind === "blind") connection.blindWatches(true);
    else if (one.kind === "see") connection.blindWatches(false);
    else {
      const id = lease.current()?.id ?? "";
      if (etcd.core.leases.get(id) === undefined) return;
      broken.add(id);
      etcd.revoke(id);
    }
  };
  await pass(200);
  for (const one of actions) await act(one);
  for (const candidate of candidates) {
    candidate.connection.heal();
    candidate.connection.blindWatches(false);
    candidate.connection.loseAnswers(0);
  }
  await pass(3 * TTL_MS);
  broken.clear();
  check();
  const leaders = candidates.filter((one) => one.election.isLeader());
  expect(leaders, "somebody leads after faults end (E6, P9)").toHaveLength(1);
  const leader = leaders[0];
  expect(leader?.election.term()?.epoch, "the leader has the newest epoch").toBe(epochs.at(-1));
  const done = candidates.map((one) => one.election.resign());
  await clock.tick(100);
  await Promise.all(done);
  await clock.tick(2000);
  const { entries } = await etcd.connect().list(prefix);
  expect(entries, "nobody leaves a seat behind (E3)").toEqual([]);
}

describe("election model", () => {
  it(`holds E2 to E6, E8, E9 over ${RUNS} random lives (seed ${SEED})`, async () => {
    await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 25 }), live), {
      numRuns: RUNS,
      seed: SEED,
    });
  });
});
