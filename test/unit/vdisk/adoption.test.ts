/** A new owner takes what a longer copy has (P1), and only what continues its own log (A1 to A3). */

import { describe, expect, it } from "vitest";
import { adoptLongest } from "../../../services/stargate/oplog/adoption.ts";
import type { OplogReplica } from "../../../services/stargate/oplog/contracts.ts";
import { createPeerServer } from "../../../services/stargate/oplog/peerServer.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { DISK_A, e, l, openReplica, recordAt, watchOutcome } from "./world.ts";

/** Epochs of the records from LSN 1 on. */
type History = readonly number[];

async function replicaWith(clock: FakeClock, history: History): Promise<OplogReplica> {
  const { replica } = await openReplica(createFakeDisk({ capacityBytes: 2 ** 30 }), clock);
  for (const [i, by] of history.entries()) await replica.append(e(by), [recordAt(i + 1, by)]);
  return replica;
}

/** An owner at epoch 5 with these peers; `undefined` is one that does not answer. */
async function adopt(own: History, peers: readonly (History | undefined)[]) {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock, log: createFakeLog() });
  const copies = [];
  const replicas: OplogReplica[] = [];
  for (const [i, history] of peers.entries()) {
    const host = `10.0.0.${i + 2}`;
    const address = { host, port: 2009 };
    if (history !== undefined) {
      const { replicas: all, replica } = await openReplica(
        createFakeDisk({ capacityBytes: 2 ** 30 }),
        clock,
      );
      for (const [at, by] of history.entries()) await replica.append(e(by), [recordAt(at + 1, by)]);
      await network
        .host(host)
        .rpc.serve(address, createPeerServer({ replicas: all, clock }).bindings);
      replicas.push(replica);
    }
    copies.push({ cvm: i + 2, client: network.host("10.0.0.1").rpc.connect(address) });
  }
  const replica = await replicaWith(clock, own);
  const logger = createFakeLog();
  const work = adoptLongest({
    vdiskId: DISK_A,
    epoch: e(5),
    replica,
    copies,
    clock,
    logger,
    patienceMs: 1500,
  });
  const outcome = watchOutcome(work);
  await clock.tickUntil(() => outcome.now() !== "waits", 20_000);
  return { outcome: outcome.now(), replica, replicas, logger, elapsedMs: clock.now() };
}

describe("a new owner whose log is short", () => {
  it("takes the rest from the longest copy, which then takes nothing old any more (P1, P4)", async () => {
    const { outcome, replica, replicas } = await adopt(
      [3, 3],
      [
        [3, 3, 3],
        [3, 3, 3, 4, 4],
      ],
    );
    expect(outcome).toBe("done");
    expect(replica.state()).toMatchObject({ lastLsn: 5, lastEpoch: 4, promisedEpoch: 5 });
    const records = await replica.read(l(1), l(5));
    expect(records.map((one) => one.epoch)).toEqual([3, 3, 3, 4, 4]);
    expect(records).toEqual([1, 2, 3, 4, 5].map((at) => recordAt(at, at < 4 ? 3 : 4)));
    for (const peer of replicas) expect(peer.state().promisedEpoch).toBe(5);
  });

  it("takes nothing that does not continue its own", async () => {
    const { outcome, replica, logger } = await adopt([3, 4], [[3, 3, 3]]);
    expect([outcome, replica.state().lastLsn]).toEqual(["done", 2]);
    expect(logger.of("oplog.tailNotTaken").length).toBe(1);
  });

  it("keeps its own when it is the longest, and does not wait long for who is absent (P9)", async () => {
    const { outcome, replica, elapsedMs } = await adopt([3, 3, 3], [[3], undefined]);
    expect([outcome, replica.state().lastLsn]).toEqual(["done", 3]);
    expect(elapsedMs).toBeLessThan(5000);
  });

  it("learns that another one has taken over (P4)", async () => {
    const { outcome } = await adopt([3], [[3, 9]]);
    expect(outcome).toBe("STALE_EPOCH");
  });
});
