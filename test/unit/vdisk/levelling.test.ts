/** The decision table of levelling.ts, and what must hold of it for any two histories (P1, log matching). */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Epoch, Lsn } from "../../../services/base/ids.ts";
import type { ReplicaState } from "../../../services/stargate/oplog/contracts.ts";
import {
  decideLevelling,
  type LevelDecision,
  levelPeer,
} from "../../../services/stargate/oplog/levelling.ts";
import { createPeerServer } from "../../../services/stargate/oplog/peerServer.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { DISK_A, e, l, openReplica, recordAt } from "./world.ts";

/** A log: epochs of the records after `drained`. */
interface History {
  readonly drained: number;
  readonly epochs: readonly number[];
}

function stateOf({ drained, epochs }: History): ReplicaState {
  return {
    promisedEpoch: e(9),
    drainedLsn: l(drained),
    lastLsn: l(drained + epochs.length),
    lastEpoch: e(epochs.at(-1) ?? 0),
    undrainedBytes: 0,
  };
}

const epochIn =
  ({ drained, epochs }: History) =>
  (at: Lsn): Epoch =>
    e(epochs[at - drained - 1] ?? 0);

function decide(own: History, peer: History, copy: "whole" | "damaged" = "whole"): LevelDecision {
  const { lastLsn, lastEpoch } = stateOf(peer);
  return decideLevelling(stateOf(own), { lastLsn, lastEpoch, copy }, epochIn(own));
}

describe("the levelling decision", () => {
  const own = { drained: 10, epochs: [3, 3, 4] };
  it.each([
    ["the same log", { drained: 10, epochs: [3, 3, 4] }, { kind: "continue", lastLsn: 13 }],
    ["a prefix", { drained: 8, epochs: [2, 2, 3] }, { kind: "continue", lastLsn: 11 }],
    [
      "a log that ends where ours begins",
      { drained: 4, epochs: [2, 2, 2, 2, 2, 2] },
      { kind: "continue", lastLsn: 10 },
    ],
    [
      "a log that ends before ours begins",
      { drained: 4, epochs: [2] },
      { kind: "reset", baseLsn: 10 },
    ],
    ["nothing", { drained: 0, epochs: [] }, { kind: "reset", baseLsn: 10 }],
    ["another record at its end", { drained: 10, epochs: [3, 5] }, { kind: "reset", baseLsn: 10 }],
    ["an end of unknown epoch", { drained: 12, epochs: [] }, { kind: "reset", baseLsn: 10 }],
    [
      "our log and more",
      { drained: 10, epochs: [3, 3, 4, 4] },
      { kind: "truncate", lsn: 13, expectedEpoch: 4 },
    ],
  ])("for a peer with %s", (_name, peer, expected) => {
    expect(decide(own, peer)).toEqual(expected);
  });

  it("begins anew when the peer has more and we hold nothing undrained", () => {
    const decision = decide({ drained: 10, epochs: [] }, { drained: 10, epochs: [4] });
    expect(decision).toEqual({ kind: "reset", baseLsn: 10 });
  });

  it("makes a damaged copy anew, however well it ends (P7)", () => {
    expect(decide(own, { drained: 10, epochs: [3, 3, 4] }, "damaged")).toEqual({
      kind: "reset",
      baseLsn: 10,
    });
  });

  it("never goes on behind a record that is not ours, for any two logs", () => {
    const history = fc.record({
      drained: fc.integer({ min: 0, max: 4 }),
      epochs: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 5 }).map((all) => all.sort()),
    });
    fc.assert(
      fc.property(history, history, (ours, theirs) => {
        const decision = decide(ours, theirs);
        const last = theirs.drained + theirs.epochs.length;
        if (decision.kind !== "continue") return true;
        // It is in the block map, or the same record by log matching.
        return (
          decision.lastLsn === last &&
          (last === ours.drained || epochIn(ours)(l(last)) === theirs.epochs.at(-1))
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe("levelling a peer", () => {
  const open = async (
    reliedOn: boolean,
    peerRecords: readonly [number, number][],
    acknowledged = 0,
  ) => {
    const peer = await openReplica();
    for (const [at, by] of peerRecords) await peer.replica.append(e(by), [recordAt(at, by)]);
    const network = createFakeNetwork({ clock: peer.clock, log: createFakeLog() });
    const address = { host: "10.0.0.2", port: 2009 };
    await network.host("10.0.0.2").rpc.serve(address, createPeerServer(peer).bindings);
    const client = network.host("10.0.0.1").rpc.connect(address);
    const own = await openReplica();
    for (const at of [1, 2, 3]) await own.replica.append(e(4), [recordAt(at, 4)]);
    const work = levelPeer({
      client,
      vdiskId: DISK_A,
      epoch: e(5),
      replica: own.replica,
      reliedOn,
      acknowledgedLsn: l(acknowledged),
    });
    let settled = false;
    work.finally(() => (settled = true)).catch(() => undefined);
    await peer.clock.tickUntil(() => settled, 5000);
    return { outcome: await work, peer: peer.replica.state() };
  };

  it("fences it and cuts what was never acknowledged (P1, P4)", async () => {
    const { outcome, peer } = await open(
      true,
      [1, 2, 3, 4].map((at) => [at, 4]),
    );
    expect(outcome).toEqual({ kind: "levelled", lastLsn: 3 });
    expect(peer).toMatchObject({ promisedEpoch: 5, lastLsn: 3 });
  });

  it("leaves a listed peer that knows nothing as it is, without a promise (P1)", async () => {
    const { outcome, peer } = await open(true, []);
    expect(outcome).toEqual({ kind: "copyLost" });
    expect(peer).toMatchObject({ promisedEpoch: 0, lastLsn: 0 });
  });

  it("takes nothing away from a listed peer to give it back later (P1)", async () => {
    const { outcome, peer } = await open(
      true,
      [1, 2].map((at) => [at, 3]),
    );
    expect(outcome).toEqual({ kind: "copyLost" });
    expect(peer).toMatchObject({ promisedEpoch: 5, lastLsn: 2 });
  });

  it("takes a listed peer that lost records that it acknowledged for lost (P1)", async () => {
    const records: [number, number][] = [1, 2].map((at) => [at, 4]);
    const short = await open(true, records, 3);
    const enough = await open(true, records, 2);
    expect(short.outcome).toEqual({ kind: "copyLost" });
    expect(enough.outcome).toEqual({ kind: "levelled", lastLsn: 2 });
  });

  it("fills a newcomer from the beginning", async () => {
    const { outcome, peer } = await open(
      false,
      [1, 2].map((at) => [at, 3]),
    );
    expect(outcome).toEqual({ kind: "levelled", lastLsn: 0 });
    expect(peer).toMatchObject({ promisedEpoch: 5, lastLsn: 0 });
  });

  it("learns of a higher epoch (P4)", async () => {
    const { outcome } = await open(true, [[1, 7]]);
    expect(outcome).toEqual({ kind: "deposed", promisedEpoch: 7 });
  });
});
